"""Sensitivity maps that were found before, in a folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from torch import Tensor

from ugodit.calibration.maps import reconstruction_maps
from ugodit.data.scan import Scan
from ugodit.errors import InputError
from ugodit.io.maps import read_maps, write_maps

CACHE_FORMAT = 2
"""Goes up whenever `reconstruction_maps` would give other maps for the same scan."""


def cached_maps(scan: Scan, cache: Path | None, content: str) -> Tensor:
    """Sensitivity maps (C, H, W) of the full field of view, from the folder `cache` if they are there already.

    `content` tells scans apart: a digest of the measurements and the mask, and what was done to the coils since. A
    changed scan, or one whose coils were whitened, is never given old maps.
    """
    if cache is None:
        return reconstruction_maps(scan)
    key = hashlib.sha256(f"{CACHE_FORMAT} {content}".encode())
    path = cache / f"{scan.name}_slice{scan.slice_index:03d}_{key.hexdigest()[:16]}.h5"
    if path.exists():
        try:
            return read_maps(path, (1, *scan.kspace.shape))[0]
        except InputError:
            pass  # Damaged: it is only a cache, and is written anew below.
    maps = reconstruction_maps(scan)
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{cache}: cannot be made a folder for sensitivity maps: {error.strerror}") from error
    write_maps(path, maps[None])
    return maps
