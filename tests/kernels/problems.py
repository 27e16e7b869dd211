"""Random SENSE problems, and the one comparison that the kernel tests make."""

from dataclasses import dataclass

import torch
from torch import Tensor

# float32 arithmetic rounds by 6e-8. An FFT of length n passes every value through about 2 log2(n) <= 20 roundings, and
# the packed maps, the map product and the coil sum add a few: independent roundings grow as the square root,
# 6e-8 sqrt(30) = 3e-7 of the norm. Bluestein's chirps and two longer FFTs triple that. The project promises 2e-6.
TOLERANCE = 2e-6


@dataclass(frozen=True)
class Problem:
    image: Tensor
    maps: Tensor
    kspace: Tensor
    weights: Tensor
    coils: int

    @property
    def masked_along(self) -> str:
        return "width" if self.weights.dim() == 2 else "both"

    def double(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Image, maps, k-space and weights in double precision."""
        complex_ = torch.complex128
        return self.image.double(), self.maps.to(complex_), self.kspace.to(complex_), self.weights.double()


def problem(
    batch: int, coils: int, height: int, width: int, *, both: bool = False, density: float = 0.4, seed: int = 0
) -> Problem:
    """Fractional weights on about `density` of the lines (or samples); the other k-space holds large finite values."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.complex64)

    shape = (batch, height, width) if both else (batch, width)
    measured = torch.rand(shape, generator=generator) < density
    weights = measured * (0.5 + torch.rand(shape, generator=generator))
    kspace = normal(batch, coils, height, width)
    unmeasured = ~measured[:, None] if both else ~measured[:, None, None]
    kspace = torch.where(unmeasured, 1e4 * kspace, kspace)
    image = torch.randn(batch, 2, height, width, generator=generator)
    return Problem(image, normal(batch, coils, height, width), kspace, weights, coils)


def relative_error(value: Tensor, truth: Tensor) -> float:
    """||value - truth|| / ||truth||; where the truth is zero, whether the value is too (0 or infinity)."""
    error = (value.double() - truth.double()).norm().item()
    scale = truth.double().norm().item()
    return error / scale if scale > 0 else (0.0 if error == 0 else float("inf"))
