"""What was measured: one slice of multi-coil k-space and what is known about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ugodit.data.arrays import as_tensor


@dataclass(frozen=True)
class Scan:
    """One slice, as it came from the scanner or the simulator.

    k-space is centred: the zero frequency is near index (H // 2, W // 2). Its scale is the scanner's own: files differ
    by twelve orders of magnitude, so nothing may assume one.
    """

    name: str
    """The volume's name: its file name without the suffix."""

    slice_index: int
    """Which slice of the volume, from 0."""

    kspace: Tensor
    """complex64 (C, H, W): coils, readout, phase encode; full readout oversampling; zero where nothing was measured."""

    mask: Tensor | None
    """bool (W,) or (H, W), True where measured; None where everything was (a fully sampled scan)."""

    crop: tuple[int, int]
    """(rows, columns) of the central part of the image that a reconstruction reports, as in fastMRI."""

    target: Tensor | None
    """float32 (rows, columns), the root-sum-of-squares of the fully sampled scan; None where it is not known."""

    maps: Tensor | None = None
    """complex64 (C, H, W), sensitivity maps that came with the measurements; None where they are to be found."""

    @classmethod
    def from_arrays(
        cls,
        kspace: Any,
        mask: Any = None,
        maps: Any = None,
        *,
        crop: tuple[int, int] | None = None,
        target: Any = None,
        name: str = "scan",
        slice_index: int = 0,
    ) -> Scan:
        """A scan whose data are arrays: tensors, NumPy's, CuPy's, or any others with the DLPack protocol.

        Args:
            kspace: complex (coils, readout, phase encode), centred.
            mask: bool or numbers, (phase encode,) or (readout, phase encode), not 0 where measured. None: everything
                was measured.
            maps: complex, shape of `kspace`. None: they are estimated from the centre of k-space.
            crop: (rows, columns) of the image that is reported; all of it by default, or the target's size.
            target: (rows, columns), to compare the reconstruction with.
            name, slice_index: how errors and results call it.

        Raises:
            TypeError, ValueError: the parameter, what was expected, what it got.
        """
        kspace = as_tensor("kspace", kspace).resolve_conj()
        if kspace.ndim != 3 or not kspace.is_complex():
            found = f"{kspace.dtype} {tuple(kspace.shape)}"
            raise ValueError(f"kspace: expected complex (coils, readout, phase encode), got {found}")
        if not bool(torch.isfinite(torch.view_as_real(kspace)).all()):
            raise ValueError("kspace: expected finite numbers, got NaN or Inf")
        if mask is not None:
            mask = (torch.as_tensor(mask) if isinstance(mask, list) else as_tensor("mask", mask)).cpu() != 0
            if tuple(mask.shape) not in (kspace.shape[-1:], kspace.shape[-2:]):
                expected = f"({kspace.shape[-1]},) or {tuple(kspace.shape[-2:])}"
                raise ValueError(f"mask: expected {expected}, got {tuple(mask.shape)}")
        kspace = kspace.to("cpu", torch.complex64)
        kspace = kspace if mask is None else kspace * mask
        if not bool((kspace != 0).any()):
            raise ValueError("kspace: expected samples that are measured and not zero, got none; check the mask")
        if maps is not None:
            maps = as_tensor("maps", maps).resolve_conj().to("cpu", torch.complex64)
            if not bool(torch.isfinite(torch.view_as_real(maps)).all()):
                raise ValueError("maps: expected finite numbers, got NaN or Inf")
        if target is not None:
            target = as_tensor("target", target)
            if target.is_complex() or not bool(torch.isfinite(target).all()):
                raise ValueError("target: expected finite real numbers (a magnitude), got complex ones, NaN or Inf")
            target = target.to("cpu", torch.float32)
        if crop is None:
            rows, columns = (kspace if target is None else target).shape[-2:]
            crop = rows, columns
        return cls(name, slice_index, kspace, mask, crop, target, maps)

    def __post_init__(self) -> None:
        if self.kspace.ndim != 3 or self.kspace.dtype != torch.complex64:
            found = f"{self.kspace.dtype} {tuple(self.kspace.shape)}"
            raise ValueError(f"kspace: expected complex64 (coils, readout, phase encode), got {found}")
        _, rows, columns = self.kspace.shape
        if self.mask is not None and (
            self.mask.dtype != torch.bool or tuple(self.mask.shape) not in ((columns,), (rows, columns))
        ):
            found = f"{self.mask.dtype} {tuple(self.mask.shape)}"
            raise ValueError(f"mask: expected bool ({columns},) or ({rows}, {columns}), got {found}")
        if not (0 < self.crop[0] <= rows and 0 < self.crop[1] <= columns):
            raise ValueError(f"crop: expected at most ({rows}, {columns}) and at least (1, 1), got {self.crop}")
        if self.target is not None and tuple(self.target.shape) != self.crop:
            raise ValueError(f"target: expected the shape of crop, {self.crop}, got {tuple(self.target.shape)}")
        if self.maps is not None and (self.maps.shape != self.kspace.shape or self.maps.dtype != torch.complex64):
            found = f"{self.maps.dtype} {tuple(self.maps.shape)}"
            raise ValueError(f"maps: expected complex64 {tuple(self.kspace.shape)} as kspace, got {found}")

    def digest(self) -> str:
        """sha256 (hexadecimal) of measurements, mask and maps: what a reconstruction depends on."""
        digest = hashlib.sha256(self.kspace.contiguous().numpy().data)
        for also in (self.mask, self.maps):
            if also is not None:
                digest.update(also.contiguous().numpy().data)
        return digest.hexdigest()
