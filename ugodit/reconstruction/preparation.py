"""From a volume's slice to the operator that the fit loop works on: undersample, calibrate, pack, scale."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ugodit.calibration import estimate_maps
from ugodit.calibration.pipeline import CoilPlan, Coils, named, unwhitened
from ugodit.data.sampling import acs_width, cartesian_mask, poisson_disc_mask, undersample
from ugodit.data.scan import Scan
from ugodit.errors import InputError
from ugodit.fit.config import FitConfig
from ugodit.fit.splitting import acs_core, split_random
from ugodit.fit.stopping import hold_out
from ugodit.io.fastmri import Volume, center_crop
from ugodit.io.maps import read_maps, write_maps
from ugodit.operators.sense import SenseOperator, center_rows
from ugodit.priors.adaptation import normalize


@dataclass(frozen=True)
class Prepared:
    """One slice, ready to be reconstructed."""

    scan: Scan
    """Undersampled, with its mask."""
    operator: SenseOperator
    """Measurements scaled to images of order one; rows cropped to the reported ones where the mask allows it."""
    scale: float
    """Images of the operator times this are in the scan's units."""
    coils: Coils = field(default_factory=Coils)
    """What was done to the coils before."""
    intensity: Tensor | None = None
    """(H, W): the magnitudes of whitened or compressed coils times this are those of the scan's own; None for 1."""

    def magnitude(self, image: Tensor, *, of_coils: bool = False) -> np.ndarray:
        """float32 (rows, columns): the reported part of |image|, for an image (1, 2, H, W), in the scan's units.

        of_coils: of the coil images S x, their root sum of squares. That differs where soft maps fade out, and is the
        better picture of an image x that nothing but its data shaped: there it holds little but noise.
        """
        weight = self.operator.sensitivity if of_coils else self.operator.support
        magnitude = (image * weight).square().sum(1)[0].sqrt() * self.scale
        if self.intensity is not None:
            magnitude = magnitude * self.intensity
        return center_crop(magnitude, self.scan.crop).cpu().numpy()


def prepare(
    volume: Volume,
    index: int,
    arguments: argparse.Namespace,
    device: torch.device,
    cache: Path | None,
    plan: CoilPlan | None = None,
    on_maps: Callable[[Tensor], None] | None = None,
) -> Prepared:
    """Read slice `index`, undersample it if it is fully sampled, find its maps (kept in the folder `cache`)."""
    scan = undersampled(volume.scan(index), arguments)
    return prepare_scan(scan, device, cache, plan, on_maps, f"{volume.path}: slice {index}")


def undersampled(scan: Scan, arguments: argparse.Namespace) -> Scan:
    """The scan as it is if it has a mask, else undersampled as the options say."""
    if scan.mask is not None:
        return scan
    rows, columns = scan.kspace.shape[-2:]
    if arguments.mask == "poisson":
        calibration = max(round(arguments.center_fraction * min(rows, columns)), 1)
        mask = poisson_disc_mask((rows, columns), arguments.acceleration, calibration, arguments.seed)
    else:
        mask = cartesian_mask(
            arguments.mask, columns, arguments.acceleration, arguments.center_fraction, arguments.seed
        )
    return undersample(scan, mask)


def prepare_scan(
    scan: Scan,
    device: torch.device,
    cache: Path | None,
    plan: CoilPlan | None = None,
    on_maps: Callable[[Tensor], None] | None = None,
    where: str | None = None,
) -> Prepared:
    """An undersampled scan with its operator.

    on_maps: is given the maps (C, H, W), for the scan's own coils. where: names the slice in errors.
    """
    assert scan.mask is not None
    rows = scan.crop[0] if scan.mask.ndim == 1 else scan.kspace.shape[-2]
    with named(where or f"{scan.name}, slice {scan.slice_index}"):
        kspace, maps, coils, intensity = _calibrated(scan, cache, plan or CoilPlan(), on_maps)
        if not bool((center_rows(maps, rows) != 0).any()):
            found = f"{plan.maps.path}: maps: all 0 for this slice" if plan and plan.maps else NO_MAPS
            raise InputError(f"{found}; leave this slice out with --slices")
    # Scanners' units may be so small or large that squares leave single precision.
    unit = float(kspace.abs().max())
    operator = SenseOperator.from_kspace(
        kspace / unit, maps, scan.mask, rows=rows if scan.mask.ndim == 1 else None, device=device
    )
    operator, scale = normalize(operator)
    if intensity is not None:
        intensity = center_rows(intensity, rows).to(device)
    return Prepared(scan, operator, scale * unit, coils, intensity)


def _calibrated(
    scan: Scan, cache: Path | None, plan: CoilPlan, on_maps: Callable[[Tensor], None] | None
) -> tuple[Tensor, Tensor, Coils, Tensor | None]:
    """k-space and maps (K, H, W) of the operator's coils, what was done to them, and the intensity of all rows."""
    whitened, whitening = plan.whiten(scan)
    if plan.maps:
        maps = plan.maps.read(scan.slice_index)
        largest = float(torch.linalg.vector_norm(maps, dim=0).max())
        # Weights of data consistency are relative to maps of unit norm. Maps that fade out are as they should be.
        if largest > 0 and not 0.5 < largest < 1.01:
            maps = maps / largest
    else:
        maps = unwhitened(cached_maps(whitened, cache), whitening)
    if on_maps:
        on_maps(maps)
    kspace, compression = plan.compress(whitened)
    coils = Coils(whitening, compression)
    maps, intensity = coils.maps_of_operator(maps)
    return kspace, maps, coils, intensity


def check_splits(prepared: Prepared, config: FitConfig) -> None:
    """InputError where the lines are too few to be held out and split as `config` asks: before anything is fitted."""
    weights = prepared.operator.weights
    core = acs_core(weights)
    if config.held_out:
        weights = hold_out(weights, core, config.held_out, config.seed)[0]
    if config.splitting == "random":
        split_random(weights, core, config.loss_fraction, torch.Generator().manual_seed(config.seed))


NO_MAPS = "calibration found no coil sensitivity anywhere: the ACS lines are noise"

CACHE_FORMAT = 1
"""Goes up whenever `reconstruction_maps` would give other maps for the same scan."""

WIDE_ACS = 12
"""Lines. From here on maps are good enough to be used where the signal is weak."""


def reconstruction_maps(scan: Scan) -> Tensor:
    """Sensitivity maps (C, H, W) of the full field of view, as reconstructions want them.

    A hard crop at the object's edge leaves the background black, and with it skin, vessels and whatever else is faint.
    With a wide ACS, maps fade out with the eigenvalue instead. From few lines they are trusted inside the object only.
    """
    assert scan.mask is not None
    if acs_width(scan.mask) >= WIDE_ACS:
        return estimate_maps(scan.kspace, None, mask=scan.mask, crop=0.5, soft=True)
    return estimate_maps(scan.kspace, None, mask=scan.mask)


def cached_maps(scan: Scan, cache: Path | None) -> Tensor:
    """Sensitivity maps (C, H, W) of the full field of view, from the folder `cache` if they are there already.

    The file's name holds a hash of the measurements and the mask, so a changed scan, or one whose coils were whitened,
    is never given old maps.
    """
    if cache is None:
        return reconstruction_maps(scan)
    assert scan.mask is not None
    recipe = hashlib.sha256(f"{CACHE_FORMAT} {scan.digest()}".encode())
    path = cache / f"{scan.name}_slice{scan.slice_index:03d}_{recipe.hexdigest()[:16]}.h5"
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
