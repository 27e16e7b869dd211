"""Domain: what kind of images an operator has, their symmetries, and how one becomes a picture."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]
"""From images (B, channels, H, W) to images of the same shape; a view may turn them to (B, channels, W, H)."""

MIRRORS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))
"""Axes along which an image is mirrored."""


@dataclass(frozen=True)
class View:
    """A symmetry of the images, its inverse, and its weight in a mean over several views."""

    there: Map
    back: Map
    weight: float

    def of(self, network: Map) -> Map:
        """The network as it is when it is shown this view of its input, and its output is turned back."""
        return lambda image: self.back(network(self.there(image)))


class Domain(ABC):
    """Images that are as likely as their symmetric ones: a mirrored knee is a knee.

    A network does not know that by itself. It is shown random symmetries in training, and several views at test time.
    """

    channels: int
    """Of the real tensors (B, channels, H, W) that hold the images."""

    views: tuple[View, ...]
    """What a result is the mean of; the weights add up to 1."""

    extreme_views: tuple[View, ...]
    """The few of them that differ most, for a mean that is made often; the weights add up to 1."""

    @abstractmethod
    def random_symmetry(self, generator: torch.Generator) -> Tensor:
        """The numbers of a random symmetry, float64 (n,), on the CPU."""

    @abstractmethod
    def symmetry(self, numbers: Tensor) -> tuple[Map, Map]:
        """The map that these numbers stand for, and its inverse. They are read whenever a map is called.

        On a GPU the maps launch the same kernels for any numbers, and wait for none.
        """

    @abstractmethod
    def picture(self, image: Tensor) -> Tensor:
        """What a person is shown of images (B, channels, H, W): (B, H, W) in grey, or (B, H, W, 3) in colour."""


@dataclass(frozen=True)
class ComplexImages(Domain):
    """Complex images as (real, imaginary) channels, whose phase is arbitrary: the receiver's, in MRI.

    With several sets of maps they are (real 1, imaginary 1, real 2, ...).
    """

    channels: int = 2
    negative: float = 0.3
    """Weight of the views with their sign turned among all views (docs/ablation.md)."""

    @property
    def views(self) -> tuple[View, ...]:  # type: ignore[override]
        return tuple(
            _mirrored(axes, sign, weight / len(MIRRORS))
            for axes in MIRRORS
            for sign, weight in ((1.0, 1 - self.negative), (-1.0, self.negative))
        )

    @property
    def extreme_views(self) -> tuple[View, ...]:  # type: ignore[override]
        return _mirrored((), 1.0, 0.5), _mirrored((), -1.0, 0.5)

    def random_symmetry(self, generator: torch.Generator) -> Tensor:
        """Cosine and sine of a phase rotation, and whether to mirror the last axis and the one before."""
        angle = 2 * math.pi * float(torch.rand((), generator=generator))
        mirrored = int(torch.randint(4, (), generator=generator))
        return torch.tensor([math.cos(angle), math.sin(angle), mirrored & 1, mirrored >> 1], dtype=torch.float64)

    def symmetry(self, numbers: Tensor) -> tuple[Map, Map]:
        def there(image: Tensor) -> Tensor:
            cosine, sine, across, down = _readable(numbers, image)
            return _mirror(_rotate_phase(image, cosine, sine), across, down)

        def back(image: Tensor) -> Tensor:
            cosine, sine, across, down = _readable(numbers, image)
            return _rotate_phase(_mirror(image, across, down), cosine, -sine)

        return there, back

    def picture(self, image: Tensor) -> Tensor:
        return image.square().sum(1).sqrt()


@dataclass(frozen=True)
class RealImages(Domain):
    """Real images of any number of channels: a density, or colours in [0, 1]. Symmetries are mirror images."""

    channels: int = 1

    @property
    def views(self) -> tuple[View, ...]:  # type: ignore[override]
        return tuple(_mirrored(axes, 1.0, 1 / len(MIRRORS)) for axes in MIRRORS)

    @property
    def extreme_views(self) -> tuple[View, ...]:  # type: ignore[override]
        return tuple(_mirrored(axes, 1.0, 0.5) for axes in (MIRRORS[0], MIRRORS[-1]))

    def random_symmetry(self, generator: torch.Generator) -> Tensor:
        """Whether to mirror the last axis and the one before."""
        return torch.randint(2, (2,), generator=generator).double()

    def symmetry(self, numbers: Tensor) -> tuple[Map, Map]:
        def there(image: Tensor) -> Tensor:
            return _mirror(image, *_readable(numbers, image))

        return there, there

    def picture(self, image: Tensor) -> Tensor:
        return image[:, 0] if self.channels == 1 else image.clamp(0, 1).movedim(1, -1)


@dataclass(frozen=True)
class Photographs(Domain):
    """Photographs in [0, 1], grey or RGB. Symmetries are the eight flips and quarter turns; there is no phase.

    A face on its side is no likely photograph, but a network restores edges and textures, and those come in any
    direction.
    """

    channels: int = 3

    @property
    def views(self) -> tuple[View, ...]:  # type: ignore[override]
        return tuple(_turned(axes, transposed, 1 / 8) for axes in MIRRORS for transposed in (False, True))

    @property
    def extreme_views(self) -> tuple[View, ...]:  # type: ignore[override]
        """The image itself, and what differs from it along both axes and in their order."""
        return _turned((), False, 0.5), _turned((-2, -1), True, 0.5)

    def random_symmetry(self, generator: torch.Generator) -> Tensor:
        """Whether to mirror the last axis, the one before, and then to exchange the two."""
        return torch.randint(2, (3,), generator=generator).double()

    def symmetry(self, numbers: Tensor) -> tuple[Map, Map]:
        """Images that are not square keep their axes: the numbers would choose the shape, which a GPU cannot follow."""

        def there(image: Tensor) -> Tensor:
            across, down, exchanged = _readable(numbers, image)
            return _exchange(_mirror(image, across, down), exchanged)

        def back(image: Tensor) -> Tensor:
            across, down, exchanged = _readable(numbers, image)
            return _mirror(_exchange(image, exchanged), across, down)

        return there, back

    def picture(self, image: Tensor) -> Tensor:
        shown = image.clamp(0, 1)
        return shown[:, 0] if self.channels == 1 else shown.movedim(1, -1)


def _turned(axes: tuple[int, ...], transposed: bool, weight: float) -> View:
    """Mirrored along these axes, and then transposed or not: whatever the shape, since a view's is known beforehand."""
    if not transposed:
        return _mirrored(axes, 1.0, weight)
    return View(
        lambda image: image.flip(axes).transpose(-2, -1).contiguous(),
        lambda image: image.transpose(-2, -1).flip(axes),
        weight,
    )


