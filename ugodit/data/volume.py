"""What every file format gives: a volume of slices, read one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from ugodit.data.scan import Scan
from ugodit.errors import InputError


class Volume(Protocol):
    """A multi-coil volume. `volume[17:20]` are some of its slices, to be read when they are needed."""

    @property
    def name(self) -> str:
        """A short name, such as the file's without its suffix."""

    @property
    def path(self) -> Path | None:
        """Its file, if it has one."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(slices, coils, readout, phase encode)"""

    @property
    def mask(self) -> torch.Tensor | None:
        """bool (W,) or (H, W), what was measured; None for a fully sampled volume."""

    def scan(self, index: int) -> Scan:
        """Read one slice. InputError where it cannot be read."""

    def target_maximum(self) -> float:
        """The largest value of the targets of all slices: what fastMRI's metrics take as intensity range."""


class Sliceable:
    """Gives a volume its slices: `volume[3]` and `volume[17:20]` are not read yet, `for scan in volume` reads them."""

    def __len__(self: Volume) -> int:
        return self.shape[0]

    def __iter__(self: Volume) -> Iterator[Scan]:
        return iter(select(self, slice(None)))

    def __getitem__(self: Volume, index: int | slice) -> VolumeSlices:
        return select(self, index)


@dataclass(frozen=True)
class VolumeSlices:
    """Some slices of a volume, none of them read yet."""

    volume: Volume
    indices: range

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Scan]:
        return (self.volume.scan(index) for index in self.indices)


def select(volume: Volume, index: int | slice) -> VolumeSlices:
    """The slices of a volume that an index or a range names, by Python's rules. InputError where that is none."""
    count = volume.shape[0]
    chosen = range(count)[index] if isinstance(index, slice) else range(count)[index : index + 1 or None]
    if not chosen:
        raise InputError(f"`slices`: {volume.name} has slices 0 to {count - 1}, none of which was asked for")
    return VolumeSlices(volume, chosen)


class ScanVolume(Sliceable):
    """Scans that are in memory already, of one shape, as a volume."""

    def __init__(self, scans: Sequence[Scan]) -> None:
        if not scans:
            raise ValueError("scans: expected one or more, got none")
        for what, found in (
            ("shape (coils, readout, phase encode)", {tuple(scan.kspace.shape) for scan in scans}),
            ("crop", {scan.crop for scan in scans}),
            ("kind of mask (1-D or 2-D)", {scan.mask.ndim for scan in scans if scan.mask is not None}),
        ):
            if len(found) > 1:
                raise ValueError(f"scans: expected one {what}, got {sorted(found)}")
        self.scans = list(scans)
        self.name = scans[0].name
        self.path = None
        self.shape = (len(scans), *scans[0].kspace.shape)
        # A scan without a mask has to be undersampled still.
        self.mask = scans[0].mask if all(scan.mask is not None for scan in scans) else None

    def scan(self, index: int) -> Scan:
        """One of the scans."""
        return self.scans[index]

    def target_maximum(self) -> float:
        """The largest value of the scans' targets."""
        return max(float(scan.target.max()) for scan in self.scans if scan.target is not None)


def location(volume: Volume, index: int | None = None) -> str:
    """How errors name a volume, or a slice of it."""
    where = str(volume.path or volume.name)
    return where if index is None else f"{where}: slice {index}"
