"""Sensitivity maps that were found before, in a folder."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import stat
import time
from pathlib import Path
from typing import Self

from torch import Tensor

from ugodit.calibration.maps import reconstruction_maps
from ugodit.data.scan import Scan
from ugodit.errors import InputError, one_line
from ugodit.io.atomic import remove_left_over
from ugodit.io.maps import CHECKSUM, maps_checksum, read_checked_maps, write_maps

CACHE_FORMAT = 3
"""Goes up whenever `reconstruction_maps` would give other maps for the same scan."""

DEFAULT_GB = 10.0

_ENTRY = re.compile(r".*_slice\d{3,}_[0-9a-f]{16}\.h5")
_LOG = logging.getLogger("ugodit")

LARGEST_GB = 1e9


class MapsCache:
    """A folder of maps, up to a size: those that were not used for longest go first.

    Every entry carries a checksum of its maps and of what they were found in; one that does not fit is made anew.
    Several processes may share the folder. It is never needed: where it cannot be written or is a symbolic link, that
    is said once, and maps are found as without it.
    """

    def __init__(self, folder: str | os.PathLike[str], gigabytes: float = DEFAULT_GB) -> None:
        """gigabytes (10^9 bytes): of all entries together."""
        if not 0 < gigabytes <= LARGEST_GB:
            raise InputError(f"`maps_cache_size`: expected gigabytes above 0, up to {LARGEST_GB:g}, got {gigabytes:g}")
        self.folder = Path(folder)
        self.limit = int(gigabytes * 1e9)
        self._followed: bool | None = None
        self._writable = True
        self._said = False

    @classmethod
    def of(cls, cache: Self | str | os.PathLike[str] | None) -> Self | None:
        """A cache as it is, or one in the folder that is named."""
        return cls(cache) if isinstance(cache, str | os.PathLike) else cache

    def read(self, name: str, key: str, shape: tuple[int, int, int]) -> Tensor | None:
        """The maps (C, H, W) of that name and key; None where there are none, or where they are damaged."""
        path = self.folder / name
        if not self._usable() or not _is_entry(path):
            return None
        try:
            maps = read_checked_maps(path, shape, key)
        except InputError:
            return None
        with contextlib.suppress(OSError):
            # Used just now. The time of writing stays what it is.
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        return maps

    def write(self, name: str, key: str, maps: Tensor) -> None:
        """Keep maps (C, H, W), in place of what was used longest ago."""
        if not self._usable() or not self._writable or maps.nbytes > self.limit:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_maps(self.folder / name, maps[None], {CHECKSUM: maps_checksum(maps, key)})
        except (OSError, InputError) as error:
            self._say(f"{self.folder}: sensitivity maps cannot be kept here, and are found anew each time ({error})")
            self._writable = False
            return
        self._remove_oldest(keep=name)

    def _usable(self) -> bool:
        """Looks at the folder once: at what an earlier process left over, and whether it is somebody else's."""
        if self._followed is None:
            self._followed = not self.folder.is_symlink()
            if self._followed:
                remove_left_over(self.folder)
            else:
                self._say(f"{self.folder}: is a symbolic link, which is not followed: no sensitivity maps are kept")
        return self._followed

    def _remove_oldest(self, keep: str) -> None:
        """Another process may remove entries at the same time: whatever is gone is gone."""
        entries = []
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                if _ENTRY.fullmatch(path.name) and _is_entry(path):
                    with contextlib.suppress(OSError):
                        found = path.lstat()
                        entries.append((path.name != keep, -max(found.st_atime, found.st_mtime), path, found.st_size))
        total = 0
        for _, _, path, size in sorted(entries):
            total += size
            if total > self.limit and path.name != keep:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _say(self, text: str) -> None:
        if not self._said:
            self._said = True
            _LOG.warning(one_line(text))


def cached_maps(scan: Scan, cache: MapsCache | Path | None, content: str) -> Tensor:
    """Sensitivity maps (C, H, W) of the full field of view, from the cache if they are there already.

    `content` tells scans apart: a digest of the measurements and the mask, and what was done to the coils since. A
    changed scan, or one whose coils were whitened, is never given old maps.
    """
    cache = MapsCache.of(cache)
    if cache is None:
        return reconstruction_maps(scan)
    key = hashlib.sha256(f"{CACHE_FORMAT} {content}".encode()).hexdigest()
    coils, rows, columns = scan.kspace.shape
    # Long names leave room for the rest, in bytes: file systems end at 255.
    stem = scan.name.encode("utf-8", "replace")[:120].decode("utf-8", "ignore")
    name = f"{stem}_slice{scan.slice_index:03d}_{key[:16]}.h5"
    found = cache.read(name, key, (coils, rows, columns))
    if found is not None:
        return found
    maps = reconstruction_maps(scan)
    cache.write(name, key, maps)
    return maps


def _is_entry(path: Path) -> bool:
    """A regular file: no link, which could lead anywhere."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False
