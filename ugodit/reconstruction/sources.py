"""What can be reconstructed or trained on, as slices of a volume."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ugodit.data.scan import Scan
from ugodit.data.volume import ScanVolume, Sliceable, Volume, VolumeSlices, select
from ugodit.io.volumes import open_volume

Source = str | os.PathLike[str] | Volume | VolumeSlices | Scan | Sequence[Scan]
"""What a reconstruction takes: a file, a volume, some of its slices, or scans in memory."""


def as_slices(source: Source) -> VolumeSlices:
    """Whatever can be reconstructed, as slices of a volume."""
    if isinstance(source, VolumeSlices):
        return source
    if isinstance(source, str | os.PathLike):
        return select(open_volume(source), slice(None))
    if isinstance(source, Scan):
        return select(ScanVolume([source]), slice(None))
    if isinstance(source, Sequence) and not isinstance(source, Sliceable):
        if not all(isinstance(scan, Scan) for scan in source):
            kinds = ", ".join(sorted({type(scan).__name__ for scan in source}))
            raise TypeError(f"source: expected a list of Scan, got one of {kinds}; do volumes and files one by one")
        return select(ScanVolume(list(source)), slice(None))  # type: ignore[arg-type]
    if not hasattr(source, "scan"):
        raise TypeError(
            f"source: expected a file, a volume, slices of one, or scans, got {type(source).__name__}; "
            "make a scan of an array with Scan.from_arrays"
        )
    return select(source, slice(None))
