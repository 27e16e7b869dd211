"""What the operators of photographs share: measured pixels, splits of them, batches, and the linear ones' solve.

Images are real tensors (B, 1 or 3, H, W), usually in [0, 1]; measurements are (B, 1 or 3, h, w). All is computed in the
dtype of the measurements, float32 as a rule.

Splits. MRI holds out lines of k-space; here it is pixels of the measured image, chosen at random, in all channels at
once (those of one pixel know too much of one another). The noise of a pixel is independent of every other pixel's, so
the error in held-out pixels is honest: noise that was fitted shows. What a split cannot judge is what no pixel
measures: in a blurred image neighbours overlap, and a held-out one is half known from them. Its error says how far to
trust the measurements, and little of the detail that they lack.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from ugodit.data.degradation import check_image
from ugodit.errors import InputError
from ugodit.operators.domain import Domain, Photographs
from ugodit.operators.photograph_noise import noise_from_differences
from ugodit.operators.photograph_solve import per_item, solve


@dataclass(frozen=True, repr=False, kw_only=True)
class PhotographOperator(ABC):
    """A x and the measured pixels y that x has to explain, for B items. `Operator` says what the methods are for."""

    measurements: Tensor
    """y, (B, 1 or 3, h, w)."""
    weights: Tensor | None
    """(B, 1, h, w): 1 where a pixel is measured, 0 elsewhere. None where all are: then some solves have a formula."""
    known_noise: Tensor
    """(B,): variance of the noise of one number; NaN where it is to be estimated."""

    shared: ClassVar[frozenset[str]] = frozenset()
    """Fields with tensors that all items have in common."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(B, channels, H, W) of the images."""
        items, channels, height, width = self.measurements.shape
        return items, channels, height, width

    @property
    def device(self) -> torch.device:
        """Where images and measurements are."""
        return self.measurements.device

    @property
    def domain(self) -> Domain:
        """Photographs."""
        return Photographs(self.shape[1])

    @property
    def support(self) -> Tensor:
        """Everywhere. Holes too: what is in them is the network's to say, and outside the support it is not asked."""
        items, _, height, width = self.shape
        return torch.ones(items, 1, height, width, dtype=torch.bool, device=self.device)

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """A x, (B, channels, h, w): what would be measured of the image, free of noise; 0 where nothing is."""

    @abstractmethod
    def initial(self) -> Tensor:
        """The measurements as an image (B, channels, H, W), what is not measured filled from around it."""

    @abstractmethod
    def gradient(self, image: Tensor) -> Tensor:
        """Half the gradient of `data_consistency`."""

    @abstractmethod
    def proximal(self, image: Tensor, mu: Tensor | float, iterations: int) -> Tensor:
        """argmin_x |A x - y|^2 + mu |x - image|^2, or towards it; mu a number or (B,), differentiable in both."""

    def residual(self, image: Tensor) -> Tensor:
        """A x - y, (B, channels, h, w): 0 where nothing is measured."""
        return self.forward(image) - self.masked(self.measurements)

    def data_consistency(self, image: Tensor) -> Tensor:
        """|A x - y|^2 of each item, (B,); differentiable in the image."""
        return self.residual(image).square().sum((1, 2, 3))

    def energy(self) -> Tensor:
        """|y|^2 of each item, (B,)."""
        return self.masked(self.measurements).square().sum((1, 2, 3))

    def samples(self) -> Tensor:
        """How many numbers are measured of each item, (B,): pixels times channels."""
        items, channels, height, width = self.measurements.shape
        if self.weights is None:
            return torch.full((items,), channels * height * width, device=self.device)
        return self.weights.sum((1, 2, 3)).long() * channels

    def noise_variance(self) -> Tensor:
        """E|n|^2 of one number, (B,): as it was given, or estimated from the measurements; see `photograph_noise`."""
        unknown = self.known_noise.isnan()
        if not bool(unknown.any()):
            return self.known_noise
        return torch.where(unknown, noise_from_differences(self.measurements, self.weights), self.known_noise)

    def split(self, fraction: float, generator: torch.Generator) -> tuple[Self, Self]:
        """What is seen, and a random `fraction` of the measured pixels, held out; see the head of this module.

        InputError where fewer than two pixels are measured.
        """
        every = self.every_weight()
        held_out = torch.zeros_like(every)
        for item, measured in enumerate(every):
            pixels = measured.flatten().nonzero().flatten()
            if len(pixels) < 2:
                raise InputError(f"image: splitting needs at least 2 measured pixels, got {len(pixels)}")
            count = min(max(round(fraction * len(pixels)), 1), len(pixels) - 1)
            chosen = torch.randperm(len(pixels), generator=generator)[:count].to(pixels.device)
            held_out[item].view(-1)[pixels[chosen]] = 1
        seen = dataclasses.replace(self, weights=every - held_out)
        return seen, dataclasses.replace(self, weights=held_out)

    def scaled(self, factor: float) -> Self:
        """The operator of the measurements `factor` y."""
        return dataclasses.replace(
            self, measurements=factor * self.measurements, known_noise=factor**2 * self.known_noise
        )

    def select(self, items: Sequence[int]) -> Self:
        """The operator of some of its items, in this order."""
        index = torch.as_tensor(list(items), device=self.device)
        return self._with(lambda name, tensor: tensor if name in self.shared else tensor[index])

    def to(self, target: torch.device | torch.dtype | str) -> Self:
        """The same operator on another device, or in another floating dtype."""
        return self._with(lambda _, tensor: tensor.to(target))

    @classmethod
    def stack(cls, operators: Sequence[Self]) -> Self:
        """One operator for the items of several. ValueError where sizes or settings differ."""
        first = operators[0]
        if len({operator._kind() for operator in operators}) > 1:
            raise ValueError("operators: expected one image size and one kind of measurement in a batch, got several")
        fields: dict[str, Any] = {}
        if any(operator.weights is not None for operator in operators):
            fields["weights"] = torch.cat([operator.every_weight() for operator in operators])
        for field in dataclasses.fields(first):
            values = [getattr(operator, field.name) for operator in operators]
            if isinstance(values[0], Tensor) and field.name not in (*cls.shared, "weights"):
                fields[field.name] = torch.cat(values)
        return dataclasses.replace(first, **fields)

    def every_weight(self) -> Tensor:
        """`weights`, ones where they are None."""
        if self.weights is not None:
            return self.weights
        items, _, height, width = self.measurements.shape
        return torch.ones(items, 1, height, width, dtype=self.measurements.dtype, device=self.device)

    def masked(self, measurements: Tensor) -> Tensor:
        """0 where nothing is measured."""
        return measurements if self.weights is None else self.weights * measurements

    def _kind(self) -> tuple[Any, ...]:
        """What the operators of a batch have in common: sizes of an item, and whatever is no tensor."""
        values = [(field.name, getattr(self, field.name)) for field in dataclasses.fields(self)]
        settings = [value for _, value in values if not isinstance(value, Tensor | None)]
        sizes = [value.shape[1:] for name, value in values if isinstance(value, Tensor) and name != "weights"]
        return (self.shape[1:], *settings, *sizes)

    def _with(self, changed: Callable[[str, Tensor], Tensor]) -> Self:
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        tensors = {name: changed(name, value) for name, value in fields.items() if isinstance(value, Tensor)}
        return dataclasses.replace(self, **tensors)


