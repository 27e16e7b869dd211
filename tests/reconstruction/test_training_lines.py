"""The lines of a group: every fully sampled slice has its own, unless the prior is to serve one mask alone."""

import dataclasses

import pytest
import torch
from scans import line_mask, small_scan
from small_priors import quick

from ugodit.calibration.pipeline import CoilPlan
from ugodit.data.sampling import Sampling
from ugodit.data.scan import Scan
from ugodit.data.volume import ScanVolume, select
from ugodit.reconstruction.training import Training

SAMPLING = Sampling("random", 3, 0.2, seed=5)


def volume(*, measured: bool = False) -> ScanVolume:
    kspace, maps, _ = small_scan(rows=24, columns=40)
    scan = Scan.from_arrays(kspace, line_mask(40, 3, 6) if measured else None, maps, name="a")
    return ScanVolume([dataclasses.replace(scan, slice_index=index) for index in range(3)])


def masks(of: ScanVolume, *, same_lines: bool = False) -> list[tuple[bool, ...]]:
    training = Training(quick(), sampling=SAMPLING, device="cpu", same_lines=same_lines)
    for _ in range(2):  # the slices of two volumes
        training.add(select(of, slice(None)), CoilPlan())
    return [tuple(prepared.mask.tolist()) for prepared in training.scans]


def test_every_slice_has_lines_of_its_own() -> None:
    found = masks(volume())
    assert len(set(found)) == 6
    assert found == masks(volume())
    assert found[0] == tuple(SAMPLING.mask((24, 40)).tolist())


def test_one_mask_for_all_where_it_is_asked_for() -> None:
    assert set(masks(volume(), same_lines=True)) == {tuple(SAMPLING.mask((24, 40)).tolist())}


def test_a_measured_mask_is_kept() -> None:
    assert set(masks(volume(measured=True))) == {tuple(torch.as_tensor(line_mask(40, 3, 6)).tolist())}


@pytest.mark.parametrize("seed", [0, 5])
def test_seeds_vary_by_number(seed: int) -> None:
    sampling = dataclasses.replace(SAMPLING, seed=seed)
    seeds = [sampling.varied(number).seed for number in range(50)]
    assert seeds[0] == seed
    assert len(set(seeds)) == 50
    assert seeds == [sampling.varied(number).seed for number in range(50)]
