"""What a step of the fit draws at random: the split of the lines, noise, symmetries.

On the CPU they are drawn step by step. On a GPU nothing may be drawn by the host inside the loop, and a captured graph
reads the same memory in every step: `FixedDraws` settles all choices ahead, and fills the same tensors anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ugodit.fit.config import FitConfig
from ugodit.fit.ensemble import Starts
from ugodit.fit.splitting import Split
from ugodit.fit.symmetry import multiply_phase, random_symmetry

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Draw:
    """Of one operator's items, for one step."""

    split: Split
    start: Tensor
    """The network's first input, without noise."""
    noise: Tensor | None
    """Uniform in [0, 1), of the input's shape; None where none is added."""
    symmetries: Sequence[tuple[Map, Map]]
    """A map of images and its inverse for each call of the network; empty where none are asked for."""


def draw_on_host(split: Split | None, start: Tensor, starts: Starts, config: FitConfig) -> Draw:
    """`split` and `start` where all lines are fitted; None and anything where a member of the pool is drawn."""
    generator = starts.generator
    if split is None:
        member = starts.member()
        split, start = member.split, member.start
    noise = None
    if config.input_noise:
        noise = torch.rand(start.shape, generator=generator).to(start.device)
    count = network_calls(config) if config.symmetries else 0
    return Draw(split, start, noise, [random_symmetry(generator) for _ in range(count)])


class FixedDraws:
    """Every step's draw in the same tensors. Noise comes from a generator on the device; splits and symmetries are
    chosen for all steps at once, here, so that `fill` queues copies and waits for nothing."""

    def __init__(self, split: Split | None, start: Tensor, starts: Starts, config: FitConfig) -> None:
        """As for `draw_on_host`."""
        generator, device = starts.generator, start.device
        self.members = starts.pool() if split is None else []
        if split is None:
            first = self.members[0]
            split = Split(input=first.split.input.clone(), loss=first.split.loss.clone())
            start = first.start.clone()
        # Each member once, then at random, as on the CPU.
        more = max(config.steps - len(self.members), 0)
        chosen = torch.randint(len(self.members), (more,), generator=generator).tolist() if self.members else []
        self.order = [*range(len(self.members)), *chosen]
        seed = int(torch.randint(2**62, (), generator=generator))
        self.generator = torch.Generator(device).manual_seed(seed)
        noise = torch.empty_like(start, requires_grad=False) if config.input_noise else None
        calls = network_calls(config) if config.symmetries else 0
        self.numbers = random_symmetries(config.steps if calls else 0, calls, generator).to(device)
        self.current = torch.empty_like(self.numbers[0]) if calls else self.numbers
        self.draw = Draw(split, start, noise, [symmetry_of(numbers) for numbers in self.current])

    def fill(self, iteration: int) -> None:
        """Put the draw of this step, 1, 2, ..., into `draw`."""
        draw = self.draw
        if self.members:
            member = self.members[self.order[iteration - 1]]
            draw.start.copy_(member.start)
            draw.split.input.copy_(member.split.input)
            draw.split.loss.copy_(member.split.loss)
        if draw.noise is not None:
            draw.noise.uniform_(generator=self.generator)
        if draw.symmetries:
            self.current.copy_(self.numbers[iteration - 1])


def network_calls(config: FitConfig) -> int:
    """How often a step calls the network."""
    return max(config.unrolls, 1)


def random_symmetries(steps: int, calls: int, generator: torch.Generator) -> Tensor:
    """(steps, calls, 4): cosine and sine of a random turn of the phase, and whether to mirror the last two axes."""
    angles = 2 * math.pi * torch.rand((steps, calls), generator=generator)
    mirrored = torch.randint(2, (steps, calls, 2), generator=generator).float()
    return torch.cat([angles.cos()[..., None], angles.sin()[..., None], mirrored], dim=-1)


def symmetry_of(numbers: Tensor) -> tuple[Map, Map]:
    """`symmetry.random_symmetry` with its choices in a tensor of four numbers, which are read when a map is called."""
    cosine, sine, across, down = numbers

    def mirror(image: Tensor) -> Tensor:
        for axis, wanted in ((-1, across), (-2, down)):
            image = torch.where(wanted > 0, image.flip(axis), image)
        return image

    def turn(image: Tensor) -> Tensor:
        return mirror(multiply_phase(image, cosine, sine))

    def turn_back(image: Tensor) -> Tensor:
        return multiply_phase(mirror(image), cosine, -sine)

    return turn, turn_back
