"""The reconstruction from all measurements, and how uncertain it is.

A network that learned to fill in what was left out of its input expects such gaps. Given all measurements its
corrections are of the right kind but tend to overshoot, the more so the longer it was fitted to one scan. So the scan
is shown to it in several views, mirror images for example. Their mean keeps what does not depend on the view, and a
little of the initial estimate is mixed in (docs/ablation.md). Which views there are is the domain's
(`operators/domain.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.func import functional_call

from ugodit.fit.initial import InitialEstimates
from ugodit.networks.unrolled import Unrolled

SHARE = 0.9
"""Of the mean over the views in the result; the rest is the initial estimate."""


@torch.no_grad()
def reconstruct(
    estimates: InitialEstimates,
    model: Unrolled,
    evaluate: Callable[[Tensor], Tensor],
    decoders: slice | None,
    bank_size: int,
) -> Tensor:
    """The reconstruction (B, channels, H, W) from everything that `estimates` may use; see the head of this module.

    Args:
        estimates: of the items to reconstruct.
        model: what makes their images.
        evaluate: its network as it is to be called (precision, decoders).
        decoders: those that the items go through; all by default.
        bank_size: not used: every question to a model takes the same arguments.
    """
    if estimates.config.splitting == "all":
        return model(estimates.all_measured, estimates.operator, decoders, evaluate, estimates.mu)
    result = (1 - SHARE) * estimates.all_measured
    for view in estimates.operator.domain.views:
        seen = view.of(evaluate)
        image = model(estimates.all_measured, estimates.operator, decoders, seen, estimates.mu)
        result += SHARE * view.weight * image
    return result


@torch.no_grad()
def uncertainty(
    estimates: InitialEstimates,
    model: Unrolled,
    evaluate: Callable[[Tensor], Tensor],
    decoders: slice | None,
    bank_size: int,
) -> Tensor:
    """How far reconstructions from other measurements differ, (B, 1, H, W): the root of their mean squared distance
    from their mean, over `bank_size` random splits. Other arguments as for `reconstruct`.

    Each leaves out a part of the lines, so this is what the choice of lines leaves open, a jackknife of sorts: neither
    the error of the maps nor what all images get wrong alike is in it.
    """
    bank = estimates.whole_bank(bank_size)
    together = torch.stack([model(one.estimate, one.seen, decoders, evaluate, estimates.mu) for one in bank])
    return (together - together.mean(0)).square().sum(2, keepdim=True).mean(0).sqrt()


Question = Callable[[InitialEstimates, Unrolled, Callable[[Tensor], Tensor], slice | None, int], Tensor]
"""`reconstruct` or `uncertainty`."""


def with_parameters(model: Unrolled, weights: Mapping[str, Tensor], run: Callable[[], Tensor]) -> Tensor:
    """What `run` computes while the model has these weights, by the names of its parameters."""
    return functional_call(_Call(model, run), {f"model.{name}": weight for name, weight in weights.items()}, ())


class _Call(torch.nn.Module):
    """Lets `functional_call` swap the model's parameters while `run` is called."""

    def __init__(self, model: Unrolled, run: Callable[[], Tensor]) -> None:
        super().__init__()
        self.model, self.run = model, run

    def forward(self) -> Tensor:
        return self.run()
