"""The one loop: group training, adaptation and every baseline are options of it.

`fit` moves a network until its images explain the measurements, and yields a `Step` record after every Adam step. It
prints, logs and saves nothing: the caller does, and the caller may stop at any step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from ugodit.fit.checkpoint import LoopState
from ugodit.fit.exchange import Exchange
from ugodit.fit.fit_config import FitConfig
from ugodit.fit.initial import FirstStage, InitialEstimates
from ugodit.fit.loop import Loop
from ugodit.fit.loop_state import put_state, take_state
from ugodit.fit.model_config import ModelConfig
from ugodit.networks.unrolled import Unrolled
from ugodit.operators.protocol import Operator


@dataclass(frozen=True)
class Step:
    """What one Adam step left behind. Tensors stay on the device until they are asked for."""

    iteration: int
    """1, 2, ..."""
    total: int
    """How many steps there are at most."""
    seconds: float
    """Since the loop began, in an earlier run too, the caller's own work between steps left out. On a GPU steps are
    queued, not waited for."""
    loss_tensor: Tensor
    """Sum over all scans, 0-dimensional."""
    held_out: float | None
    """Held-out error: of what is never fitted, relative to its energy, mean over the scans; None where it was not
    evaluated."""
    stopped: str | None
    """Why this is the last step, or None."""
    images: Callable[[], list[Tensor]]
    """Computes the current reconstructions, one (B, channels, H, W) for each operator."""
    averages: Callable[[], list[Tensor]]
    """Computes the reconstructions of the moving average (at the best held-out error, where lines are held out)."""
    uncertainties: Callable[[], list[Tensor]]
    """Computes how uncertain the averages are, (B, 1, H, W) for each operator, see `test_time.uncertainty`; ValueError
    where all lines are fitted at every step. Before step `mask_bank` it draws the rest of the bank, and later steps
    draw otherwise than they would have."""
    state: Callable[[], LoopState]
    """Copies the state after this step, for `fit(..., resume=)`; to be called before the next step."""

    @property
    def loss(self) -> float:
        """The loss as a number; waits for the device."""
        return float(self.loss_tensor)


def fit(
    model: Unrolled,
    operators: Sequence[Operator],
    form: ModelConfig,
    config: FitConfig,
    *,
    estimates: Sequence[InitialEstimates] | None = None,
    first_stage: FirstStage | None = None,
    exchange: Exchange | None = None,
    own_decoders: bool | None = None,
    resume: LoopState | None = None,
) -> Iterator[Step]:
    """Fit every parameter of `model` that requires a gradient to the measurements of `operators`.

    Args:
        model: its network has a decoder for each item of all operators together, in order, or just one.
        operators: the scans; each holds one or more items of one size, scaled as `operators.scale` does.
        form: how the model was built, and how it is asked.
        config: how it is fitted.
        estimates: one for each operator, where they were made before, by the same form, and with the seed of `config`.
            Where measurements are held out others are made.
        first_stage: a trained model that makes better initial estimates for this one, and is left as it is; `estimates`
            have been through it.
        exchange: the other processes, where several train one group; the operators are then those of this one, at
            places rank, rank + ranks, ... of the group, one item each.
        own_decoders: whether items have decoders of their own; by default where the network has several.
        resume: `Step.state` of an earlier run with the same arguments, whose next step is the first to be taken.

    Yields:
        A `Step` after every Adam step, `config.steps` of them at most.

    Raises:
        InputError: measurements that cannot be split as the configuration asks; a state of another fit.
    """
    began = time.perf_counter()
    loop = Loop(
        model,
        operators,
        form,
        config,
        estimates=estimates,
        first_stage=first_stage,
        exchange=exchange,
        own_decoders=own_decoders,
    )
    elapsed = 0.0
    if resume is not None:
        put_state(loop, resume)
        elapsed = float(resume.values["seconds"])
    elapsed += time.perf_counter() - began
    for iteration in range(1 if resume is None else resume.iteration + 1, config.steps + 1):
        began = time.perf_counter()
        loss = loop.step(iteration)
        held_out, reason = loop.check_held_out(iteration)
        elapsed += time.perf_counter() - began
        if iteration == config.steps and reason is None:
            reason = f"all {config.steps} steps done"
        yield Step(
            iteration,
            config.steps,
            elapsed,
            loss,
            held_out,
            reason,
            loop.images,
            loop.averages,
            loop.uncertainties,
            partial(take_state, loop, iteration, elapsed),
        )
        if reason is not None:
            return
