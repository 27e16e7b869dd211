"""What the fit needs of a forward model, and nothing more.

Legend for shapes here and elsewhere: B items, C coils, H rows, W columns. Images are real tensors (B, channels, H, W);
those of MRI have the channels (real, imaginary), so that no complex tensor crosses a compiled or autocast boundary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from ugodit.operators.domain import Domain


@runtime_checkable
class Operator(Protocol):
    """A forward model A together with the measurements y that it has to explain, for B items. Immutable.

    Its norm is 1 at most: x - `gradient(x)` is a step that does not increase `data_consistency`. Blurred photographs
    exceed 1 by a little at mirrored edges, and in linear light; below sqrt 2 that still holds.

    An operator that runs on a GPU is a frozen dataclass whose splits differ in fields that are tensors of one shape,
    and share all others: only then can a captured CUDA graph be given another split (`fit.random_choices`).
    """

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape (B, channels, H, W) of the images that it takes."""

    @property
    def device(self) -> torch.device:
        """Where images and measurements live."""

    @property
    def domain(self) -> Domain:
        """What kind of images they are."""

    @property
    def support(self) -> Tensor:
        """bool (B, 1, H, W): where the measurements say anything about the image."""

    def initial(self) -> Tensor:
        """An image (B, channels, H, W) from the measurements alone: A^H y, or an upsampled photograph."""

    def data_consistency(self, image: Tensor) -> Tensor:
        """|A x - y|^2 of each item, (B,); differentiable in the image."""

    def gradient(self, image: Tensor) -> Tensor:
        """Half the gradient of `data_consistency`, (B, channels, H, W): A^H (A x - y) where A is linear."""

    def energy(self) -> Tensor:
        """|y|^2 of each item, (B,): what an empty image leaves."""

    def samples(self) -> Tensor:
        """How many numbers (complex ones, in MRI) were measured of each item, (B,)."""

    def noise_variance(self) -> Tensor:
        """E|n|^2 of the noise of one sample, (B,); NaN where it cannot be told."""

    def split(self, fraction: float, generator: torch.Generator) -> tuple[Self, Self]:
        """Two operators that share the measurements: what is seen, and the random `fraction` that is held out.

        What the method cannot do without (the centre of k-space, say) is always seen. The generator is a CPU's, so that
        a seed gives the same splits on any device. InputError where there is too little to split.
        """

    def proximal(self, image: Tensor, mu: Tensor | float, iterations: int) -> Tensor:
        """Towards argmin_x |A x - y|^2 + mu |x - image|^2 in so many steps from `image`; mu a number or (B,).

        Differentiable in image and mu.
        """

    def scaled(self, factor: float) -> Self:
        """The operator of the measurements `factor` y: images are then multiplied by `factor` too."""

    def select(self, items: Sequence[int]) -> Self:
        """The operator of some of its items, in this order."""

    @classmethod
    def stack(cls, operators: Sequence[Self]) -> Self:
        """One operator for the items of several with images of one size. ValueError where they do not go together."""


@runtime_checkable
class LinearOperator(Operator, Protocol):
    """An operator A that is linear in the image."""

    def forward(self, image: Tensor) -> Tensor:
        """A x: what would be measured, free of noise, if `image` (B, channels, H, W) were the object."""

    def adjoint(self, measurements: Tensor) -> Tensor:
        """A^H applied to `measurements` (as `forward` returns them)."""

    def normal(self, image: Tensor) -> Tensor:
        """A^H A applied to `image` (B, channels, H, W)."""