class LinearPhotographOperator(PhotographOperator):
    """A = M B for a linear B, where M keeps the measured pixels."""

    @abstractmethod
    def unmasked(self, image: Tensor) -> Tensor:
        """B x, (B, channels, h, w)."""

    @abstractmethod
    def unmasked_adjoint(self, measurements: Tensor) -> Tensor:
        """B^T y, (B, channels, H, W)."""

    def forward(self, image: Tensor) -> Tensor:
        """A x, (B, channels, h, w)."""
        return self.masked(self.unmasked(image))

    def adjoint(self, measurements: Tensor) -> Tensor:
        """A^T of `measurements` (B, channels, h, w), an image (B, channels, H, W)."""
        return self.unmasked_adjoint(self.masked(measurements))

    def normal(self, image: Tensor) -> Tensor:
        """A^T A x."""
        return self.adjoint(self.forward(image))

    def gradient(self, image: Tensor) -> Tensor:
        """A^T (A x - y)."""
        return self.adjoint(self.residual(image))

    def proximal(self, image: Tensor, mu: Tensor | float, iterations: int) -> Tensor:
        """By so many steps of conjugate gradients from `image`."""
        mu = per_item(mu, image)
        rhs = self.adjoint(self.measurements) + mu * image
        return solve(self.normal, rhs, image, mu, iterations)


def checked_fields(measurements: Tensor, sigma: float | None, mask: Tensor | None = None) -> dict[str, Any]:
    """The fields of every operator.

    Args:
        measurements: float (B, 1 or 3, h, w).
        sigma: standard deviation of their noise, in their unit; None: to be estimated.
        mask: bool (h, w) or (B, h, w), True where a pixel is measured; None: all are.

    Raises:
        ValueError: shapes and dtypes that do not go together. InputError: NaN, or a sigma below 0.
    """
    check_image(measurements)
    if sigma is not None and not 0 <= sigma < float("inf"):
        raise InputError(f"`noise`: expected a finite standard deviation of 0 or more, got {sigma}")
    items, _, height, width = measurements.shape
    weights = None
    if mask is not None:
        if mask.dtype != torch.bool or mask.shape not in ((height, width), (items, height, width)):
            raise ValueError(
                f"mask: expected bool ({height}, {width}) or ({items}, {height}, {width}), got {mask.dtype} "
                f"{tuple(mask.shape)}"
            )
        weights = mask.to(measurements).expand(items, height, width)[:, None].contiguous()
    variance = float("nan") if sigma is None else sigma**2
    known = torch.full((items,), variance, dtype=measurements.dtype, device=measurements.device)
    return {"measurements": measurements, "weights": weights, "known_noise": known}
