"""Does a prior fit this scan? It is asked about measurements that it does not see; no truth is needed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ugodit.fit.execution import in_precision
from ugodit.fit.fit_config import AdaptConfig
from ugodit.fit.initial import InitialEstimates
from ugodit.priors.adaptation import FitPlan, PriorMode

FITS, HELPS = 0.7, 0.95
"""A prior leaves of held-out lines a share of what the initial estimate leaves. From FITS on it is not adapted: a
frozen encoder that does not fit costs more than a fit from scratch. From HELPS on it is of no use at all."""

OPEN = 0.6
"""Share of the held-out lines' energy that an initial estimate must leave for a prior that does not fit to make better
ones: where little is known it knows more than nothing, and a network of the scan's own corrects it (docs/ablation.md).
"""

NOISE_AT_MOST = 0.5
"""Of held-out lines, and of what the initial estimate leaves of them: the most that is taken for noise."""


@dataclass(frozen=True)
class HeldOutErrors:
    """What is left of held-out measurements, as a share of their energy, (B,). Their noise, which nothing explains, is
    left out where it can be told."""

    initial: Tensor
    """By the initial estimate."""
    prior: Tensor
    """By the prior, without adaptation."""

    @property
    def ratio(self) -> Tensor:
        """(B,): 1 is a prior that adds nothing to the initial estimate."""
        return self.prior / self.initial

    def modes(self, config: AdaptConfig) -> list[PriorMode]:
        """What the prior is used for, for each item, where `config` is how it would be adapted."""

        def mode(ratio: float, initial: float) -> PriorMode:
            if ratio < FITS:
                return "adapt"
            helps = config.two_stage and ratio < HELPS and initial >= OPEN
            return "initialise" if helps else "reject"

        return [mode(*pair) for pair in zip(self.ratio.tolist(), self.initial.tolist(), strict=True)]


def limits() -> dict[str, float]:
    """What the decision depends on, for a record."""
    return {"fits": FITS, "helps": HELPS, "open": OPEN, "noise_at_most": NOISE_AT_MOST}


@torch.no_grad()
def held_out_errors(estimates: InitialEstimates, plan: FitPlan, splits: int = 3) -> HeldOutErrors:
    """How well a prior's model explains what it does not see, beside the initial estimate it is given.

    Over a few of the random splits that a fit would use. ValueError without random splits.
    """
    if plan.form.splitting == "all":
        raise ValueError("splitting: held-out lines come from random splits, got all")
    operator = estimates.operator
    variance = operator.noise_variance() if estimates.noise_variance is None else estimates.noise_variance
    variance = variance.nan_to_num(0.0)
    network = in_precision(plan.model, plan.config.precision)
    before = after = noise = energy = torch.zeros(operator.shape[0], device=operator.device)
    for split in estimates.whole_bank(splits):
        image = plan.model(split.estimate, split.seen, None, network, estimates.mu)
        before = before + split.held_out.data_consistency(split.estimate)
        after = after + split.held_out.data_consistency(image)
        noise = noise + variance * split.held_out.samples()
        energy = energy + split.held_out.energy()
    # The variance is an estimate, and holds the maps' errors: it may come out above all that there is.
    noise = torch.minimum(noise, NOISE_AT_MOST * torch.minimum(before, energy))
    return HeldOutErrors((before - noise) / (energy - noise), (after - noise) / (energy - noise))
