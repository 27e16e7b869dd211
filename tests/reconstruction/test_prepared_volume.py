"""Slices on their way to a fit: what does not stay in memory is read and prepared again, to the same bits."""

import dataclasses
from pathlib import Path

import pytest
import torch
from scans import line_mask, small_scan

from ugodit.calibration.pipeline import CoilPlan
from ugodit.data.sampling import Sampling
from ugodit.data.scan import Scan
from ugodit.data.volume import ScanVolume, VolumeSlices
from ugodit.errors import InputError
from ugodit.fit.fit_config import FitConfig
from ugodit.fit.model_config import ModelConfig
from ugodit.reconstruction.preparation import prepare
from ugodit.reconstruction.prepared_volume import PreparedVolume, VolumeReader

SPLIT = ModelConfig(splitting="random", initial_estimate="conjugate_gradient", iterations=1, next_input="fixed")
FITS = [(SPLIT, FitConfig())]
CPU = torch.device("cpu")


class Counted(ScanVolume):
    """Knows which slices were read."""

    def __init__(self, scans: list[Scan]) -> None:
        super().__init__(scans)
        self.read: list[int] = []

    def scan(self, index: int) -> Scan:
        self.read.append(index)
        return super().scan(index)


def volume(count: int = 3, mask: torch.Tensor | None = None) -> Counted:
    scans = []
    for index in range(count):
        kspace, maps, image = small_scan(rows=24, columns=40, seed=10 * index)
        target = image.abs().float() if index else None
        scans.append(Scan.from_arrays(kspace, mask, maps, target=target, name="volume", slice_index=index))
    return Counted(scans)


def masked(count: int = 3) -> Counted:
    return volume(count, line_mask(40, 3, 6))


def test_what_fits_into_memory_is_read_once() -> None:
    slices = masked()[:]
    reader = VolumeReader(slices, None, CoilPlan())
    assert slices.volume.read == [0, 1, 2]
    found = [reader.take(index) for index in slices.indices]
    assert slices.volume.read == [0, 1, 2]
    assert [scan.digest() for scan in found] == [reader.digests[index] for index in range(3)]
    assert not reader.all_targets  # the first slice has none
    # It is not kept any longer.
    reader.take(1)
    assert slices.volume.read == [0, 1, 2, 1]


def test_what_does_not_fit_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    slices = masked()[:]
    monkeypatch.setattr(VolumeReader, "KEPT_BYTES", slices.volume.scans[0].kspace.nbytes)
    reader = VolumeReader(slices, None, CoilPlan())
    found = [reader.take(index) for index in slices.indices]
    assert slices.volume.read == [0, 1, 2, 1, 2]
    assert [scan.digest() for scan in found] == [reader.digests[index] for index in range(3)]


def test_full_scans_are_undersampled_alike_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sampling = Sampling("random", 3, 0.2, seed=4)
    monkeypatch.setattr(VolumeReader, "KEPT_BYTES", 0)
    slices = volume()[:]
    reader = VolumeReader(slices, sampling, CoilPlan())
    for index in slices.indices:
        scan = reader.take(index)
        assert scan.mask is not None
        assert scan.mask.tolist() == sampling.mask((24, 40)).tolist()
        assert scan.digest() == reader.digests[index]


def test_a_full_scan_needs_to_know_how() -> None:
    with pytest.raises(InputError, match=r"^volume: slice 1: `sampling`: expected how to undersample"):
        VolumeReader(volume()[1:], None, CoilPlan())


@pytest.mark.parametrize("kept", [0, 1 << 30], ids=["nothing kept", "all kept"])
def test_prepared_slices_are_the_same_kept_or_not(kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PreparedVolume, "KEPT_BYTES", kept)
    slices = masked()[:]
    shown: list[torch.Tensor] = []
    reader = VolumeReader(slices, None, CoilPlan())
    ready = PreparedVolume(reader, FITS, device=CPU, cache=tmp_path, on_maps=shown.append)
    assert len(shown) == 3
    for index in slices.indices:
        found, expected = ready.take(index), prepare(slices.volume.scans[index])
        assert torch.equal(found.operator.initial(), expected.operator.initial())
        assert (found.digest, found.slice_index, found.scale) == (expected.digest, index, expected.scale)
    assert len(shown) == 3  # not again for what was prepared again


def test_too_little_to_split_is_found_before_anything_is_fitted() -> None:
    mask = torch.zeros(40, dtype=torch.bool)
    mask[14:26] = True
    mask[0] = True
    reader = VolumeReader(volume(mask=mask)[:], None, CoilPlan())
    with pytest.raises(InputError, match=r"^volume: slice 0: mask: splitting needs at least 2 measured lines"):
        PreparedVolume(reader, FITS, device=CPU)
    # Where no lines are held out or split there is nothing to complain of.
    PreparedVolume(reader_again(mask), [(ModelConfig(), FitConfig())], device=CPU)
    with pytest.raises(InputError, match="splitting needs at least 2 measured lines"):
        PreparedVolume(reader_again(mask), [(ModelConfig(), FitConfig(held_out=0.1))], device=CPU)
    # Three lines are enough to hold one out and split the others.
    mask[[2, 4]] = True
    PreparedVolume(reader_again(mask), [(SPLIT, FitConfig(held_out=0.1))], device=CPU)
    mask[4] = False
    with pytest.raises(InputError, match="got 1"):
        PreparedVolume(reader_again(mask), [(SPLIT, FitConfig(held_out=0.1))], device=CPU)


def reader_again(mask: torch.Tensor) -> VolumeReader:
    return VolumeReader(volume(mask=mask)[:], None, CoilPlan())


def test_a_fraction_of_energy_becomes_one_number_of_coils() -> None:
    slices = masked()[:]
    plan = CoilPlan(compress=0.95)
    counts = [plan.coils_for(scan) for scan in slices]
    reader = VolumeReader(slices, None, plan)
    assert reader.coils == dataclasses.replace(plan, compress=max(count for count in counts if count is not None))
    ready = PreparedVolume(reader, FITS, device=CPU)
    assert {ready.take(index).operator.coils for index in slices.indices} == {reader.coils.compress}


def test_some_slices_are_read_only() -> None:
    found = masked()
    VolumeReader(VolumeSlices(found, range(1, 2)), None, CoilPlan())
    assert found.read == [1]
