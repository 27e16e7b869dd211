"""A volume that is its own group: which slices are trained on, that one process trains, and that the prior is kept."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from scans import line_mask, small_scan
from small_priors import quick

from ugodit.data.scan import Scan
from ugodit.data.volume import ScanVolume, select
from ugodit.errors import InputError
from ugodit.priors.prior import Prior
from ugodit.reconstruction import own_group
from ugodit.reconstruction.observer import Observer
from ugodit.reconstruction.own_group import LARGEST_GROUP, group_of
from ugodit.reconstruction.reconstructor import Reconstructor
from ugodit.reconstruction.store import OWN_PRIOR


def scans(count: int) -> list[Scan]:
    found = []
    for index in range(count):
        kspace, maps, _ = small_scan(rows=24, columns=40, seed=10 * index)
        found.append(Scan.from_arrays(kspace, line_mask(40, 3, 6), maps, name="a", slice_index=index))
    return found


@pytest.fixture
def reconstructor() -> Reconstructor:
    torch.set_num_threads(1)
    return Reconstructor("self", preset=quick(), zero_shot=True, device="cpu")


@pytest.mark.parametrize("count", [2, 12, 13, 25, 40, 100])
def test_the_group_is_spread_over_the_volume(count: int) -> None:
    one = scans(1)[0]
    slices = select(ScanVolume([dataclasses.replace(one, slice_index=index) for index in range(count)]), slice(None))
    chosen = list(group_of(slices).indices)
    assert min(count, LARGEST_GROUP // 2) < len(chosen) <= LARGEST_GROUP or len(chosen) == count
    steps = np.diff(chosen)
    assert (steps == steps[0]).all()
    # As far from the first slice as from the last, or one less.
    assert count - 1 - chosen[-1] - chosen[0] in (0, 1)


def test_it_is_trained_on_the_volume_and_used(reconstructor: Reconstructor) -> None:
    result = reconstructor(scans(3))
    assert result.prior_mode == ["zero-shot"] * 3
    assert (result.settings["prior"], result.settings["group"]) == ("self", [0, 1, 2])
    hashes = {one["prior"] for one in result.execution}
    assert len(hashes) == 1
    again = reconstructor(scans(3))
    np.testing.assert_array_equal(again.images, result.images)
    assert {one["prior"] for one in again.execution} == hashes


def test_a_prior_that_is_in_the_store_is_not_trained_again(
    reconstructor: Reconstructor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = reconstructor(scans(3))
    run = reconstructor.read(scans(3))
    with run.store(tmp_path / "a.slices") as store:
        run.fit(store, Observer(), (1, 3))
    assert (tmp_path / "a.slices" / OWN_PRIOR).exists()
    monkeypatch.setattr(own_group, "Training", None)
    run = reconstructor.read(scans(3))
    with run.store(tmp_path / "a.slices") as store:
        run.fit(store, Observer())
        np.testing.assert_array_equal(run.result(store).images, expected.images)
        store.remove([0, 1, 2])
    assert list(tmp_path.iterdir()) == []


def test_a_prior_of_other_settings_is_dropped(reconstructor: Reconstructor, tmp_path: Path) -> None:
    run = reconstructor.read(scans(2))
    with run.store(tmp_path / "a.slices") as store:
        run.fit(store, Observer(), (1, 2))
    other = Reconstructor("self", preset=quick(), device="cpu").read(scans(2))
    with other.store(tmp_path / "a.slices") as store:
        assert not (tmp_path / "a.slices" / OWN_PRIOR).exists()
        assert store.message.startswith("starting anew")


def hash_after(reconstructor: Reconstructor, folder: Path, source: list[Scan]) -> str:
    """Of the prior that is used for the first slice, with the store as it is."""
    run = reconstructor.read(source)
    with run.store(folder) as store:
        run.fit(store, Observer(), (1, len(source)))
        found = str(store.read(0).execution["prior"])
    (folder / "slice_0000.h5").unlink()
    return found


def test_a_prior_of_other_measurements_is_not_used(reconstructor: Reconstructor, tmp_path: Path) -> None:
    """As when the scan's file is replaced after training, before the first slice was done."""
    folder = tmp_path / "a.slices"
    before = hash_after(reconstructor, folder, scans(2))
    content = (folder / OWN_PRIOR).read_bytes()
    others = [dataclasses.replace(one, kspace=one.kspace.flip(1)) for one in scans(2)]
    after = hash_after(reconstructor, folder, others)
    assert after not in (before, hash_after(reconstructor, folder, [others[0], scans(2)[1]]))
    (folder / OWN_PRIOR).write_bytes(content)
    assert hash_after(reconstructor, folder, others) == after


def test_a_prior_of_another_seed_or_from_elsewhere_is_not_used(reconstructor: Reconstructor, tmp_path: Path) -> None:
    """Nor where the settings beside it are lost."""
    folder, elsewhere = tmp_path / "a.slices", tmp_path / "b.slices"
    expected = hash_after(reconstructor, folder, scans(2))
    changed = dataclasses.replace(quick(), train=dataclasses.replace(quick().train, seed=7))
    other = hash_after(Reconstructor("self", preset=changed, zero_shot=True, device="cpu"), elsewhere, scans(2))
    assert other != expected
    (folder / OWN_PRIOR).write_bytes((elsewhere / OWN_PRIOR).read_bytes())
    (folder / "settings.json").write_text("[" * 100_000)
    assert hash_after(reconstructor, folder, scans(2)) == expected
    # Its origin was copied too: it belongs to other weights.
    found = Prior.load(folder / OWN_PRIOR)
    foreign = Prior.load(elsewhere / OWN_PRIOR)
    dataclasses.replace(foreign, provenance=found.provenance).save(folder / OWN_PRIOR)
    assert hash_after(reconstructor, folder, scans(2)) == expected


def test_one_slice_is_no_group(reconstructor: Reconstructor) -> None:
    with pytest.raises(InputError, match=r"`prior`: self: expected two slices or more to learn from, got 1"):
        reconstructor(scans(1))
