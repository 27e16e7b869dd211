"""What was measured: one slice of multi-coil k-space and what is known about it."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor


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

    def digest(self) -> str:
        """sha256 (hexadecimal) of the measurements and the mask: what a reconstruction depends on."""
        digest = hashlib.sha256(self.kspace.contiguous().numpy().tobytes())
        if self.mask is not None:
            digest.update(self.mask.contiguous().numpy().tobytes())
        return digest.hexdigest()
