"""From an undersampled scan to the operator that a fit works on: calibrate, pack, scale."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ugodit.calibration.cache import MapsCache
from ugodit.calibration.pipeline import CoilPlan, Coils, calibrate
from ugodit.data.geometry import center_crop, center_rows
from ugodit.data.scan import Scan
from ugodit.errors import InputError, named
from ugodit.operators.scale import normalize
from ugodit.operators.sense import SenseOperator

NO_MAPS = "calibration found no coil sensitivity anywhere: the ACS lines are noise"


@dataclass(frozen=True)
class Prepared:
    """One slice, ready to be reconstructed. Its k-space is in the operator only."""

    name: str
    slice_index: int
    shape: tuple[int, int, int]
    """(coils, readout, phase encode) of the scan."""
    mask: Tensor
    """bool (W,) or (H, W)"""
    crop: tuple[int, int]
    """(rows, columns) of the reported image."""
    target: Tensor | None
    """float32, of the size of `crop`."""
    digest: str
    """`Scan.digest()` of the undersampled scan."""
    operator: SenseOperator
    """Measurements scaled to images of order one; rows cropped to the reported ones where the mask allows it."""
    scale: float
    """Images of the operator times this are in the scan's units."""
    coils: Coils = field(default_factory=Coils)
    """What was done to the coils before."""
    intensity: Tensor | None = None
    """(H, W): the magnitudes of whitened or compressed coils times this are those of the scan's own; None for 1."""
    seconds: float = 0.0
    """What all this took, after the scan was read."""

    def magnitude(self, image: Tensor, *, of_coils: bool = False) -> np.ndarray:
        """float32 (rows, columns): the reported part of |image|, for an image (1, 2, H, W), in the scan's units.

        of_coils: of the coil images S x, their root sum of squares. That differs where soft maps fade out, and is the
        better picture of an image x that nothing but its data shaped: there it holds little but noise.
        """
        weight = self.operator.sensitivity if of_coils else self.operator.support
        magnitude = self.operator.domain.picture(image * weight)[0] * self.scale
        if self.intensity is not None:
            magnitude = magnitude * self.intensity
        return center_crop(magnitude, self.crop).cpu().numpy()


def have_rows_alike(mask: Tensor) -> bool:
    """Whether a mask (W,) or (H, W) does not vary along the readout."""
    return mask.ndim == 1 or bool((mask == mask[:1]).all())


def prepare(
    scan: Scan,
    plan: CoilPlan | None = None,
    *,
    device: torch.device | str = "cpu",
    cache: MapsCache | Path | None = None,
    digest: str | None = None,
    along_width: bool | None = None,
    on_maps: Callable[[Tensor], None] | None = None,
    where: str | None = None,
) -> Prepared:
    """An undersampled scan with its operator.

    Args:
        scan: with its mask.
        plan: what is done to the coils.
        device: where the operator lives.
        cache: where sensitivity maps are kept.
        digest: `scan.digest()`, where the caller has it.
        along_width: whether the mask may be taken as one along W, where its rows are alike; found out by default.
        on_maps: is given the maps (C, H, W), for the scan's own coils.
        where: names the slice in errors.

    Raises:
        InputError: coils that cannot be calibrated.
    """
    began = time.perf_counter()
    assert scan.mask is not None
    plan, digest = plan or CoilPlan(), digest or scan.digest()
    mask = scan.mask
    if mask.ndim == 2 and (have_rows_alike(mask) if along_width is None else along_width):
        mask = mask[0]  # the fast path of masks along W
    rows = scan.crop[0] if mask.ndim == 1 else scan.kspace.shape[-2]
    with named(where or f"{scan.name}, slice {scan.slice_index}"):
        calibrated = calibrate(scan, plan, cache, digest, on_maps)
        if not bool((center_rows(calibrated.maps, rows) != 0).any()):
            found = f"{plan.maps.path}: maps: all 0 for this slice" if plan.maps else NO_MAPS
            raise InputError(f"{found}; leave this slice out (`slices`)")
    # Scanners' units may be so small or large that squares leave single precision.
    unit = float(calibrated.kspace.abs().max())
    operator, scale = normalize(
        SenseOperator.from_kspace(
            calibrated.kspace / unit,
            calibrated.maps,
            mask,
            rows=rows if mask.ndim == 1 else None,
            device=device,
        )
    )
    intensity = calibrated.intensity
    if intensity is not None:
        intensity = center_rows(intensity, rows).to(device)
    return Prepared(
        name=scan.name,
        slice_index=scan.slice_index,
        shape=(scan.kspace.shape[0], scan.kspace.shape[1], scan.kspace.shape[2]),
        mask=scan.mask,
        crop=scan.crop,
        target=scan.target,
        digest=digest,
        operator=operator,
        scale=scale * unit,
        coils=calibrated.coils,
        intensity=intensity,
        seconds=time.perf_counter() - began,
    )
