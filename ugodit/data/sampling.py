"""Sampling: how a fully sampled scan is undersampled."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ugodit.data.masks import Mask, check_acceleration, check_center_fraction, check_kind, draw_mask, mask_generator

if TYPE_CHECKING:
    from ugodit.data.scan import Scan


@dataclass(frozen=True)
class Sampling:
    """How a fully sampled scan is undersampled; a scan with a mask of its own is left as it is."""

    kind: str = "equispaced"
    """random, equispaced, equispaced_fraction or magic (phase-encode lines, `cartesian_mask`), or poisson (along both
    axes, `poisson_disc_mask`)."""
    acceleration: float = 4.0
    """Keep one sample in this many."""
    center_fraction: float = 0.08
    """Fully sampled central fraction of the phase-encode lines (poisson: of the shorter axis, along both)."""
    seed: int = 0
    """Of the mask, 0 to 2^32 - 1."""

    def __post_init__(self) -> None:
        # A record of 4 and one of 4.0 would be two settings.
        object.__setattr__(self, "acceleration", float(self.acceleration))
        check_kind(self.kind)
        check_acceleration(self.acceleration)
        check_center_fraction(self.center_fraction)
        mask_generator(self.seed)

    def mask(self, shape: tuple[int, int]) -> Mask:
        """bool (W,), or (H, W) for poisson, for k-space of (H, W) samples. InputError where there is none."""
        return draw_mask(self.kind, shape, self.acceleration, self.center_fraction, self.seed)

    def varied(self, number: int) -> Sampling:
        """The same sampling with another seed for every number, so that scans of a group have lines of their own.

        Number 0 keeps the seed.
        """
        if number == 0:
            return self
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        return dataclasses.replace(self, seed=seed)

    def apply(self, scan: Scan) -> Scan:
        """The scan undersampled; as it is, if it has a mask."""
        from ugodit.data.undersampling import undersample  # which needs torch: options are checked before it is there

        if scan.mask is not None:
            return scan
        return undersample(scan, self.mask((scan.kspace.shape[-2], scan.kspace.shape[-1])))
