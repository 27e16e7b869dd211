"""Volumes give their slices by index, and read them when they are needed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import random_complex

from ugodit.data.scan import Scan
from ugodit.data.volume import ScanVolume, Sliceable, VolumeSlices, location, select
from ugodit.errors import InputError


def scans(count: int = 5, masked: bool = False) -> list[Scan]:
    mask = np.arange(4) % 2 == 0 if masked else None
    return [
        Scan.from_arrays(random_complex((3, 6, 4), i), mask, target=np.full((6, 4), i + 1.0), name="a", slice_index=i)
        for i in range(count)
    ]


class Counting(Sliceable):
    """A volume of five slices that knows which of them were read."""

    name, path, shape, mask = "counting", None, (5, 3, 6, 4), None

    def __init__(self) -> None:
        self.read: list[int] = []

    def scan(self, index: int) -> Scan:
        self.read.append(index)
        return scans()[index]

    def target_maximum(self) -> float:
        return 5.0


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (2, [2]),
        (-1, [4]),
        (0, [0]),
        (slice(1, 3), [1, 2]),
        (slice(None), [0, 1, 2, 3, 4]),
        (slice(3, None), [3, 4]),
        (slice(-2, None), [3, 4]),
        (slice(None, None, 2), [0, 2, 4]),
        (slice(3, 99), [3, 4]),
    ],
)
def test_slices_are_named_as_in_a_list(index: int | slice, expected: list[int]) -> None:
    volume = Counting()
    chosen = volume[index]
    assert isinstance(chosen, VolumeSlices)
    assert chosen.volume is volume
    assert (list(chosen.indices), len(chosen)) == (expected, len(expected))
    assert volume.read == []
    assert [scan.slice_index for scan in chosen] == expected
    assert volume.read == expected
    assert list(select(volume, index).indices) == expected


@pytest.mark.parametrize("index", [5, -6, slice(5, 9), slice(3, 3)])
def test_slices_that_are_not_there_are_refused(index: int | slice) -> None:
    with pytest.raises(InputError, match=r"^`slices`: counting has slices 0 to 4, none of which was asked for"):
        Counting()[index]


def test_a_volume_is_as_long_as_it_has_slices_and_reads_them_one_by_one() -> None:
    volume = Counting()
    assert len(volume) == 5
    reading = iter(volume)
    next(reading)
    assert volume.read == [0]
    assert [scan.slice_index for scan in reading] == [1, 2, 3, 4]


def test_scans_in_memory_are_a_volume() -> None:
    given = scans()
    volume = ScanVolume(given)
    assert (volume.name, volume.path, volume.shape, volume.mask) == ("a", None, (5, 3, 6, 4), None)
    assert volume.scan(3) is given[3]
    assert list(volume[1:3]) == given[1:3]
    assert volume.target_maximum() == 5
    given.pop()
    assert len(volume) == 5
    masked = ScanVolume(scans(masked=True))
    assert masked.mask is not None
    assert masked.mask.tolist() == [True, False, True, False]


@pytest.mark.parametrize("first", [False, True])
def test_a_volume_has_a_mask_where_every_scan_does(first: bool) -> None:
    """One that was fully sampled has to be undersampled still."""
    assert ScanVolume([*scans(1, first), *scans(1, not first)]).mask is None


def test_scans_of_several_shapes_are_no_volume() -> None:
    with pytest.raises(ValueError, match=r"^scans: expected one or more, got none"):
        ScanVolume([])
    other = Scan.from_arrays(torch.ones(3, 6, 5, dtype=torch.complex64))
    with pytest.raises(ValueError, match=r"^scans: expected one shape .*, got \[\(3, 6, 4\), \(3, 6, 5\)\]"):
        ScanVolume([*scans(2), other])


def test_errors_name_the_file_or_the_volume() -> None:
    volume = Counting()
    assert location(volume) == "counting"
    assert location(volume, 3) == "counting: slice 3"
    volume.path = Path("scans") / "knee.h5"
    assert location(volume, 3) == "scans/knee.h5: slice 3"
