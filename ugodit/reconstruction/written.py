"""What a volume's file holds, slice by slice: how it is written, read again, and put together with other slices."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ugodit.errors import InputError
from ugodit.io.reconstructions import checksum, own_settings, read_attributes, read_own, write_reconstruction

OF_RUN = ("slices", "measurements")
"""What stands among the settings in a file, and differs between runs whose slices go together."""

LISTS = ("stopped", "prior_mode", "execution")
NUMBERS = ("seconds_per_slice", "seconds_besides_per_slice")
"""Columns that every file has, as `LISTS` (without a prior, no prior_mode)."""


@dataclass(frozen=True)
class Written:
    """What a reconstruction's file holds, slice by slice."""

    settings: Mapping[str, Any]
    """Without those that say which slices these are."""
    slices: list[int]
    measurements: Mapping[int, str]
    """Digests, by slice."""
    arrays: Mapping[str, np.ndarray]
    """reconstruction, mask, uncertainty: a slice each along the first axis."""
    columns: Mapping[str, list[Any]]
    """Attributes, one value a slice."""

    def changed(self, settings: Mapping[str, Any]) -> str:
        """Which settings are others, by name."""
        names = {*self.settings, *settings}
        return ", ".join(sorted(name for name in names if self.settings.get(name) != settings.get(name)))

    def misfits(self, other: Written) -> list[str]:
        """The arrays and columns of another that could not be put together with these, by name."""
        found = [
            name
            for name, new in other.arrays.items()
            if name not in self.arrays or (name != "mask" and self.arrays[name].shape[1:] != new.shape[1:])
        ]
        mine, others = self.arrays["mask"].shape[1:], other.arrays["mask"].shape[1:]
        if mine[-1] != others[-1] or (len(mine) == len(others) and mine != others):
            found.append("mask")
        for key, new in other.columns.items():
            if {isinstance(one, str) for one in self.columns.get(key, [])} != {isinstance(one, str) for one in new}:
                found.append(key)
        return found

    def with_slices_of(self, other: Written) -> Written:
        """The slices of both, in order; where both have one, the other's."""
        kept = [place for place, index in enumerate(self.slices) if index not in other.slices]
        if not kept:
            return other
        slices = [self.slices[place] for place in kept] + other.slices
        order = sorted(range(len(slices)), key=slices.__getitem__)
        arrays = {}
        for name, new in other.arrays.items():
            parts = alike([*self.arrays[name][kept], *new]) if name == "mask" else [*self.arrays[name][kept], *new]
            arrays[name] = np.stack([parts[place] for place in order])
        columns = {}
        for key, values in other.columns.items():
            column = [self.columns[key][place] for place in kept] + list(values)
            columns[key] = [column[place] for place in order]
        measurements = {index: ({**self.measurements, **other.measurements})[index] for index in sorted(slices)}
        return Written(other.settings, sorted(slices), measurements, arrays, columns)

    def save(self, path: str | os.PathLike[str], times: Mapping[str, float] | None = None) -> None:
        """Write the file, whole or not at all. OutputError where that fails. times: more attributes, in seconds."""
        mask = self.arrays["mask"]
        extra = {name: array for name, array in self.arrays.items() if name not in ("reconstruction", "mask")}
        own = {"slices": self.slices, "measurements": [self.measurements[index] for index in self.slices]}
        settings = json.dumps({**self.settings, **own}, sort_keys=True)
        alike = bool((mask == mask[0]).all())
        mask = mask[0] if alike else mask
        attributes = {
            "settings": settings,
            "seed": self.settings["seed"],
            "version": self.settings["version"],
            "prior_hash": self.settings["prior"],
            "method": "ugodit",
            "slices": np.asarray(self.slices),
            **{key: _column(key, values) for key, values in self.columns.items()},
            **(times or {}),
            "masks": "one for all slices" if alike else "one a slice",
            "columns": json.dumps(sorted(self.columns)),
            "checksum": checksum({**self.arrays, "mask": mask}, settings),
        }
        write_reconstruction(path, self.arrays["reconstruction"], mask=mask, attributes=attributes, extra=extra)


def read_written(path: Path) -> Written | None:
    """What a file of ours holds; None where there is none.

    Raises:
        InputError: a damaged file, or somebody else's.
    """
    if not path.exists():
        return None
    damaged = f"{path}: this result of an earlier run is damaged; --overwrite makes it anew"
    try:
        attributes = read_attributes(path)
        if attributes.get("method") != "ugodit":
            raise _Foreign
        if "checksum" not in attributes:  # of ugodit 0.1.0: other settings, whatever they say
            return Written({}, own_settings(path, attributes["settings"])["slices"], {}, {}, {})
        arrays, attributes, settings = read_own(path)
        slices, measurements = [settings.pop(name) for name in OF_RUN]
        if attributes["masks"] == "one for all slices":
            arrays["mask"] = np.broadcast_to(arrays["mask"], (len(slices), *arrays["mask"].shape))
        if arrays["mask"].ndim not in (2, 3) or len(arrays["mask"]) != len(slices):
            raise InputError(damaged)
        return Written(
            settings, slices, dict(zip(slices, measurements, strict=True)), arrays, _columns(attributes, len(slices))
        )
    except _Foreign:
        raise InputError(
            f"{path}: is there, and was not written by `ugodit reconstruct`; choose another folder, or --overwrite"
        ) from None
    except (KeyError, TypeError, ValueError, RecursionError) as error:  # ValueError: whatever read_own found
        raise InputError(damaged) from error


class _Foreign(Exception):
    """A file that is not ours."""


def alike(masks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Masks (W,) among masks (H, W) as such."""
    largest = max(masks, key=lambda mask: mask.ndim)
    return [np.broadcast_to(mask, largest.shape) for mask in masks]


def _column(key: str, values: Sequence[Any]) -> Any:
    """Of the coils' attributes, what is the same for all slices as it is; else one value a slice."""
    if isinstance(values[0], float):
        return np.asarray(values)
    return list(values) if key in LISTS or len(set(values)) > 1 else values[0]


def _columns(attributes: Mapping[str, Any], slices: int) -> dict[str, list[Any]]:
    """The columns by name, a value a slice, of the types that they were written with. KeyError or ValueError."""
    names = json.loads(attributes["columns"])
    if not isinstance(names, list) or not {*NUMBERS, *LISTS} - {"prior_mode"} <= set(names):
        raise ValueError("expected the names of the columns")
    return {name: _values(name, attributes[name], slices) for name in names}


def _values(name: str, column: Any, slices: int) -> list[Any]:
    values = list(column) if isinstance(column, list) else [column] * slices
    kinds: tuple[type, ...] = (int, float) if isinstance(values[0], int | float) else (str,)
    wrong = (name in NUMBERS and kinds == (str,)) or (name in LISTS and kinds != (str,))
    if wrong or len(values) != slices or not all(isinstance(one, kinds) for one in values):
        raise ValueError(f"{name}: expected a value for each slice")
    return values
