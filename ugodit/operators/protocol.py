"""What the fit loop needs of a forward model, and nothing more.

Legend for shapes here and elsewhere: B items, C coils, H readout rows, W phase-encode columns. Images are real
tensors (B, channels, H, W); MRI has the channels (real, imaginary), so that no complex tensor crosses a compiled or
autocast boundary.
"""

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Operator(Protocol):
    """A forward model together with the measurements that it has to explain. Immutable."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape (B, channels, H, W) of the images that it takes."""

    def forward(self, image: Tensor) -> Tensor:
        """What would be measured, free of noise, if `image` (B, channels, H, W) were the object."""

    def initial(self) -> Tensor:
        """A first image (B, channels, H, W) from the measurements alone: the network's first input."""

    def data_consistency(self, image: Tensor) -> Tensor:
        """Squared distance (B,) between what `image` would have measured and what was measured; differentiable."""


@runtime_checkable
class LinearOperator(Operator, Protocol):
    """An operator A that is linear in the image."""

    def adjoint(self, measurements: Tensor) -> Tensor:
        """A^H applied to `measurements` (as `forward` returns them)."""

    def normal(self, image: Tensor) -> Tensor:
        """A^H A applied to `image` (B, channels, H, W)."""
