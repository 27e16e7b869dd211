"""Multi-coil Cartesian MRI (SENSE): coil maps, centred unitary Fourier transform, sampling mask."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ugodit import kernels
from ugodit.kernels.dlpack import as_tensor
from ugodit.kernels.reference import centred_ifft
from ugodit.operators import sense_sets as kernels_of_sets


def center_rows(array: Tensor, rows: int) -> Tensor:
    """The central `rows` rows (axis -2), fastMRI's centre crop."""
    start = (array.shape[-2] - rows) // 2
    return array[..., start : start + rows, :]


ROUNDING = 1e-6
"""A residual this small, relative to the right-hand side, is single precision's rounding. Where A^H A is singular, part
of it lies in directions that nothing measures, and conjugate gradients would follow them to infinity."""


@dataclass(frozen=True)
class SenseOperator:
    """A x = M F S x for a batch of items, and the measurements y that x has to explain.

    Built by `SenseOperator.from_kspace`. Where the mask varies along the phase-encode axis only, the measurements are
    held in hybrid space (transformed along the readout once), every image row is an independent problem, and rows
    outside the field of view are dropped exactly. A mask that varies along both axes keeps full k-space.

    The squared error of every measurement is multiplied by its `weights` entry: 0 not measured, 1 measured. A random
    split of the lines is `with_weights`, which shares the packed maps and measurements.

    Where an object larger than the field of view folds over itself, two sets of maps tell apart what shares a pixel:
    A x = M F (S_1 x_1 + S_2 x_2). Images have the channels (real 1, imaginary 1, real 2, imaginary 2) then, and the
    magnitude is the root of the sum of squares of all of them. Slower than one set (`sets.py`), and not for networks.
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
    ) -> SenseOperator:
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
        kspace, maps, mask = as_tensor("kspace", kspace), as_tensor("maps", maps), as_tensor("mask", mask)
        if kspace.ndim == 3:
            kspace, maps = kspace[None], maps[None]
        if kspace.ndim != 4 or not kspace.is_complex():
            raise TypeError(f"kspace: expected complex (C, H, W) or (B, C, H, W), got {kspace.dtype} {kspace.shape}")
        several = maps.ndim == 5 and maps.shape[1] > 1
        if maps.ndim == 5 and maps.shape[1] == 1:
            maps = maps[:, 0]
        if (maps[:, 0] if several else maps).shape != kspace.shape:
            raise ValueError(
                f"maps: expected the shape of kspace {tuple(kspace.shape)}, or with an axis of sets before the coils, "
                f"got {tuple(maps.shape)}"
            )
        ops = _kernels(2 if several else 1)
        weights, plane = _as_weights(mask, kspace.shape)
        kspace, maps = kspace.to(device, torch.complex64), maps.to(device, torch.complex64)
        if rows is not None and rows != kspace.shape[-2]:
            if plane:
                raise ValueError("rows: a mask along both axes couples all rows; crop the reconstruction instead")
            if not 0 < rows <= kspace.shape[-2]:
                raise ValueError(f"rows: expected 1 to {kspace.shape[-2]}, got {rows}")
            maps = center_rows(maps, rows)
        if not plane:
            kspace = centred_ifft(kspace, (-2,))
            kspace = center_rows(kspace, rows) if rows is not None else kspace
        items, coils, height, width = kspace.shape
        along = "both" if plane else "width"
        sensitivity = maps.abs().flatten(1, -3).square().sum(1, keepdim=True).sqrt()
        return cls(
            maps=ops.pack_maps(maps, along),
            kspace=ops.pack_kspace(kspace, along),
            weights=weights.to(device),
            support=sensitivity > 0,
            sensitivity=sensitivity,
            line_energy=kspace.abs().square().sum(1 if plane else (1, 2)),
            coils=coils,
            shape=(items, 2 * maps.shape[1] if several else 2, height, width),
        )

    @classmethod
    def stack(cls, operators: Sequence[SenseOperator]) -> SenseOperator:
        """One operator for the items of several of the same image size, number of coils and of sets of maps."""
        first = operators[0]
        if any(o.shape[1:] != first.shape[1:] or o.coils != first.coils for o in operators):
            raise ValueError("operators: expected one image size and one number of coils in a batch")
        every = [o.weights.expand(o.shape[0], *o.weights.shape[1:]) for o in operators]
        return cls(
            maps=torch.cat([o.maps for o in operators]),
            kspace=first._kernels.stack_kspace([o.kspace for o in operators], (first.coils, *first.shape[2:])),
            weights=torch.cat(every),
            support=torch.cat([o.support for o in operators]),
            sensitivity=torch.cat([o.sensitivity for o in operators]),
            line_energy=torch.cat([o.line_energy for o in operators]),
            coils=first.coils,
            shape=(sum(o.shape[0] for o in operators), *first.shape[1:]),
        )

    @property
    def sets(self) -> int:
        """Sets of maps."""
        return self.shape[1] // 2

    @property
    def _kernels(self) -> Any:
        return _kernels(self.sets)

    @property
    def device(self) -> torch.device:
        """Where maps, measurements and images live."""
        return self.maps.device

    def with_weights(self, weights: Tensor) -> SenseOperator:
        """The same measurements with other line weights, of the shape that `self.weights` has; nothing is copied."""
        return dataclasses.replace(self, weights=weights)

    def scaled(self, factor: float) -> SenseOperator:
        """The operator of the measurements `factor` y: images are then multiplied by `factor` too."""
        kspace = self._kernels.scale_kspace(self.kspace, factor, (self.coils, *self.shape[2:]))
        return dataclasses.replace(self, kspace=kspace, line_energy=self.line_energy * factor**2)

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

    def initial(self) -> Tensor:
        """A^H W y, the zero-filled image (B, 2, H, W)."""
        return -self.residual(self._zeros())[1]

    def energy(self) -> Tensor:
        """sum W |y|^2 of each item (B,): the loss of an empty image."""
        return (self.weights * self.line_energy).flatten(1).sum(1)

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


def _kernels(sets: int) -> Any:
    """The module that does the work: the fused kernels, or what is built on them for more sets of maps."""
    return kernels if sets == 1 else kernels_of_sets


def _as_weights(mask: Tensor, shape: torch.Size) -> tuple[Tensor, bool]:
    """Weights (B or 1, W) or (B or 1, H, W), and whether they vary along both axes."""
    items, _, height, width = shape
    by_shape = {(width,): False, (items, width): False, (height, width): True, (items, height, width): True}
    plane = by_shape.get(tuple(mask.shape))
    if (items, width) == tuple(mask.shape):
        plane = False
    if plane is None or mask.is_complex():
        raise ValueError(
            f"mask: expected real ({width},), ({items}, {width}), ({height}, {width}) or ({items}, {height}, {width}), "
            f"got {mask.dtype} {tuple(mask.shape)}"
        )
    weights = mask.to(torch.float32)
    if not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()):
        raise ValueError("mask: expected finite weights of zero or more")
    needs_item_axis = weights.ndim == 1 or (plane and weights.ndim == 2)
    return (weights[None] if needs_item_axis else weights).contiguous(), plane
