"""What bench_sense.py times and with what it compares: a scan, equal results, interleaved medians.

The k-space is that of a random image and random smooth maps, 4x equispaced with 8 % central lines. Every competitor
works on the full centred k-space, as its users have it; ours on hybrid space, to which the data are brought once.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ugodit import kernels
from ugodit.data.geometry import centred_fft, centred_ifft

MU = 0.05

Size = tuple[int, int, int]  # coils, rows, columns


class Unavailable(Exception):
    """A competitor that is not installed here, and why: it is left out."""


@dataclass(frozen=True)
class Scan:
    maps: Tensor  # (1, C, H, W)
    kspace: Tensor  # full k-space, zero where not measured
    image: Tensor  # (1, 2, H, W): where the loss is evaluated
    mask: Tensor  # (1, W) float32
    packed_maps: Tensor
    packed_kspace: Tensor

    @property
    def coils(self) -> int:
        return self.maps.shape[1]

    def right_hand_side(self) -> Tensor:
        """A^H y: what a solve begins with."""
        zero = torch.zeros_like(self.image)
        return -kernels.sense_residual(zero, self.packed_maps, self.packed_kspace, self.mask, self.coils)[1]

    def error_energy(self, x: Tensor) -> float:
        """x^H (A^H A + mu) x / 2 - Re x^H A^H y: what conjugate gradients minimise."""
        loss = kernels.sense_residual(x, self.packed_maps, None, self.mask, self.coils)[0].double()
        quadratic = (loss + MU * x.double().square().sum()) / 2
        return (quadratic - (self.right_hand_side().double() * x.double()).sum()).item()


@lru_cache(maxsize=2)
def make_scan(size: Size) -> Scan:
    coils, height, width = size
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    angle = torch.arange(coils) * (2 * torch.pi / coils)
    distance = (x - angle.cos()[:, None, None]) ** 2 + (y - angle.sin()[:, None, None]) ** 2
    maps = torch.polar(torch.exp(-distance), angle[:, None, None] + 2 * x)[None]
    maps = maps / maps.abs().pow(2).sum(dim=1, keepdim=True).sqrt()
    mask = torch.zeros(1, width)
    mask[:, width // 2 % 4 :: 4] = 1
    central = round(0.08 * width)
    mask[:, (width - central + 1) // 2 : (width - central + 1) // 2 + central] = 1
    truth = torch.randn(1, 1, height, width, dtype=torch.complex64, generator=generator)
    noise = torch.randn(1, coils, height, width, dtype=torch.complex64, generator=generator)
    kspace = mask[:, None, None] * (centred_fft(maps * truth, (-2, -1)) + 0.1 * noise)
    image = torch.randn(1, 2, height, width, generator=generator)
    hybrid = centred_ifft(kspace, (-2,))
    return Scan(maps, kspace, image, mask, kernels.pack_maps(maps), kernels.pack_kspace(hybrid))


def label(size: Size) -> str:
    return "x".join(map(str, size))


def relative(a: Tensor, b: Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


def channels(image: Tensor) -> Tensor:
    """A complex image (B, H, W) as ours: real (B, 2, H, W)."""
    return torch.stack([image.real, image.imag], dim=1)


def interleaved(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each, all called once a round: whatever disturbs the machine disturbs them alike."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(rounds):
        for name, function in functions.items():
            begin = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in times.items()}
