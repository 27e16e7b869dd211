"""The one loop: group training, adaptation and every baseline are options of it.

`fit` moves a network until its images explain the measurements, and yields a `Step` record after every Adam step. It
prints, logs and saves nothing: the caller does, and the caller may stop at any step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from ugodit.fit.config import FitConfig
from ugodit.fit.loop import Loop
from ugodit.networks.unrolled import Unrolled
from ugodit.operators.sense import SenseOperator


@dataclass(frozen=True)
class Step:
    """What one Adam step left behind. Tensors stay on the device until they are asked for."""

    iteration: int
    """1, 2, ..."""
    seconds: float
    """Since the loop began, the caller's own work between steps left out. On a GPU steps are queued, not waited for."""
    loss_tensor: Tensor
    """Sum over the items, 0-dimensional."""
    held_out: float | None
    """Loss of the held-out lines relative to their energy, mean over the items; None where it was not evaluated."""
    stopped: str | None
    """Why this is the last step, or None."""
    images: Callable[[], list[Tensor]]
    """Computes the current reconstructions, one (B, 2, H, W) for each operator."""
    averages: Callable[[], list[Tensor]]
    """Computes the reconstructions of the moving average (at the best held-out loss, where lines are held out)."""
    uncertainties: Callable[[], list[Tensor]]
    """Computes how uncertain the averages are, (B, 1, H, W) for each operator, see `ensemble.uncertainty`; ValueError
    where all lines are fitted at every step. Before step `pool` it draws the rest of the pool, and later steps draw
    otherwise than they would have."""

    @property
    def loss(self) -> float:
        """The loss as a number; waits for the device."""
        return float(self.loss_tensor)


def fit(
    model: Unrolled, operators: Sequence[SenseOperator], config: FitConfig, improve: Unrolled | None = None
) -> Iterator[Step]:
    """Fit every parameter of `model` that requires a gradient to the measurements of `operators`.

    Args:
        model: its network has a decoder for each item of all operators together, in order, or just one.
        operators: the scans; each holds one or more items of one size. Measurements scaled as FitConfig says.
        config: the options.
        improve: a trained model of one decoder that makes better first images for this one, and is left as it is.

    Yields:
        A `Step` after every Adam step, `config.steps` of them at most.

    Raises:
        InputError: a mask that cannot be split as the configuration asks.
    """
    began = time.perf_counter()
    loop = Loop(model, operators, config, improve=improve)
    elapsed = time.perf_counter() - began
    for iteration in range(1, config.steps + 1):
        began = time.perf_counter()
        loss = loop.step(iteration)
        held_out, reason = loop.check_held_out(iteration)
        elapsed += time.perf_counter() - began
        if iteration == config.steps and reason is None:
            reason = f"all {config.steps} steps done"
        yield Step(iteration, elapsed, loss, held_out, reason, loop.images, loop.averages, loop.uncertainties)
        if reason is not None:
            return
