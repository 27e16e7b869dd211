"""The unrolled network: network and data-consistency solve in turn."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ugodit.networks.group import GroupNet
from ugodit.operators.protocol import Operator


class Unrolled(nn.Module):
    """From an initial estimate z, `iterations` times { u <- f(z); z <- argmin_x |A x - y|^2 + mu |x - u|^2 }.

    f is the group network (its own output form says whether it is z + f(z)). The solve takes a few steps from u;
    stopped early it regularises, and its gradient is that of the solve to the end (see `Operator.proximal`). With
    `iterations` = 0 it is the bare network, the published form.
    """

    def __init__(
        self, network: GroupNet, *, iterations: int, mu: float, solve_iterations: int, learn_mu: bool = False
    ) -> None:
        """The network, how many unrolled iterations, the solve's weight mu > 0 and steps, whether mu is learned."""
        super().__init__()
        self.network = network
        self.iterations = iterations
        self.solve_iterations = solve_iterations
        log_mu = torch.tensor(math.log(mu), dtype=torch.float32)
        self.log_mu = nn.Parameter(log_mu, requires_grad=learn_mu)

    def forward(
        self,
        start: Tensor,
        operator: Operator,
        decoders: slice | None = None,
        evaluate: Callable[[Tensor], Tensor] | None = None,
        mu: Tensor | None = None,
    ) -> Tensor:
        """Image (B, channels, H, W) from a start of the same shape.

        Args:
            start: z, the first input.
            operator: the measurements that may be seen.
            decoders: those that the items go through.
            evaluate: called in place of the network, to wrap it (autocast, symmetries, compiled, cached features).
            mu: (B,), the solve's weight for each item; the model's own by default.
        """
        evaluate = evaluate or (lambda z: self.network(z, decoders))
        if self.iterations == 0:
            return evaluate(start)
        if mu is None:
            mu = self.log_mu.exp().expand(operator.shape[0])
        image = start
        for _ in range(self.iterations):
            proposal = evaluate(image) * operator.support
            image = operator.proximal(proposal, mu, self.solve_iterations)
        return image
