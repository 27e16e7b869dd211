"""Result: what a volume's slices add up to, and the file that it is written to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ugodit.errors import InputError
from ugodit.io.reconstructions import checksum, read_arrays, read_attributes, write_reconstruction
from ugodit.reconstruction.finished_slice import FinishedSlice

OF_RUN = ("slices", "measurements")
"""What stands among the settings in a file, and differs between runs whose slices go together."""

LISTS = ("stopped", "prior_mode", "execution")


@dataclass(frozen=True)
class Result:
    """The reconstruction of a volume, or of some of its slices. Images are in the scan's own units."""

    name: str
    """The volume's."""
    slices: Sequence[int]
    """Which of its slices."""
    images: np.ndarray
    """float32 (slices, rows, columns)"""
    uncertainty: np.ndarray | None
    """float32, shape of `images`: how far images from other choices of the lines differ, where that was asked for."""
    prior_mode: list[str] | None
    """What the prior was used for in each slice (adapt, initialise, reject or zero-shot); None without a prior."""
    stopped: list[str]
    """Why the fit of each slice ended."""
    seconds: list[float]
    """What each slice took: waiting for its measurements, calibration, judging the prior, fit, final image."""
    besides: list[float]
    """Seconds spent for each slice beside that: its baselines and its uncertainty."""
    masks: np.ndarray
    """bool (slices, W) or (slices, H, W): the samples that were used."""
    targets: np.ndarray | None
    """float32, shape of `images`, where the fully sampled scan is known."""
    maximum: float | None
    """The largest value of the targets of the whole volume, which metrics take as intensity range."""
    baselines: dict[str, dict[int, np.ndarray]]
    """Zero filling and CG-SENSE, by the slice's place among `slices`: all where there are targets, else the middle."""
    coils: list[Mapping[str, str | int | float]]
    """What was done to each slice's coils, as the file's attributes."""
    execution: list[Mapping[str, Any]]
    """Of each slice, what may change the last bits: threads, instruction set, device."""
    settings: dict[str, Any]
    """Everything that the images depend on, as values that JSON knows."""

    @classmethod
    def of(
        cls,
        name: str,
        slices: Sequence[int],
        finished: Sequence[FinishedSlice],
        maximum: float | None,
        settings: Mapping[str, Any],
    ) -> Self:
        """From finished slices in their order. maximum: of the volume's targets, None to go without targets."""
        baselines: dict[str, dict[int, np.ndarray]] = {"zero filling": {}, "CG-SENSE": {}}
        for place, one in enumerate(finished):
            for title, image in one.baselines.items():
                baselines[title][place] = image
        spreads = [one.uncertainty for one in finished if one.uncertainty is not None]
        modes = [one.prior_mode for one in finished if one.prior_mode is not None]
        return cls(
            name=name,
            slices=slices,
            images=np.stack([one.image for one in finished]),
            uncertainty=np.stack(spreads) if spreads else None,
            prior_mode=modes or None,
            stopped=[one.stopped for one in finished],
            seconds=[one.seconds for one in finished],
            besides=[one.besides for one in finished],
            masks=np.stack(_alike([one.mask for one in finished])),
            targets=None if maximum is None else np.stack([one.target for one in finished if one.target is not None]),
            maximum=maximum,
            baselines=baselines,
            coils=[one.coils for one in finished],
            execution=[one.execution for one in finished],
            settings={**settings, "slices": list(slices), "measurements": [one.digest for one in finished]},
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an HDF5 file as fastMRI's evaluation reads it, whole or not at all. InputError where that fails.

        Datasets `reconstruction`, `mask`, and `uncertainty` if there is one; the rest as attributes.
        """
        self._written().save(path)

    def add_to(self, earlier: Written | None, path: str | os.PathLike[str], **times: float) -> None:
        """Write as `save` does, together with the slices of an earlier file with the same settings.

        times: seconds of the run that belong to no slice, as attributes.
        """
        written = self._written()
        (written if earlier is None else earlier.with_slices_of(written)).save(path, times)

    def _written(self) -> Written:
        columns: dict[str, list[Any]] = {
            "seconds_per_slice": self.seconds,
            "seconds_besides_per_slice": self.besides,
            "stopped": self.stopped,
            "execution": [json.dumps(one, sort_keys=True) for one in self.execution],
        }
        if self.prior_mode is not None:
            columns["prior_mode"] = self.prior_mode
        for key in self.coils[0]:
            columns[key] = [one[key] for one in self.coils]
        arrays = {"reconstruction": self.images, "mask": self.masks}
        if self.uncertainty is not None:
            arrays["uncertainty"] = self.uncertainty
        settings = {key: value for key, value in self.settings.items() if key not in OF_RUN}
        measurements = dict(zip(self.slices, self.settings["measurements"], strict=True))
        return Written(settings, list(self.slices), measurements, arrays, columns)


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

    def with_slices_of(self, other: Written) -> Written:
        """The slices of both, in order; where both have one, the other's."""
        kept = [place for place, index in enumerate(self.slices) if index not in other.slices]
        if not kept:
            return other
        slices = [self.slices[place] for place in kept] + other.slices
        order = sorted(range(len(slices)), key=slices.__getitem__)
        arrays = {}
        for name, new in other.arrays.items():
            parts = _alike([*self.arrays[name][kept], *new]) if name == "mask" else [*self.arrays[name][kept], *new]
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
        settings = json.loads(attributes["settings"])
        slices, measurements = [settings.pop(name) for name in OF_RUN]
        if "checksum" not in attributes:  # of ugodit 0.1.0: other settings, whatever they say
            return Written({}, slices, {}, {}, {})
        arrays, _ = read_arrays(path)
        if checksum(arrays, attributes["settings"]) != attributes["checksum"]:
            raise InputError(damaged)
        if attributes["masks"] == "one for all slices":
            arrays["mask"] = np.stack([arrays["mask"]] * len(slices))
        columns = {key: _values(attributes[key], len(slices)) for key in json.loads(attributes["columns"])}
        return Written(settings, slices, dict(zip(slices, measurements, strict=True)), arrays, columns)
    except _Foreign:
        raise InputError(
            f"{path}: is there, and was not written by `ugodit reconstruct`; choose another folder, or --overwrite"
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(damaged) from error


class _Foreign(Exception):
    """A file that is not ours."""


def _alike(masks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Masks (W,) among masks (H, W) as such."""
    largest = max(masks, key=lambda mask: mask.ndim)
    return [np.broadcast_to(mask, largest.shape) for mask in masks]


def _column(key: str, values: Sequence[Any]) -> Any:
    """Of the coils' attributes, what is the same for all slices as it is; else one value a slice."""
    if isinstance(values[0], float):
        return np.asarray(values)
    return list(values) if key in LISTS or len(set(values)) > 1 else values[0]


def _values(column: Any, slices: int) -> list[Any]:
    return list(column) if isinstance(column, list) else [column] * slices
