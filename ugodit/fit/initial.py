"""Initial estimates: what the network starts from, and the bank of random splits with theirs.

They are made once for a scan. Whether a prior fits is asked of the same splits that a fit then uses.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ugodit.fit.compressed_sensing import choose_weight, compressed_sensing
from ugodit.fit.execution import Precision, in_precision
from ugodit.fit.model_config import ModelConfig
from ugodit.networks.unrolled import Unrolled
from ugodit.operators.protocol import Operator

MU_RANGE = (0.01, 10.0)
"""Bounds of the solve's weight where it follows from the noise."""


@dataclass(frozen=True)
class Split:
    """Measurements that the network sees, measurements that judge it, and the initial estimate from the former."""

    seen: Operator
    held_out: Operator
    estimate: Tensor


@dataclass(frozen=True)
class FirstStage:
    """A trained model of one decoder whose images, without adaptation, are another network's initial estimates."""

    model: Unrolled
    precision: Precision


class InitialEstimates:
    """The initial estimates of one operator's items, and a bank of splits, drawn as they are needed."""

    def __init__(
        self,
        operator: Operator,
        config: ModelConfig,
        generator: torch.Generator,
        fitted: Operator | None = None,
        first_stage: FirstStage | None = None,
    ) -> None:
        """`fitted`: what may be used of the measurements, where some are held out from the fit; all by default."""
        self.operator = operator if fitted is None else fitted
        self.config, self.generator, self.first_stage = config, generator, first_stage
        # From all measurements, held-out ones too: the same weight while a model is fitted and when its image is made.
        self.noise_variance = operator.noise_variance() if config.prior_variance else None
        self.mu = self._solve_weight()
        self.threshold: Tensor | None = None
        if config.initial_estimate == "compressed_sensing":
            self.threshold = choose_weight(self.operator, max(config.initial_iterations // 2, 1), generator)
        self.plain = self._estimate(self.operator)
        self.all_measured = self._through_first_stage(self.plain, self.operator)
        """(B, channels, H, W): the estimate from everything that may be used."""
        self.bank: list[Split] = []
        self._plain_bank: list[Split] = []
        self._served = 0

    def through(self, first_stage: FirstStage) -> InitialEstimates:
        """The same estimates and splits, each estimate replaced by what the first stage makes of it.

        Both go on drawing from one generator: use one of them only from here on.
        """
        other = object.__new__(InitialEstimates)
        other.__dict__.update(self.__dict__, first_stage=first_stage, bank=[], _served=0)
        other._plain_bank = list(self._plain_bank)
        other.all_measured = other._through_first_stage(self.plain, self.operator)
        return other

    def _solve_weight(self) -> Tensor | None:
        """(B,), or None where the model's own serves; see ModelConfig.prior_variance."""
        if self.noise_variance is None:
            return None
        mu = self.noise_variance / self.config.prior_variance
        return torch.where(mu.isnan(), self.config.mu, mu.clamp(*MU_RANGE))

    @torch.no_grad()
    def _estimate(self, operator: Operator) -> Tensor:
        kind, iterations = self.config.initial_estimate, self.config.initial_iterations
        if kind == "noise":
            return torch.rand(operator.shape, generator=self.generator).to(operator.device) * 0.1
        if kind == "compressed_sensing":
            assert self.threshold is not None
            return compressed_sensing(operator, self.threshold, iterations, self.generator)
        if kind == "adjoint":
            return operator.initial()
        return operator.proximal(torch.zeros(operator.shape, device=operator.device), 0.0, iterations)

    @torch.no_grad()
    def _through_first_stage(self, image: Tensor, operator: Operator) -> Tensor:
        if self.first_stage is None:
            return image
        model = self.first_stage.model
        network = in_precision(model, self.first_stage.precision)
        result = torch.zeros_like(image)
        for view in operator.domain.extreme_views:
            result += view.weight * model(image, operator, None, view.of(network), self.mu)
        return result

    def next_split(self, size: int) -> Split:
        """A split of a bank of `size`: each of them once, then one of them at random."""
        if self._served < size:
            self._served += 1
            return self._nth(self._served - 1)
        return self.bank[int(torch.randint(size, (), generator=self.generator))]

    def whole_bank(self, size: int) -> list[Split]:
        """The first `size` splits."""
        return [self._nth(index) for index in range(size)]

    def _nth(self, index: int) -> Split:
        while len(self.bank) <= index:
            self.bank.append(self._next())
        return self.bank[index]

    def _next(self) -> Split:
        if len(self._plain_bank) == len(self.bank):
            seen, held_out = self.operator.split(self.config.loss_fraction, self.generator)
            self._plain_bank.append(Split(seen, held_out, self._estimate(seen)))
        plain = self._plain_bank[len(self.bank)]
        return Split(plain.seen, plain.held_out, self._through_first_stage(plain.estimate, plain.seen))
