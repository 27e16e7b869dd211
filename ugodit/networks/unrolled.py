"""The unrolled network: network and data-consistency solve in turn."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ugodit.networks.group import GroupNet
from ugodit.operators.sense import SenseOperator


class Unrolled(nn.Module):
    """From a first image z, `unrolls` times { u <- f(z); z <- argmin_x |A x - y|^2 + mu |x - u|^2 }.

    f is the group network (its own output form says whether it is z + f(z)). The solve runs a few conjugate-gradient
    steps from u inside the fused kernel; stopped early it regularises, and its gradient is that of the solve to the
    end (see `kernels.sense_solve`). With `unrolls` = 0 it is the bare network, the published form.
    """

    def __init__(self, network: GroupNet, *, unrolls: int, mu: float, iterations: int, learn_mu: bool = False) -> None:
        """Args: the network; how many turns; the solve's weight mu > 0 and steps; whether mu is learned."""
        super().__init__()
        self.network = network
        self.unrolls = unrolls
        self.iterations = iterations
        log_mu = torch.tensor(math.log(mu), dtype=torch.float32)
        self.log_mu = nn.Parameter(log_mu, requires_grad=learn_mu)

    def forward(
        self,
        start: Tensor,
        operator: SenseOperator,
        which: slice | None = None,
        evaluate: Callable[[Tensor], Tensor] | None = None,
        mu: Tensor | None = None,
    ) -> Tensor:
        """Image (B, 2, H, W) from a start of the same shape.

        Args:
            start: z, the first input.
            operator: the lines that may be seen.
            which: the decoders that the items go through.
            evaluate: called in place of the network, to wrap it (autocast, symmetries, compiled, cached features).
            mu: (B,), the solve's weight for each item; the model's own by default.
        """
        evaluate = evaluate or (lambda z: self.network(z, which))
        if self.unrolls == 0:
            return evaluate(start)
        adjoint = operator.initial()
        if mu is None:
            mu = self.log_mu.exp().expand(operator.shape[0])
        image = start
        for _ in range(self.unrolls):
            proposal = evaluate(image) * operator.support
            image, _ = operator.solve(adjoint + mu.view(-1, 1, 1, 1) * proposal, proposal.detach(), mu, self.iterations)
        return image
