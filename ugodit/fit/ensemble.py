"""First images, random splits of the lines, and the reconstruction from all lines.

A network that learned to fill in lines left out of its input expects such gaps. Given all lines its corrections are of
the right kind but tend to overshoot, the more so the longer it was fitted to one scan. So the scan is shown to it in
mirror images and with its sign turned, whose mean keeps what does not depend on the view, and a little of the image
that the network started from is mixed in (docs/ablation.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ugodit.fit.compressed_sensing import choose_weight, sparse_sense
from ugodit.fit.config import FitConfig
from ugodit.fit.noise_level import noise_variance
from ugodit.fit.splitting import Split, acs_core, split_random
from ugodit.networks.unrolled import Unrolled
from ugodit.operators.sense import SenseOperator

SHARE = 0.9
"""Of the mean over the views in the result; the rest is the image that the network started from."""

NEGATIVE = 0.3
"""Weight of the views with their sign turned among all views."""

MU_RANGE = (0.01, 10.0)
"""Bounds of the solve's weight where it follows from the noise."""

MIRRORS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))
"""Axes along which a view is mirrored."""


@dataclass(frozen=True)
class Member:
    """A split of the lines and the first image that its input lines give."""

    split: Split
    start: Tensor


class Starts:
    """First images of one operator's items, and a pool of splits with theirs, drawn as they are needed."""

    def __init__(
        self,
        operator: SenseOperator,
        config: FitConfig,
        generator: torch.Generator,
        fitted: Tensor | None = None,
        improve: Unrolled | None = None,
    ) -> None:
        """`fitted`: the lines that may be used, where some are held out; all of the operator's by default. `improve`: a
        trained model of one decoder; what it makes of each first image is used instead."""
        self.operator = operator if fitted is None else operator.with_weights(fitted)
        self.config, self.generator, self.improve = config, generator, improve
        # From all lines, held-out ones too: the same weight while a model is fitted and when its image is made.
        self.mu = _solve_weight(operator, config)
        self.core = acs_core(self.operator.weights)
        self.weight: Tensor | None = None
        if config.start == "sparse":
            self.weight = choose_weight(self.operator, max(config.start_iterations // 2, 1), generator)
        self.all_lines = self.first_image(self.operator)
        self.members: list[Member] = []

    @torch.no_grad()
    def first_image(self, operator: SenseOperator) -> Tensor:
        """The network's first input (B, 2, H, W) from the lines that `operator` has."""
        image = self._plain_first_image(operator)
        if self.improve is None:
            return image
        network = in_precision(self.improve, self.config)
        # Of all views (see `reconstruct`) these two differ most, and each costs a call for every member of the pool.
        views = [self.improve(image, operator, None, _view(network, (), sign), self.mu) for sign in (1.0, -1.0)]
        return (views[0] + views[1]) / 2

    def _plain_first_image(self, operator: SenseOperator) -> Tensor:
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


def in_precision(model: Unrolled, config: FitConfig) -> Callable[[Tensor], Tensor]:
    """The model's network, evaluated in the arithmetic that `config` asks for."""

    def evaluate(z: Tensor) -> Tensor:
        with autocast(z, config):
            return model.network(z).float()

    return evaluate


def autocast(z: Tensor, config: FitConfig) -> torch.autocast:
    """The arithmetic that `config` asks for, for what is computed from z."""
    return torch.autocast(z.device.type, dtype=torch.bfloat16, enabled=config.precision == "bfloat16")


def _solve_weight(operator: SenseOperator, config: FitConfig) -> Tensor | None:
    """(B,), or None where the model's own serves; see FitConfig.proposal_variance."""
    if not config.proposal_variance:
        return None
    mu = noise_variance(operator) / config.proposal_variance
    return torch.where(mu.isnan(), config.mu, mu.clamp(*MU_RANGE))


@torch.no_grad()
def reconstruct(
    starts: Starts, model: Unrolled, which: slice | None = None, evaluate: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """The reconstruction (B, 2, H, W) from all lines that `starts` may use; see the head of this module."""
    network = evaluate or (lambda z: model.network(z, which))
    result = (1 - SHARE) * starts.all_lines
    for axes in MIRRORS:
        for sign, weight in ((1.0, 1 - NEGATIVE), (-1.0, NEGATIVE)):
            view = _view(network, axes, sign)
            result += SHARE * weight / len(MIRRORS) * model(starts.all_lines, starts.operator, which, view, starts.mu)
    return result


def _view(network: Callable[[Tensor], Tensor], axes: tuple[int, ...], sign: float) -> Callable[[Tensor], Tensor]:
    return lambda z: network(sign * z.flip(axes)).flip(axes) * sign


@torch.no_grad()
def uncertainty(
    starts: Starts, model: Unrolled, which: slice | None = None, evaluate: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """How far reconstructions from other lines differ, (B, 1, H, W): the root of their mean squared distance from
    their mean, over the splits of the pool.

    Each leaves out a part of the lines, so this is what the choice of lines leaves open, a jackknife of sorts: neither
    the error of the maps nor what all images get wrong alike is in it.
    """
    images = []
    for member in starts.pool():
        seen = starts.operator.with_weights(member.split.input)
        images.append(model(member.start, seen, which, evaluate, starts.mu))
    together = torch.stack(images)
    return (together - together.mean(0)).square().sum(2, keepdim=True).mean(0).sqrt()
