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
from ugodit.reconstruction import own_group
from ugodit.reconstruction.observer import Observer
from ugodit.reconstruction.own_group import LARGEST_GROUP, NAME, group_of
from ugodit.reconstruction.reconstructor import Reconstructor


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
    assert (tmp_path / "a.slices" / NAME).exists()
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
        assert not (tmp_path / "a.slices" / NAME).exists()
        assert store.message.startswith("starting anew")


def test_one_slice_is_no_group(reconstructor: Reconstructor) -> None:
    with pytest.raises(InputError, match=r"`prior`: self: expected two slices or more to learn from, got 1"):
        reconstructor(scans(1))
