"""From a batch of prepared slices to their images: judge the prior, fit, look at the result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from ugodit.calibration.pipeline import Coils
from ugodit.errors import InputError
from ugodit.fit.initial import InitialEstimates
from ugodit.fit.test_time import uncertainty
from ugodit.operators.protocol import Operator
from ugodit.priors.acceptance import FITS, held_out_errors
from ugodit.priors.adaptation import (
    PriorMode,
    adapt,
    can_be_judged,
    from_prior,
    initial_estimates,
    plan_fit,
    zero_shot,
)
from ugodit.reconstruction.job import Job
from ugodit.reconstruction.observer import Observer

DIVERGED = 1e3
"""The fit sees scans scaled to images of order one: an image this large, or with NaN in it, is none."""

DECISIONS = {
    "initialise": "it makes the initial estimates only, as the lines leave most open, and a new network is fitted",
    "reject": "rejected: fitting the scan alone",
}


class PreparedSlice(Protocol):
    """What is asked of a slice here: an operator of any kind, and how its images are reported."""

    @property
    def operator(self) -> Operator: ...
    @property
    def mask(self) -> Tensor: ...
    @property
    def target(self) -> Tensor | None: ...
    @property
    def coils(self) -> Coils: ...
    @property
    def seconds(self) -> float: ...
    def magnitude(self, image: Tensor) -> np.ndarray:
        """The reported part of an image (1, channels, H, W), in the measurements' units."""


@dataclass(frozen=True)
class SliceResult:
    """What becomes of one slice. Images are float32 (rows, columns), in the scan's units."""

    image: np.ndarray
    uncertainty: np.ndarray | None
    prior_mode: str | None
    """adapt, initialise, reject or zero-shot; None without a prior."""
    stopped: str
    """Why the fit ended."""
    seconds: float
    """All that the slice cost after it was read: calibration, judging the prior, fit, final image."""
    mask: np.ndarray
    """bool (W,) or (H, W): the samples that were used."""
    target: np.ndarray | None
    """float32 (rows, columns), where it is known."""
    coils: Coils
    """What was done to the coils."""


@dataclass(frozen=True)
class _Batch:
    """Slices that go through the network together."""

    slices: Sequence[PreparedSlice]
    operator: Operator
    estimates: InitialEstimates

    @classmethod
    def of(cls, slices: Sequence[PreparedSlice], job: Job) -> _Batch:
        operator = type(slices[0].operator).stack([prepared.operator for prepared in slices])
        if job.prior is None:
            form, seed = job.preset.alone_model, job.preset.alone.seed
        else:
            form, seed = job.prior.model, job.preset.adapt.seed
        return cls(slices, operator, initial_estimates(operator, form, seed))

    def select(self, items: Sequence[int], job: Job) -> _Batch:
        """Some of them. Their estimates are made anew, as if they were a batch of their own."""
        return self if len(items) == len(self.slices) else _Batch.of([self.slices[item] for item in items], job)


def reconstruct_batch(slices: Sequence[PreparedSlice], job: Job, label: str, observer: Observer) -> list[SliceResult]:
    """The slices of one batch, those that the prior serves in the same way together.

    Raises:
        InputError: a fit that diverged, or a prior that gives no image.
    """
    began = time.perf_counter()
    batch = _Batch.of(slices, job)
    modes = _modes(batch, job, label, observer)
    shared = (time.perf_counter() - began) / len(slices)
    results: dict[int, SliceResult] = {}
    for mode in dict.fromkeys(modes):
        items = [item for item, found in enumerate(modes) if found == mode]
        began = time.perf_counter()
        alike = batch.select(items, job)
        selecting = (time.perf_counter() - began) / len(items)
        run = _zero_shot if job.zero_shot else _fit
        images = run(alike, job, mode, label, observer)
        results |= zip(items, _results(alike, images, shared + selecting), strict=True)
    return [results[item] for item in range(len(slices))]


@dataclass(frozen=True)
class _Images:
    """What one plan makes of its slices."""

    image: Tensor
    uncertainty: Tensor | None
    prior_mode: str | None
    stopped: str
    seconds: float


def _modes(batch: _Batch, job: Job, label: str, observer: Observer) -> list[PriorMode]:
    """What the prior is used for in each of the items."""
    items = len(batch.slices)
    if job.prior is None:
        return ["reject"] * items
    if not can_be_judged(job.prior.model, job.decoder):
        return ["adapt"] * items
    plan = from_prior(batch.operator, job.prior, job.preset.adapt, job.decoder)
    errors = held_out_errors(batch.estimates, plan)
    modes = errors.modes(job.preset.adapt)
    for mode, decision in DECISIONS.items():
        ratios = [ratio for ratio, found in zip(errors.ratio.tolist(), modes, strict=True) if found == mode]
        if ratios:
            decision = "used without adaptation nevertheless" if job.zero_shot else decision
            observer.message(
                f"{label}: the prior does not fit {len(ratios)} of {items}: of held-out lines it leaves "
                f"{100 * max(ratios):.0f} % of what the initial estimate leaves ({100 * FITS:.0f} % is too much); "
                f"{decision}"
            )
    return ["adapt"] * items if job.zero_shot else modes


def _zero_shot(batch: _Batch, job: Job, mode: PriorMode, label: str, observer: Observer) -> _Images:
    """What the prior makes of the slices without adaptation."""
    assert job.prior is not None
    began = time.perf_counter()
    plan = from_prior(batch.operator, job.prior, job.preset.adapt, job.decoder)
    image = zero_shot(batch.operator, plan, batch.estimates)
    if not bool((image.abs() < DIVERGED).all()):
        raise InputError(f"{label}: the prior gives no sensible image; train it again")
    seconds = time.perf_counter() - began
    spread = zero_shot(batch.operator, plan, batch.estimates, uncertainty) if job.uncertainty else None
    return _Images(image, spread, "zero-shot", "not adapted", seconds)


def _fit(batch: _Batch, job: Job, mode: PriorMode, label: str, observer: Observer) -> _Images:
    """The images of a fit's last step."""
    began = time.perf_counter()
    plan = plan_fit(batch.operator, job.prior, mode, job.preset, job.decoder)
    steps = adapt(batch.operator, plan, batch.estimates)
    building = time.perf_counter() - began
    last = observer.follow(steps, label)
    began = time.perf_counter()
    image = last.averages()[0]
    if not bool((image.abs() < DIVERGED).all()):  # which waits for a GPU
        raise InputError(f"{label}: the fit diverged (loss {last.loss:g}); lower `learning_rate`")
    seconds = building + last.seconds + time.perf_counter() - began
    spread = last.uncertainties()[0] if job.uncertainty else None
    stopped = last.stopped or f"stopped at step {last.iteration} by who followed it"
    if job.prior is not None and mode == "reject":
        stopped = f"the prior was rejected; {stopped}"
    return _Images(image, spread, None if job.prior is None else mode, stopped, seconds)


def _results(batch: _Batch, images: _Images, shared: float) -> list[SliceResult]:
    each = images.seconds / len(batch.slices) + shared
    spread = images.uncertainty
    return [
        SliceResult(
            image=prepared.magnitude(images.image[item : item + 1]),
            uncertainty=None if spread is None else prepared.magnitude(spread[item : item + 1]),
            prior_mode=images.prior_mode,
            stopped=images.stopped,
            seconds=prepared.seconds + each,
            mask=prepared.mask.numpy(),
            target=None if prepared.target is None else prepared.target.numpy(),
            coils=prepared.coils,
        )
        for item, prepared in enumerate(batch.slices)
    ]
