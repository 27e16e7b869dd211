"""A case: a slice at one acceleration and seed, undersampled at once, and prepared when a method asks for it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from cases import Slice, Suite, check_disjoint
from method import Group
from records import Record
from scoring import Problem
from torch import Tensor

from ugodit.data.sampling import Sampling
from ugodit.data.scan import Scan
from ugodit.data.undersampling import acs_width
from ugodit.errors import InputError
from ugodit.reconstruction.preparation import Prepared, prepare

CENTER_FRACTIONS = {4.0: 0.08, 8.0: 0.04}
"""fastMRI's; other accelerations get 0.32 / acceleration, which both follow."""
LEAST_CENTER_LINES = 8
"""Of a default central fraction: narrow scans leave ESPIRiT too little otherwise (96 columns at 8x: 4 lines)."""
TRAINING_SEED = 1000
"""Of the first training scan's mask: every training scan has a mask of its own, none the tested scan's."""


@dataclass(frozen=True)
class Shared:
    """What all cases of a call have in common."""

    suite: Suite
    group_suite: Suite
    """Whose subjects train the group."""
    mask: str
    """Its kind."""
    center_fraction: float | None
    """None for the default of the acceleration."""
    device: torch.device
    cache: Path

    def nominal_fraction(self, acceleration: float) -> float:
        """The central fraction that is asked for, and in a record."""
        if self.center_fraction is not None:
            return self.center_fraction
        return CENTER_FRACTIONS.get(acceleration, round(0.32 / acceleration, 4))

    def undersampled(self, one: Slice, acceleration: float, seed: int) -> Scan:
        """By the commands' rules, with LEAST_CENTER_LINES where nobody asked for a central fraction."""
        fraction = self.nominal_fraction(acceleration)
        if self.center_fraction is None:
            fraction = max(fraction, LEAST_CENTER_LINES / one.scan.kspace.shape[-1])
        return Sampling(self.mask, acceleration, fraction, seed).apply(one.scan)


class Case:
    """One slice, acceleration and seed."""

    def __init__(self, shared: Shared, tested: Slice, acceleration: float, seed: int) -> None:
        self.shared, self.tested, self.seed = shared, tested, seed
        self.acceleration = acceleration
        self.sampling = {
            "mask": shared.mask,
            "acceleration": acceleration,
            "center_fraction": shared.nominal_fraction(acceleration),
        }
        self.scan = shared.undersampled(tested, acceleration, seed)
        # Score and measurements: what the result depends on.
        assert tested.scan.target is not None
        content = hashlib.sha256(self.scan.kspace.contiguous().numpy().tobytes())
        content.update(tested.scan.target.numpy().tobytes())
        self.sha256 = content.hexdigest()
        self._problem: Problem | None = None

    @property
    def title(self) -> str:
        return f"{self.shared.suite.name}, {self.tested.name}, {self.acceleration:g}x, seed {self.seed}"

    def identity(self) -> Record:
        """The case's share of a record."""
        assert self.scan.mask is not None
        return {
            "suite": self.shared.suite.name,
            "source": self.shared.suite.source,
            "case": self.tested.name,
            "subject": self.tested.subject,
            "noise": self.shared.suite.noise,
            "shape": list(self.scan.kspace.shape),
            **self.sampling,
            "center_lines": acs_width(self.scan.mask),
            "sampled": round(float(self.scan.mask.float().mean()), 4),
            "seed": self.seed,
        }

    def problem(self) -> Problem:
        """For the methods; prepared once."""
        if self._problem is None:
            maps: list[Tensor] = []
            prepared = prepare(self.scan, device=self.shared.device, cache=self._maps_cache, on_maps=maps.append)
            self._problem = Problem(self.tested, self.scan, prepared, maps[0])
        return self._problem

    def group(self) -> Group:
        """The training scans for this slice, each with a mask of its own, and never a scan of the same subject."""
        slices = self.shared.group_suite.training_for(self.tested)
        check_disjoint(slices, [self.tested])
        if not slices:
            raise InputError(f"{self.tested.name}: no other subject is there to train a group on; leave group_* out")
        seeds = [TRAINING_SEED + 100 * self.seed + index for index in range(len(slices))]
        description: list[dict[str, Any]] = [
            {"name": one.name, "subject": one.subject, "sha256": _sha256(one), "mask_seed": seed}
            for one, seed in zip(slices, seeds, strict=True)
        ]
        return Group(description, self.sampling, lambda: self._prepared(slices, seeds), self.shared.cache)

    def _prepared(self, slices: Sequence[Slice], seeds: Sequence[int]) -> list[Prepared]:
        scans = [
            self.shared.undersampled(one, self.acceleration, seed) for one, seed in zip(slices, seeds, strict=True)
        ]
        return [prepare(scan, device=self.shared.device, cache=self._maps_cache) for scan in scans]

    @property
    def _maps_cache(self) -> Path:
        return self.shared.cache / "maps"


def _sha256(one: Slice) -> str:
    return hashlib.sha256(one.scan.kspace.contiguous().numpy().tobytes()).hexdigest()[:16]
