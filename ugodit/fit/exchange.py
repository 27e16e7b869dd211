"""What several processes that train one group tell each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor

Drawn = TypeVar("Drawn")

LARGEST_NORM = 1.0
"""Of the gradients of a step through an unrolled network."""


class Exchange(Protocol):
    """A group of processes, each with scans of its own, that take the same steps."""

    @property
    def rank(self) -> int:
        """Which of them this is, from 0."""

    @property
    def ranks(self) -> int:
        """How many there are."""

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Put the sum over all processes into each tensor, on all of them. InputError where one of them is gone."""

    def hand_on(self, tensor: Tensor, source: int) -> None:
        """Put what the process `source` has in this tensor, on the CPU, into that of all others. As `sum`."""


class Alone:
    """One process."""

    rank = 0
    ranks = 1

    def sum(self, tensors: Sequence[Tensor]) -> None:
        pass

    def hand_on(self, tensor: Tensor, source: int) -> None:
        pass


def take_turns(exchange: Exchange, generator: torch.Generator, scans: int, draw: Callable[[int], Drawn]) -> list[Drawn]:
    """What `draw` gives for the own scans 0, 1, ... of this process; `scans`: how many all processes have.

    All draw from one generator, in the order of the whole group, whatever process has a scan: its state goes from each
    process to the next. So every scan gets the random numbers that a single process would give it.
    """
    found: list[Drawn] = []
    for place in range(scans):
        owner = place % exchange.ranks
        if owner == exchange.rank:
            found.append(draw(len(found)))
        if exchange.ranks > 1:
            state = generator.get_state()
            exchange.hand_on(state, owner)
            generator.set_state(state)
    return found


def sum_gradients(parameters: Sequence[Tensor], exchange: Exchange) -> None:
    """Add up the gradients of parameters that all processes share. One message for all of them."""
    gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in parameters]
    together = torch.cat([gradient.flatten() for gradient in gradients])
    exchange.sum([together])
    for parameter, summed in zip(parameters, together.split([one.numel() for one in parameters]), strict=True):
        parameter.grad = summed.view_as(parameter)


def clip_gradients(parameters: Sequence[Tensor], shared: Sequence[Tensor], exchange: Exchange) -> None:
    """Scale all gradients down where the norm of the whole group's is large.

    parameters: all of this process; shared: those among them that all processes have, with their summed gradients.
    """
    if exchange.ranks == 1:
        torch.nn.utils.clip_grad_norm_(parameters, LARGEST_NORM)
        return
    known = {id(one) for one in shared}
    own = [one.grad for one in parameters if id(one) not in known and one.grad is not None]
    squares = sum((gradient.square().sum() for gradient in own), torch.zeros((), device=parameters[0].device))
    exchange.sum([squares])
    for one in shared:
        if one.grad is not None:
            squares = squares + one.grad.square().sum()
    # As torch's clip_grad_norm_ does it.
    factor = (LARGEST_NORM / (squares.sqrt() + 1e-6)).clamp(max=1.0)
    for one in parameters:
        if one.grad is not None:
            one.grad.mul_(factor)
