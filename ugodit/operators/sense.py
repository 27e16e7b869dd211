"""Multi-coil Cartesian MRI (SENSE): coil maps, centred unitary Fourier transform, sampling mask."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from ugodit.operators.domain import ComplexImages, Domain
from ugodit.operators.noise_level import noise_from_surplus
from ugodit.operators.sense_lines import acs_core, split_weights
from ugodit.operators.sense_packing import kernels_for, pack, select, stack
from ugodit.operators.sense_transfer import moved

ROUNDING = 1e-6
"""A residual this small, relative to the right-hand side, is single precision's rounding. Where A^H A is singular, part
of it lies in directions that nothing measures, and conjugate gradients would follow them to infinity."""


@dataclass(frozen=True, repr=False)
class SenseOperator:
    """A x = M F S x for a batch of items, and the measurements y that x has to explain.

    Built by `SenseOperator.from_kspace`. Where the mask varies along the phase-encode axis only, the measurements are
    held in hybrid space (transformed along the readout once), every image row is an independent problem, and rows
    outside the field of view are dropped exactly. A mask that varies along both axes keeps full k-space.

    The squared error of every measurement is multiplied by its `weights` entry w: 0 not measured, 1 measured. Any other
    w counts the line w times: `residual`, `normal`, `adjoint`, `initial` and `solve` hold A^H W A and A^H W y, while
    `forward` is A x where w is not 0, not multiplied by w. So for weights other than 0 and 1 `adjoint` is not the
    adjoint of `forward` but of W A. `with_weights` and `split` share the packed arrays.

    Where an object larger than the field of view folds over itself, two sets of maps tell apart what shares a pixel:
    A x = M F (S_1 x_1 + S_2 x_2). Images have the channels (real 1, imaginary 1, real 2, imaginary 2) then, and the
    magnitude is the root of the sum of squares of all of them. Slower than one set, and not for networks.
    """

    maps: Tensor
    """Sensitivity maps as `kernels.pack_maps` stores them; the layout is private to the kernels."""
    kspace: Tensor
    """Measurements as `kernels.pack_kspace` stores them."""
    weights: Tensor
    """float32 (B or 1, W), or (B or 1, H, W) where the mask varies along both axes."""
    support: Tensor
    """bool (B, 1, H, W): where any coil sees anything. Outside, the measurements say nothing about the image."""
    sensitivity: Tensor
    """float32 (B, 1, H, W): sqrt(sum_c |S_c|^2), of all sets; 1 inside the object, less where soft maps fade out."""
    line_energy: Tensor
    """float32, like `weights` with a leading axis of B: |y|^2 summed over coils (and rows, for masks along W)."""
    coils: int
    shape: tuple[int, int, int, int]
    """(B, 2, H, W) of the images; (B, 2 sets, H, W) with more than one set of maps."""

    @classmethod
    def from_kspace(
        cls, kspace: Any, maps: Any, mask: Any, *, rows: int | None = None, device: torch.device | str = "cpu"
    ) -> Self:
        """Pack one scan, or a batch of scans of one shape.

        Tensors, or arrays of NumPy, CuPy and others that share their memory by DLPack; those are not copied on the way.

        Args:
            kspace: complex64 (C, H, W) or (B, C, H, W): k-space, centre at n // 2. Unmeasured entries are ignored.
            maps: complex64, the shape of `kspace`: sensitivity maps of the full field of view,
                sum_c |S_c|^2 = 1 inside the object and 0 outside. Several sets: an axis of sets before the coils.
            mask: bool or float (W,), (B, W), (H, W) or (B, H, W): what was measured, or its weights. A square 2-D
                mask of B == H items is ambiguous only in shape (B, W): batches of masks along W need B < H.
            rows: keep the central `rows` rows of the image (readout oversampling), exactly; masks along W only.
            device: where the kernels run.

        Raises:
            TypeError, ValueError: the parameter, what was expected, what it got.
        """
        return cls(**pack(kspace, maps, mask, rows, torch.device(device)))

    @classmethod
    def stack(cls, operators: Sequence[Self]) -> Self:
        """One operator for the items of several of the same image size, number of coils and of sets of maps."""
        return cls(**stack(operators))

    def select(self, items: Sequence[int]) -> Self:
        """The operator of some of its items, in this order."""
        return type(self)(**select(self, items))

    def __repr__(self) -> str:
        items, _, height, width = self.shape
        measured = f"{int((self.weights > 0).sum()) / len(self.weights):g} of {self.weights[0].numel()}"
        kind = "lines" if self.weights.ndim == 2 else "samples"
        sets = f", {self.sets} sets of maps" if self.sets > 1 else ""
        return (
            f"SenseOperator({items} x {self.coils} coils x {height} x {width}, {measured} {kind}{sets}, "
            f"on {self.device})"
        )

    @property
    def sets(self) -> int:
        """Sets of maps."""
        return self.shape[1] // 2

    @property
    def _kernels(self) -> Any:
        return kernels_for(self.sets)

    @property
    def device(self) -> torch.device:
        """Where maps, measurements and images live."""
        return self.maps.device

    @property
    def domain(self) -> Domain:
        """Complex images."""
        return ComplexImages(self.shape[1])

    def to(self, device: torch.device | str) -> Self:
        """The same operator on another device, whose kernels store it in a layout of their own."""
        return moved(self, torch.device(device))

    def with_weights(self, weights: Tensor) -> Self:
        """The same measurements with other line weights, of the shape that `self.weights` has; nothing is copied.

        Weights other than 0 and 1 mean what the class says of them.
        """
        return dataclasses.replace(self, weights=weights)

    def split(self, fraction: float, generator: torch.Generator) -> tuple[Self, Self]:
        """What is seen, and a random `fraction` of the measured lines outside the ACS core, held out.

        InputError where fewer than two lines are measured there. See `sense_lines.split_weights`.
        """
        seen, held_out = split_weights(self.weights, self._core, fraction, generator)
        return self.with_weights(seen), self.with_weights(held_out)

    @cached_property
    def _core(self) -> Tensor:
        return acs_core(self.weights)

    def scaled(self, factor: float) -> Self:
        """The operator of the measurements `factor` y: images are then multiplied by `factor` too."""
        kspace = self._kernels.scale_kspace(self.kspace, factor, (self.coils, *self.shape[2:]))
        return dataclasses.replace(self, kspace=kspace, line_energy=self.line_energy * factor**2)

    def __call__(self, image: Tensor) -> Tensor:
        """`forward`."""
        return self.forward(image)

    @property
    def H(self) -> Adjoint:  # as in sigpy and mrpro
        """The adjoint as an operator: `A.H(y)` is `A.adjoint(y)`, and `A.H.H` is `A`."""
        return Adjoint(self)

    def forward(self, image: Tensor) -> Tensor:
        """A x as real (B, C, H, W, 2): centred hybrid space (or k-space for 2-D masks), zero where not measured."""
        return self._kernels.sense_forward(image, self.maps, self.weights, self.coils)

    def adjoint(self, measurements: Tensor) -> Tensor:
        """A^H W y as an image (B, 2, H, W), for `measurements` (B, C, H, W, 2) as `forward` returns them."""
        return self._kernels.sense_adjoint(measurements, self.maps, self.weights, self.coils)

    def normal(self, image: Tensor) -> Tensor:
        """A^H W A x, (B, 2, H, W)."""
        return self._kernels.sense_residual(image, self.maps, None, self.weights, self.coils)[1]

    def residual(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Loss (B,) and A^H W (A x - y), half its gradient, (B, 2, H, W), from one pass over the data."""
        return self._kernels.sense_residual(image, self.maps, self.kspace, self.weights, self.coils)

    def data_consistency(self, image: Tensor) -> Tensor:
        """sum W |A x - y|^2 of each item (B,); differentiable in `image`."""
        return self.residual(image)[0]

    def gradient(self, image: Tensor) -> Tensor:
        """A^H W (A x - y), half the gradient of `data_consistency`, (B, 2, H, W)."""
        return self.residual(image)[1]

    def initial(self) -> Tensor:
        """A^H W y, the zero-filled image (B, 2, H, W)."""
        return -self.residual(self._zeros())[1]

    def energy(self) -> Tensor:
        """sum W |y|^2 of each item (B,): the loss of an empty image."""
        return (self.weights * self.line_energy).flatten(1).sum(1)

    def samples(self) -> Tensor:
        """How many complex numbers were measured of each item, all coils together, (B,)."""
        lines_or_points = (self.weights > 0).flatten(1).sum(1)
        rows = self.shape[2] if self.weights.ndim == 2 else 1
        return (lines_or_points * rows * self.coils).expand(self.shape[0])

    def noise_variance(self) -> Tensor:
        """E|n|^2 of a sample of each item, (B,), from the surplus of coils; NaN where there is none."""
        return noise_from_surplus(self)

    def proximal(self, image: Tensor, mu: Tensor | float, iterations: int) -> Tensor:
        """Towards argmin_x sum W |A x - y|^2 + mu |x - image|^2, by conjugate gradients from `image`."""
        if not isinstance(mu, Tensor):
            mu = torch.full((self.shape[0],), mu, dtype=torch.float32, device=self.device)
        rhs = self.initial() + mu.view(-1, 1, 1, 1) * image
        return self.solve(rhs, image.detach(), mu, iterations)[0]

    def solve(
        self, rhs: Tensor, start: Tensor, mu: Tensor | float, iterations: int, tolerance: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Conjugate gradients on (A^H W A + mu I) x = rhs; see `kernels.sense_solve`.

        Args:
            rhs, start: images (B, 2, H, W). `start` gets no gradient.
            mu: one value, or a tensor (B,).
            iterations: steps at most.
            tolerance: stop where the residual's norm has fallen to this fraction of the right-hand side's; never
                less than ROUNDING.

        Returns:
            Solution (B, 2, H, W) and the norm of its residual (B,).
        """
        if not isinstance(mu, Tensor):
            mu = torch.full((self.shape[0],), mu, dtype=torch.float32, device=self.device)
        tolerance = max(tolerance, ROUNDING)
        return self._kernels.sense_solve(rhs, start, self.maps, self.weights, mu, self.coils, iterations, tolerance)

    def _zeros(self) -> Tensor:
        return torch.zeros(self.shape, dtype=torch.float32, device=self.device)


@dataclass(frozen=True)
class Adjoint:
    """The adjoint of a SenseOperator."""

    H: SenseOperator

    def __call__(self, measurements: Tensor) -> Tensor:
        """A^H W y as an image (B, 2, H, W), for y (B, C, H, W, 2) as the operator returns it."""
        return self.H.adjoint(measurements)
