"""A slice that is done: all that the volume's files need of it, and the file that keeps it until they are written."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ugodit.data.limits import is_sensible
from ugodit.errors import InputError
from ugodit.io.atomic import write_file
from ugodit.io.hdf5 import hdf5_bytes
from ugodit.io.reconstructions import checksum as checksum_of
from ugodit.io.reconstructions import read_arrays
from ugodit.priors.adaptation import PriorMode
from ugodit.reconstruction.baselines import BASELINES

IMAGES = ("image", "mask", "uncertainty", "target", "maps")
BASELINE_NAMES = tuple(BASELINES)
PRIOR_MODES = (None, "zero-shot", *get_args(PriorMode))
_DEPTH = 8
"""Of lists and objects within one another in a slice's record."""


@dataclass(frozen=True)
class FinishedSlice:
    """What became of one slice. Images are float32 (rows, columns), in the scan's units."""

    index: int
    """Which slice of the volume, from 0."""
    image: NDArray[np.float32]
    mask: NDArray[np.bool_]
    """(W,) or (H, W): the samples that were used."""
    stopped: str
    """Why the fit ended."""
    seconds: float
    """What the slice took since the one before was fitted: waiting for its measurements, calibration, judging the
    prior, fit, final image."""
    digest: str
    """`Scan.digest()` of the undersampled scan."""
    uncertainty: NDArray[np.float32] | None = None
    prior_mode: str | None = None
    """adapt, initialise, reject or zero-shot; None without a prior."""
    target: NDArray[np.float32] | None = None
    coils: Mapping[str, str | int | float] = field(default_factory=dict)
    """What was done to the coils, as attributes."""
    baselines: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Zero filling and CG-SENSE."""
    besides: float = 0.0
    """Seconds spent for it beside the reconstruction: baselines and uncertainty."""
    together: tuple[int, ...] = ()
    """The slices that were fitted in one batch, itself among them."""
    source: str = ""
    """Which file the measurements came from, in which state; "" where they were in memory."""
    execution: Mapping[str, Any] = field(default_factory=dict)
    """What may change the last bits: threads, instruction set, device."""
    maps: NDArray[np.complex64] | None = None
    """complex64 (C, H, W) of the scan's own coils, where they are to be written."""

    @property
    def form(self) -> tuple[object, ...]:
        """What all slices of a volume have in common."""
        coils = sorted((name, isinstance(value, str)) for name, value in self.coils.items())
        return self.image.shape, self.mask.shape[-1], self.uncertainty is None, self.prior_mode is None, *coils

    def save(self, path: Path, settings: str) -> None:
        """Write it, whole or not at all, with the digest of the settings it was made with. OutputError."""
        datasets = {name: value for name in IMAGES if (value := getattr(self, name)) is not None}
        datasets |= {f"baselines/{name}": image for name, image in self.baselines.items()}
        plain = {
            one.name: getattr(self, one.name)
            for one in dataclasses.fields(self)
            if one.name not in IMAGES and one.name != "baselines"
        }
        record = json.dumps({**plain, "settings": settings}, sort_keys=True)
        attributes = {"record": record, "checksum": checksum_of(datasets, record)}
        write_file(path, hdf5_bytes(datasets, attributes))

    @classmethod
    def load(cls, path: Path) -> tuple[FinishedSlice, str]:
        """The slice in a file, and the digest of the settings it was made with. InputError where it is damaged."""
        try:
            datasets, attributes = read_arrays(path)
            record = str(attributes["record"])
            if attributes["checksum"] != checksum_of(datasets, record):
                raise InputError(f"{path}: damaged")
            plain = json.loads(record)
            if not is_sensible(plain, _DEPTH, finite=False):
                raise ValueError("record")
            settings = plain.pop("settings")
            plain["together"] = tuple(plain["together"])
            baselines = {
                name.removeprefix("baselines/"): datasets.pop(name)
                for name in list(datasets)
                if name.startswith("baselines/")
            }
            images: dict[str, Any] = {name: datasets.get(name) for name in IMAGES}
            found = cls(**plain, **images, baselines=baselines)
            _check(found)
            return found, settings
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise InputError(f"{path}: damaged, or no slice of ours") from error


def _check(found: FinishedSlice) -> None:
    """ValueError, TypeError or AttributeError for a slice that no fit leaves behind, whatever its checksum says."""
    for name, kind in (("index", int), ("stopped", str), ("digest", str), ("source", str), ("execution", dict)):
        _require(type(getattr(found, name)) is kind, name)
    _require(all(type(index) is int for index in found.together), "together")
    for seconds in (found.seconds, found.besides):
        _require(type(seconds) in (int, float) and math.isfinite(seconds), "seconds")
    _require(found.prior_mode in PRIOR_MODES, "prior_mode")
    _require(all(type(value) in (str, int, float) for value in found.coils.values()), "coils")
    _require(found.image.ndim == 2, "image")
    _require(found.mask.ndim in (1, 2) and found.mask.dtype == bool, "mask")
    for name, image in (("image", found.image), ("uncertainty", found.uncertainty), ("target", found.target)):
        if image is not None:
            _require(_is_image(image, found.image.shape) and bool(np.isfinite(image).all()), name)
    names = set(found.baselines)
    _require(names <= set(BASELINE_NAMES) and (found.target is None or len(names) == len(BASELINE_NAMES)), "baselines")
    _require(all(_is_image(image, found.image.shape) for image in found.baselines.values()), "baselines")
    _require(found.maps is None or (found.maps.ndim == 3 and found.maps.dtype == np.complex64), "maps")


def _is_image(image: NDArray[Any], shape: tuple[int, ...]) -> bool:
    return image.dtype == np.float32 and image.shape == shape


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)