def _mirrored(axes: tuple[int, ...], sign: float, weight: float) -> View:
    return View(lambda image: sign * image.flip(axes), lambda image: image.flip(axes) * sign, weight)


def _readable(numbers: Tensor, image: Tensor) -> list[float] | list[Tensor]:
    """Python's numbers on the CPU; tensors of the image's type elsewhere, and where a compiler traces them."""
    if numbers.device.type == "cpu" and not torch.compiler.is_compiling():
        values: list[float] = numbers.tolist()
        return values
    return list(numbers.to(image.dtype))


def _mirror(image: Tensor, across: float | Tensor, down: float | Tensor) -> Tensor:
    for axis, wanted in ((-1, across), (-2, down)):
        if isinstance(wanted, Tensor):
            image = torch.where(wanted > 0, image.flip(axis), image)
        elif wanted:
            image = image.flip(axis)
    return image


def _exchange(image: Tensor, wanted: float | Tensor) -> Tensor:
    """The last two axes exchanged, where the image is square."""
    if image.shape[-2] != image.shape[-1]:
        return image
    if isinstance(wanted, Tensor):
        return torch.where(wanted > 0, image.transpose(-2, -1), image)
    return image.transpose(-2, -1).contiguous() if wanted else image


def _rotate_phase(image: Tensor, cosine: float | Tensor, sine: float | Tensor) -> Tensor:
    """Images (B, 2 sets, H, W), multiplied by cosine + i sine."""
    real, imaginary = image[:, 0::2], image[:, 1::2]
    parts = torch.stack((cosine * real - sine * imaginary, sine * real + cosine * imaginary), dim=2)
    return parts.flatten(1, 2)
