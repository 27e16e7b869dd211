"""Result: what a volume's slices add up to, and the file that it is written to."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import ugodit
from ugodit.calibration.pipeline import Coils
from ugodit.io.reconstructions import write_reconstruction


@dataclass(frozen=True)
class Result:
    """The reconstruction of a volume, or of some of its slices. Images are in the scan's own units."""

    name: str
    """The volume's."""
    slices: range
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
    """What each slice cost after it was read: calibration, judging the prior, fit, final image."""
    masks: np.ndarray
    """bool (slices, W) or (slices, H, W): the samples that were used."""
    targets: np.ndarray | None
    """float32, shape of `images`, where the fully sampled scan is known."""
    maximum: float | None
    """The largest value of the targets of the whole volume, which metrics take as intensity range."""
    baselines: dict[str, dict[int, np.ndarray]]
    """Zero filling and CG-SENSE, by the slice's place among `slices`: all where there are targets, else the middle."""
    coils: list[Coils]
    """What was done to each slice's coils."""
    settings: dict[str, Any]
    """Everything that the images depend on, as values that JSON knows."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an HDF5 file as fastMRI's evaluation reads it, whole or not at all. InputError where that fails.

        Datasets `reconstruction`, `mask`, and `uncertainty` if there is one; the rest as attributes.
        """
        mask = self.masks
        if (mask == mask[0]).all():
            mask = mask[0]
        attributes = {
            "settings": json.dumps(self.settings, sort_keys=True),
            "seed": self.settings["seed"],
            "version": ugodit.__version__,
            "prior_hash": self.settings["prior"],
            "prior_mode": self.prior_mode,
            "method": "ugodit",
            "slices": np.asarray(list(self.slices)),
            "seconds_per_slice": np.asarray(self.seconds),
            "stopped": self.stopped,
            **_coil_attributes(self.coils),
        }
        extra = {} if self.uncertainty is None else {"uncertainty": self.uncertainty}
        write_reconstruction(path, self.images, mask=mask, attributes=attributes, extra=extra)


def _coil_attributes(coils: Sequence[Coils]) -> dict[str, Any]:
    """What is the same for all slices as it is, numbers that differ as an array of one a slice."""
    slices = [one.attributes() for one in coils]
    columns = {key: [one[key] for one in slices] for key in slices[0]}
    return {
        key: np.asarray(values) if isinstance(values[0], float) or len(set(values)) > 1 else values[0]
        for key, values in columns.items()
    }
