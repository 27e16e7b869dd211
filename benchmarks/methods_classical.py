"""Methods without a network: zero filling, CG-SENSE, L1-wavelet, total variation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from method import Configuration, Group, Run
from scoring import Outcome, Picture, Problem, Stopwatch
from torch import Tensor

from ugodit.data.geometry import center_crop
from ugodit.evaluation import baselines

L1_WEIGHTS = (3e-5, 1e-4, 2e-4, 4e-4, 8e-4, 1.6e-3, 3e-3, 6e-3, 1.2e-2, 2.5e-2, 5e-2)
TV_WEIGHTS = (3e-5, 1e-4, 2e-4, 4e-4, 8e-4, 1.6e-3, 3e-3, 6e-3, 1.2e-2, 2.5e-2, 5e-2)


def zero_filling(problem: Problem, configuration: Configuration, group: Group | None) -> Outcome:
    with Stopwatch() as watch:
        image = problem.prepared.magnitude(problem.prepared.operator.initial())
    return Outcome(image, watch.seconds, watch.cpu_seconds)


def cg_sense(problem: Problem, configuration: Configuration, group: Group | None) -> Outcome:
    """From an empty image; `best` chooses the number of iterations on the truth."""
    outcomes = []
    counts = range(1, configuration["iterations"] + 1) if configuration["best"] else [configuration["iterations"]]
    for count in counts:
        with Stopwatch() as watch:
            solved = baselines.cg_sense(problem.prepared.operator, iterations=count, mu=configuration["mu"])
            image = problem.prepared.magnitude(solved, of_coils=True)
        outcomes.append((problem.psnr(image), Outcome(image, watch.seconds, watch.cpu_seconds, more={"steps": count})))
    best = max(outcomes, key=lambda scored: scored[0])[1]
    best.curve = [[round(outcome.seconds, 4), round(psnr, 3)] for psnr, outcome in outcomes]
    return best


def compressed_sensing(solve: Callable[..., Tensor]) -> Run:
    """By one of sigpy's solvers, with the weight that the truth chooses."""

    def run(problem: Problem, configuration: Configuration, group: Group | None) -> Outcome:
        scan = problem.measured
        watches: dict[float, Stopwatch] = {}

        def solve_with(weight: float) -> Tensor:
            with Stopwatch() as watches[weight]:
                return solve(scan.kspace, problem.maps, scan.mask, weight, iterations=configuration["iterations"])

        def magnitude(image: Tensor) -> Picture:
            return np.asarray(center_crop(image.abs(), scan.crop).numpy(), np.float32)

        best = baselines.best_of_grid(
            solve_with, configuration["weights"], lambda image: problem.psnr(magnitude(image))
        )
        watch = watches[best.weight]
        more = {
            "weight": best.weight,
            "scores_by_weight": {str(weight): round(score, 3) for weight, score in best.scores.items()},
            "grid_seconds": sum(each.seconds for each in watches.values()),
        }
        return Outcome(magnitude(best.image), watch.seconds, watch.cpu_seconds, more=more)

    return run
