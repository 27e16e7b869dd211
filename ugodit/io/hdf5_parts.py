"""Whether the parts that a dataset is made of add up to all of it: HDF5 answers what is missing with zeros."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from ugodit.errors import InputError

MAX_BOXES = 1 << 16
MAX_COMPARISONS = 1 << 26
"""Of boxes with intervals: a second or less."""


def check_external(where: str, needed: int, parts: Sequence[tuple[Path, int, int]]) -> None:
    """InputError where external storage of so many bytes goes beyond the end of one of its files.

    parts: file, offset and size in bytes, which may be "no end", in the order of the data.
    """
    for path, offset, size in parts:
        taken = min(size, needed)
        found = path.stat().st_size
        if offset + taken > found:
            expected = f"expected {offset + taken} bytes in {path.name}, got {found}"
            raise InputError(f"{where}: {expected}: that file is truncated; copy it again")
        needed -= taken
    if needed:
        raise InputError(f"{where}: its external files are {needed} bytes short; the file is damaged: copy it again")


def boxes_of(space: h5py.h5s.SpaceID) -> NDArray[np.int64]:
    """What is selected, as boxes (count, axes, 2) from first to last + 1. InputError where that is too much."""
    kind, shape = space.get_select_type(), space.shape
    if kind == h5py.h5s.SEL_NONE:
        return np.zeros((0, len(shape), 2), np.int64)
    if kind == h5py.h5s.SEL_ALL:
        return np.array([[(0, size) for size in shape]], np.int64).reshape(1, len(shape), 2)
    if kind != h5py.h5s.SEL_HYPERSLABS:
        raise InputError("expected parts that are blocks, got single points; copy the data into one dataset")
    if not space.is_regular_hyperslab():
        if space.get_select_hyper_nblocks() > MAX_BOXES:
            raise InputError(_TOO_MANY)
        corners = np.asarray(space.get_select_hyper_blocklist(), np.int64)
        return np.stack([corners[:, 0], corners[:, 1] + 1], axis=-1)
    axes = []
    for start, stride, count, block in zip(*map(_whole, space.get_regular_hyperslab()), strict=True):
        if h5py.h5s.UNLIMITED in (count, block):
            raise InputError("expected parts with an end, got unlimited ones; copy the data into one dataset")
        if stride == block:
            block, count = block * count, 1
        if count > MAX_BOXES:
            raise InputError(_TOO_MANY)
        axes.append([(start + place * stride, start + place * stride + block) for place in range(count)])
    if math.prod(map(len, axes)) > MAX_BOXES:
        raise InputError(_TOO_MANY)
    return np.array(list(itertools.product(*axes)), np.int64)


def cover(boxes: Iterable[NDArray[np.int64]], shape: Sequence[int]) -> bool:
    """Whether boxes that may overlap leave nothing of an array of that shape out. InputError where they are too many.

    Axis by axis: between two of the boxes' ends the same boxes go on, so that one look at each such interval is enough.
    """
    every = np.concatenate(list(boxes))
    if len(every) > MAX_BOXES:
        raise InputError(_TOO_MANY)
    known: dict[tuple[int, bytes], bool] = {}
    comparisons = 0

    def look_at(some: NDArray[np.int64], axis: int) -> bool:
        nonlocal comparisons
        if axis == len(shape):
            return len(some) > 0
        key = axis, some[:, axis:].tobytes()
        if key not in known:
            first, end = some[:, axis, 0], some[:, axis, 1]
            cuts = np.unique(np.clip(np.concatenate([first, end, [0, shape[axis]]]), 0, shape[axis]))
            comparisons += len(some) * len(cuts)
            if comparisons > MAX_COMPARISONS:
                raise InputError(_TOO_MANY)
            known[key] = all(
                look_at(some[(first <= start) & (end >= stop)], axis + 1) for start, stop in itertools.pairwise(cuts)
            )
        return known[key]

    return 0 in shape or look_at(every, 0)


_TOO_MANY = "is made of too many parts; copy the data into one dataset"


def _whole(numbers: Iterable[int]) -> list[int]:
    return [int(one) for one in numbers]
