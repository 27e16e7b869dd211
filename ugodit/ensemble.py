"""Reconstructions from many splits of the lines, and their combination from all lines.

A network that learned to fill in lines left out of its input expects such gaps. Given all lines it would fill gaps
that are not there: its corrections overshoot. So it is asked the question that it learned to answer, for several
random splits, and their mean is combined with the first image of all lines, which has no such bias but knows less.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .config import FitConfig
from .networks.unrolled import Unrolled
from .operators.sense import SenseOperator
from .sparse import choose_weight, sparse_sense
from .splitting import Split, acs_core, split_random

SHARE = 0.5
"""Of the mean over the splits in the combination; the rest is the first image of all lines."""

FINAL_MU = 0.3
"""Weight of the combination in the last solve with all lines: weaker consistency than the unrolled network's, since
the mean over splits is already less noisy than the lines themselves."""


@dataclass(frozen=True)
class Member:
    """A split of the lines and the first image that its input lines give."""

    split: Split
    start: Tensor


class Starts:
    """First images of one operator's items, and a pool of splits with theirs, drawn as they are needed."""

    def __init__(
        self, operator: SenseOperator, config: FitConfig, generator: torch.Generator, fitted: Tensor | None = None
    ) -> None:
        """`fitted`: the lines that may be used, where some are held out; all of the operator's by default."""
        self.operator = operator if fitted is None else operator.with_weights(fitted)
        self.config, self.generator = config, generator
        self.core = acs_core(self.operator.weights)
        self.weight: Tensor | None = None
        if config.start == "sparse":
            self.weight = choose_weight(self.operator, max(config.start_iterations // 2, 1), generator)
        self.all_lines = self.first_image(self.operator)
        self.members: list[Member] = []

    def first_image(self, operator: SenseOperator) -> Tensor:
        """The network's first input (B, 2, H, W) from the lines that `operator` has."""
        config = self.config
        if config.start == "noise":
            return torch.rand(operator.shape, generator=self.generator).to(operator.device) * 0.1
        if config.start == "sparse":
            assert self.weight is not None
            return sparse_sense(operator, self.weight, config.start_iterations, self.generator)
        adjoint = operator.initial()
        if config.start == "adjoint":
            return adjoint
        return operator.solve(adjoint, torch.zeros_like(adjoint), 0.0, config.start_iterations)[0]

    def member(self) -> Member:
        """A random split: a new one until the pool is full, then one of the pool."""
        if len(self.members) < self.config.pool:
            return self._new_member()
        return self.members[int(torch.randint(len(self.members), (), generator=self.generator))]

    def pool(self) -> list[Member]:
        """The whole pool."""
        while len(self.members) < self.config.pool:
            self._new_member()
        return self.members

    def _new_member(self) -> Member:
        split = split_random(self.operator.weights, self.core, self.config.loss_fraction, self.generator)
        member = Member(split, self.first_image(self.operator.with_weights(split.input)))
        self.members.append(member)
        return member


@torch.no_grad()
def combine(
    starts: Starts, model: Unrolled, which: slice | None = None, evaluate: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """The reconstruction (B, 2, H, W) from all lines that `starts` may use; see the head of this module."""
    operator, members = starts.operator, starts.pool()
    mean = torch.zeros(operator.shape, device=operator.device)
    for member in members:
        image = model(member.start, operator.with_weights(member.split.input), which, evaluate)
        mean += image / len(members)
    combined = SHARE * mean + (1 - SHARE) * starts.all_lines
    rhs = operator.initial() + FINAL_MU * combined
    solution, _ = operator.solve(rhs, combined, FINAL_MU, model.iterations)
    return solution
