"""Following a fit: what it cost, how good it was on the way, and its best step if the truth had chosen it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cases import Slice
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr
from torch import Tensor

from ugodit.data.scan import Scan
from ugodit.evaluation import metrics
from ugodit.fit.fit import Step
from ugodit.fit.initial import InitialEstimates
from ugodit.priors.adaptation import FitPlan, adapt
from ugodit.reconstruction.preparation import Prepared

Picture = NDArray[np.float32]
CURVE_POINTS = 24
"""Of a curve in the record."""
CHEAP_EVALUATIONS = 200
"""Where an evaluation costs no network call, the truth may choose among this many steps."""


@dataclass(frozen=True)
class Problem:
    """A slice and its measurements, the same for all methods."""

    tested: Slice
    measured: Scan
    """The slice's scan, undersampled."""
    prepared: Prepared
    maps: Tensor
    """complex64 (C, H, W), the maps of the prepared operator on the full field of view."""

    @property
    def target(self) -> Picture:
        target = self.tested.scan.target
        assert target is not None
        return target.numpy()

    def psnr(self, image: Picture) -> float:
        return metrics.psnr(self.target, image, self.tested.maximum)

    def scores(self, image: Picture) -> dict[str, float]:
        """psnr, ssim and nmse of a magnitude (rows, columns) in the scan's units."""
        return {
            "psnr": self.psnr(image),
            "ssim": metrics.ssim(self.target, image, self.tested.maximum),
            "nmse": metrics.nmse(self.target, image),
        }


def judged_uncertainty(target: Picture, image: Picture, uncertainty: Picture) -> dict[str, float]:
    """How well `uncertainty` tells the error |image - target| where there is signal (above 2 % of the maximum).

    `error_over_uncertainty`: ratio of their root mean squares, 1 for a calibrated one. `rank_correlation`: Spearman's,
    of both smoothed over a few pixels (Gaussian, sigma 2), since a single pixel's error is a random draw.
    """
    inside = target > 0.02 * target.max()
    error = np.abs(image - target)
    ratio = np.sqrt(np.square(error[inside]).mean() / np.square(uncertainty[inside]).mean())
    smooth_error, smooth_uncertainty = gaussian_filter(error, 2), gaussian_filter(uncertainty, 2)
    correlation = spearmanr(smooth_error[inside], smooth_uncertainty[inside]).statistic
    return {"error_over_uncertainty": round(float(ratio), 3), "rank_correlation": round(float(correlation), 3)}


@dataclass
class Outcome:
    """A method's reconstruction, and what is worth recording of how it came about."""

    image: Picture
    seconds: float
    """Wall time of the reconstruction itself; calibration, training of a prior and scoring are left out."""
    cpu_seconds: float
    """Processor time of the same: with one thread, what the wall time would be on an idle machine."""
    curve: list[list[float]] = field(default_factory=list)
    """[seconds, PSNR] of what the method would have returned then."""
    best: dict[str, float] | None = None
    """Scores, step and seconds of the best step, chosen with the target."""
    best_image: Picture | None = None
    more: dict[str, Any] = field(default_factory=dict)


class Stopwatch:
    """Wall and processor seconds of a with block."""

    def __enter__(self) -> Stopwatch:
        self._began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *exception: object) -> None:
        self.seconds = time.perf_counter() - self._began[0]
        self.cpu_seconds = time.process_time() - self._began[1]


def checkpoints(steps: int, count: int) -> set[int]:
    """About `count` steps from 1 to `steps`, both included: half of them evenly, half of them denser at the start."""
    half = max(count // 2, 1)
    found = np.concatenate([np.geomspace(1, steps, half), np.linspace(steps / half, steps, half), [1, steps]])
    return {round(float(step)) for step in found if round(step) >= 1}


def fitted(
    problem: Problem,
    plan: FitPlan,
    watch: Stopwatch,
    *,
    estimates: InitialEstimates | None = None,
    budget: float | None = None,
) -> Outcome:
    """The outcome of a plan; the time on the watch, which the plan took to make, is added. `estimates`: see `adapt`."""
    steps = adapt(problem.prepared.operator, plan, estimates)
    outcome = follow(problem, steps, cheap=plan.form.splitting == "all", budget=budget)
    outcome.more["parameters"] = sum(parameter.numel() for parameter in plan.model.parameters())
    outcome.seconds += watch.seconds
    outcome.cpu_seconds += watch.cpu_seconds
    return outcome


def follow(problem: Problem, steps: Iterator[Step], *, cheap: bool, budget: float | None = None) -> Outcome:
    """Run a fit to its end (or for `budget` seconds) and score it on the way.

    cheap: images and averages are at hand at every step, so that the truth can choose among many; else every score
    costs a call of the network, and only the average is scored.
    """
    curve: list[tuple[int, float, float]] = []
    best: dict[str, float] | None = None
    best_image: Picture | None = None
    scored: set[int] = set()
    cpu_seconds = 0.0
    step, average = None, None
    while True:
        with Stopwatch() as watch:
            step = next(steps, None)
        cpu_seconds += watch.cpu_seconds
        assert step is not None, "a fit ends with a step that says why"
        scored = scored or checkpoints(step.total, CHEAP_EVALUATIONS if cheap else CURVE_POINTS)
        over = budget is not None and step.seconds >= budget
        if step.iteration not in scored and not step.stopped and not over:
            continue
        average = problem.prepared.magnitude(step.averages()[0].detach())
        candidates = [average, problem.prepared.magnitude(step.images()[0].detach())] if cheap else [average]
        psnrs = [problem.psnr(candidate) for candidate in candidates]
        curve.append((step.iteration, step.seconds, psnrs[0]))
        if best is None or max(psnrs) > best["psnr"]:
            best_image = candidates[int(np.argmax(psnrs))]
            best = {"psnr": max(psnrs), "step": step.iteration, "seconds": step.seconds}
        if step.stopped or over:
            break
    assert best is not None
    assert best_image is not None
    best |= problem.scores(best_image)
    stopped = step.stopped or f"time budget of {budget:g} s"
    more = {"steps": step.iteration, "stopped": stopped, "final_loss": step.loss}
    return Outcome(average, step.seconds, cpu_seconds, _thinned(curve, step.total), best, best_image, more)


def _thinned(curve: list[tuple[int, float, float]], total: int) -> list[list[float]]:
    """The points nearest to CURVE_POINTS checkpoints; always the last."""
    wanted = checkpoints(total, CURVE_POINTS)
    kept = [(seconds, psnr) for step, seconds, psnr in curve if step in wanted or step == curve[-1][0]]
    return [[round(seconds, 3), round(psnr, 3)] for seconds, psnr in kept]
