"""What a method is: how it is configured and run, and what the command line says about all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scoring import Outcome, Problem

from ugodit.priors.presets import PRESETS, Preset
from ugodit.reconstruction.preparation import Prepared

Configuration = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What the command line says about the methods."""

    preset_name: str
    seed: int = 0
    baseline_steps: int = 2000
    """Of the un-trained baselines."""
    paper_steps: tuple[int, int] = (300, 1000)
    """Of UGoDIT as published, training and adaptation; its own numbers are 5000 and 10000."""
    budget: float | None = None
    """Seconds after which an un-trained baseline ends, if its steps are not done before."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """'METHOD.TABLE.FIELD': value."""
    decoder: str = "mean"
    """Of a prior, for adaptation to start from."""

    @property
    def preset(self) -> Preset:
        return PRESETS[self.preset_name]


@dataclass(frozen=True)
class Group:
    """The scans that a prior is trained on, described now, prepared when they are needed."""

    description: list[dict[str, Any]]
    sampling: dict[str, Any]
    prepared: Callable[[], list[Prepared]]
    cache: Path


Run = Callable[[Problem, Configuration, Group | None], Outcome]


@dataclass(frozen=True)
class Method:
    """One row of the tables."""

    title: str
    """In the tables. Records are known by it: under a new title old records would be rows of their own."""
    configure: Callable[[Settings], Configuration]
    run: Run
    granted: str = ""
    """The advantage that the comparison gives it, for the tables."""
    ours: bool = False
    """Depends on the preset, and its name in the tables says which."""
    needs_group: bool = False
