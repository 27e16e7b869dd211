"""What a step of the fit draws at random: the split of the measurements, noise, symmetries.

On the CPU they are drawn step by step. On a GPU nothing may be drawn by the host inside the loop, and a captured graph
reads the same memory in every step: `FixedChoices` settles all choices ahead, and fills the same tensors anew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ugodit.fit.fit_config import FitConfig
from ugodit.fit.initial import InitialEstimates, Split
from ugodit.fit.model_config import ModelConfig
from ugodit.operators.domain import Map
from ugodit.operators.protocol import Operator


@dataclass(frozen=True)
class Choices:
    """For one operator's items and one step."""

    split: Split
    noise: Tensor | None
    """Uniform in [0, 1), of the input's shape; None where none is added."""
    symmetries: Sequence[tuple[Map, Map]]
    """A map of images and its inverse for each call of the network; empty where none are asked for."""


def choose_on_host(split: Split | None, estimates: InitialEstimates, config: FitConfig) -> Choices:
    """`split` where all measurements are fitted; None where one of the bank is drawn."""
    generator = estimates.generator
    if split is None:
        split = estimates.next_split(config.mask_bank)
    noise = None
    if estimates.config.input_noise:
        noise = torch.rand(split.estimate.shape, generator=generator).to(split.estimate.device)
    domain = estimates.operator.domain
    calls = network_calls(estimates.config) if config.symmetries else 0
    return Choices(split, noise, [domain.symmetry(domain.random_symmetry(generator)) for _ in range(calls)])


class FixedChoices:
    """Every step's choices in the same tensors. Noise comes from a generator on the device; splits and symmetries are
    chosen for all steps at once, here, so that `fill` queues copies and waits for nothing."""

    def __init__(self, split: Split | None, estimates: InitialEstimates, config: FitConfig) -> None:
        """As for `choose_on_host`."""
        generator, domain = estimates.generator, estimates.operator.domain
        self.bank = estimates.whole_bank(config.mask_bank) if split is None else []
        self.varying: dict[str, list[str]] = {}
        if split is None:
            split = self._own_memory()
        # Each split once, then at random, as on the CPU.
        more = max(config.steps - len(self.bank), 0)
        chosen = torch.randint(len(self.bank), (more,), generator=generator).tolist() if self.bank else []
        self.order = [*range(len(self.bank)), *chosen]
        seed = int(torch.randint(2**62, (), generator=generator))
        device = split.estimate.device
        self.generator = torch.Generator(device).manual_seed(seed)
        noise = torch.empty_like(split.estimate, requires_grad=False) if estimates.config.input_noise else None
        calls = network_calls(estimates.config) if config.symmetries else 0
        drawn = [domain.random_symmetry(generator) for _ in range(config.steps * calls)]
        self.numbers = torch.stack(drawn).unflatten(0, (-1, calls)).to(device) if drawn else torch.empty(0)
        self.current = torch.empty_like(self.numbers[0]) if drawn else self.numbers
        self.choices = Choices(split, noise, [domain.symmetry(numbers) for numbers in self.current])

    def _own_memory(self) -> Split:
        """A split whose varying tensors are its own, to be overwritten."""
        first = self.bank[0]
        operators = {}
        for part in ("seen", "held_out"):
            every = [getattr(split, part) for split in self.bank]
            self.varying[part] = varying_fields(every)
            operators[part] = with_own_memory(every[0], self.varying[part])
        return Split(**operators, estimate=first.estimate.clone())

    def fill(self, iteration: int) -> None:
        """Put the choices of this step, 1, 2, ..., into `choices`."""
        choices = self.choices
        if self.bank:
            chosen = self.bank[self.order[iteration - 1]]
            choices.split.estimate.copy_(chosen.estimate)
            for part, names in self.varying.items():
                for name in names:
                    getattr(getattr(choices.split, part), name).copy_(getattr(getattr(chosen, part), name))
        if choices.noise is not None:
            choices.noise.uniform_(generator=self.generator)
        if choices.symmetries:
            self.current.copy_(self.numbers[iteration - 1])


def network_calls(config: ModelConfig) -> int:
    """How often a step calls the network."""
    return max(config.iterations, 1)


def varying_fields(operators: Sequence[Any]) -> list[str]:
    """The names of the dataclass fields whose tensors are not one and the same in all of these operators."""
    first = operators[0]
    return [
        field.name
        for field in dataclasses.fields(first)
        if isinstance(getattr(first, field.name), Tensor)
        and any(getattr(operator, field.name) is not getattr(first, field.name) for operator in operators)
    ]


def with_own_memory(operator: Any, names: Sequence[str]) -> Operator:
    """The operator with copies of the tensors in these fields."""
    copied: Operator = dataclasses.replace(operator, **{name: getattr(operator, name).clone() for name in names})
    return copied
