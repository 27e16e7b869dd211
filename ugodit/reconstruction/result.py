"""Result: what a volume's slices add up to, and the file that it is written to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ugodit.errors import InputError
from ugodit.reconstruction.finished_slice import FinishedSlice
from ugodit.reconstruction.written import OF_RUN, Written, alike


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
            masks=np.stack(alike([one.mask for one in finished])),
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
        misfits = [] if earlier is None else earlier.misfits(written)
        if misfits:
            what = ", ".join(misfits)
            raise InputError(
                f"{path}: this result of an earlier run has other {what} than these slices; --overwrite makes it anew"
            )
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
