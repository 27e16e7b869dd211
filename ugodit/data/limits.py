"""How much is read: documented limits on what files declare, and what fits into memory. SECURITY.md lists them."""

from __future__ import annotations

import contextlib
import math
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ugodit.errors import InputError

MAX_SLICES = 4000
MAX_COILS = 512
MAX_SIDE = 8192
"""Samples along the readout, or along the phase-encode axis."""
MAX_PIXELS = 1 << 23
"""Of one slice: 4096 x 2048."""
MAX_NOISE_SAMPLES = 1 << 24
"""Of a noise scan, all coils together."""
MAX_ACCELERATION = 1000.0

_COPIES = 6
"""Of a slice's k-space: what was read, the undersampled scan, its maps, the operator's of both, room to calibrate."""
_NETWORK_BYTES = 1000
"""What even a small network's fit needs for a pixel."""


def check_kspace_size(shape: Sequence[int]) -> None:
    """InputError for k-space (slices, coils, readout, phase encode) beyond the limits, or too large for the memory."""
    slices, coils, rows, columns = shape
    for what, found, most in (
        ("slices", slices, MAX_SLICES),
        ("coils", coils, MAX_COILS),
        ("readout samples", rows, MAX_SIDE),
        ("phase-encode lines", columns, MAX_SIDE),
        ("samples in a slice of one coil", rows * columns, MAX_PIXELS),
    ):
        if found > most:
            raise InputError(f"expected at most {most} {what}, got {found}")
    check_memory(rows * columns * (8 * coils * _COPIES + _NETWORK_BYTES), "a slice")


def check_images_size(shape: Sequence[int], itemsize: int) -> None:
    """InputError for images (slices, rows, columns) beyond the limits, or too many for the memory."""
    slices, rows, columns = shape
    for what, found, most in (
        ("slices", slices, MAX_SLICES),
        ("rows", rows, MAX_SIDE),
        ("columns", columns, MAX_SIDE),
        ("pixels in a slice", rows * columns, MAX_PIXELS),
    ):
        if found > most:
            raise InputError(f"expected at most {most} {what}, got {found}")
    check_memory(math.prod(shape) * (itemsize + 16), "all slices")


def check_memory(needed: int, what: str) -> None:
    """InputError where so many bytes are not available."""
    available = available_memory()
    if needed > available:
        raise InputError(f"{what} would need {_size(needed)} of memory or more, of which {_size(available)} are free")


def available_memory() -> int:
    """How many bytes can be allocated without swapping, as far as the system, a container or a limit says."""
    found = [1 << 62]
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    group = Path("/sys/fs/cgroup")
    for limit, used, cached in (
        (group / "memory.max", group / "memory.current", group / "memory.stat"),
        (*(group / "memory" / f"memory.{name}" for name in ("limit_in_bytes", "usage_in_bytes", "stat")),),
    ):
        with contextlib.suppress(OSError, ValueError):  # "max", where a container has no limit, is no number
            found.append(int(limit.read_text()) - int(used.read_text()) + _cached_files(cached))
    allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
    if allowed != resource.RLIM_INFINITY:
        with contextlib.suppress(OSError, ValueError):
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            found.append(allowed - pages * resource.getpagesize())
    return max(min(found), 0)


def _cached_files(path: Path) -> int:
    """Bytes of files that a container counts as used, and gives up when memory is asked for."""
    pairs = dict(line.split() for line in path.read_text().splitlines())
    return sum(int(pairs.get(name, 0)) for name in ("inactive_file", "active_file"))


def is_sensible(value: Any, depth: int, *, finite: bool = True) -> bool:
    """Whether values of JSON or TOML are at most so deep within one another, and their integers fit into 64 bits.

    finite: floats must be finite too.
    """
    level = [value]
    for _ in range(depth):
        for one in level:
            if finite and isinstance(one, float) and not math.isfinite(one):
                return False
            if isinstance(one, int) and not -(2**63) <= one < 2**63:
                return False
        nested = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [one for several in nested for one in several]
    return not level


def _size(count: int) -> str:
    return f"{count / 1e9:.3g} GB" if count >= 1e8 else f"{count / 1e6:.3g} MB"
