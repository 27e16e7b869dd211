"""ConvDecoder (Darestani, Heckel, IEEE TCI 2021): an un-trained decoder-only network from a fixed low-resolution input.

It has the parts that the fit loop asks of a network (`encoder`, `encode`, `decode`, a call), but its encoder is empty:
of its input it takes only the size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ugodit.networks.calls import PLAIN, Calls

SMALLEST = 8
"""Pixels of the shorter side of the fixed input, at most (8 x 4 in the paper, for 640 x 368)."""


class ConvDecoder(nn.Module):
    """`layers` of { nearest-neighbour upsampling, 3 x 3 convolution, ReLU, normalisation }, then 1 x 1 to the image.

    Sizes grow geometrically from the fixed input's, of `channels` channels drawn from a normal distribution by `seed`,
    to the image's. Normalisation is by the image's own statistics (BatchNorm in training, a batch of one image).
    """

    decoders = 1

    def __init__(self, channels: int, layers: int, out_channels: int = 2, *, seed: int = 0) -> None:
        super().__init__()
        if channels < 1 or layers < 2:
            raise ValueError(f"channels, layers: expected 1 or more and 2 or more, got {channels} and {layers}")
        self.encoder = nn.Identity()
        self.seed = seed
        self.channels = channels
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.convolutions = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(layers))
            self.norms = nn.ModuleList(nn.BatchNorm2d(channels, track_running_stats=False) for _ in range(layers))
            self.head = nn.Conv2d(channels, out_channels, 1)
        self._fixed: Tensor | None = None

    @classmethod
    def of_size(cls, parameters: int, layers: int = 6, *, seed: int = 0) -> ConvDecoder:
        """The decoder of that many layers whose number of parameters is nearest below `parameters`."""
        channels = 1
        while cls._count(channels + 1, layers) <= parameters:
            channels += 1
        return cls(channels, layers, seed=seed)

    @staticmethod
    def _count(channels: int, layers: int) -> int:
        return layers * (9 * channels**2 + 3 * channels) + 2 * channels + 2

    def encode(self, z: Tensor, calls: Calls = PLAIN) -> list[Tensor]:
        """The fixed input for images of z's size, one for each item. It is never compiled, whatever `calls` is."""
        smallest = self.sizes(z.shape[-2:])[0]
        if self._fixed is None or self._fixed.shape[-2:] != smallest:
            generator = torch.Generator().manual_seed(self.seed)
            self._fixed = torch.randn((1, self.channels, *smallest), generator=generator).to(z.device)
        return [self._fixed.expand(len(z), -1, -1, -1)]

    def decode(
        self, features: Sequence[Tensor], z: Tensor, decoders: slice | None = None, calls: Calls = PLAIN
    ) -> Tensor:
        """The images (B, 2, H, W), the size of z. There is one decoder: `decoders` is for the loop's sake."""
        x = features[0]
        sizes = self.sizes(z.shape[-2:])
        for size, convolution, norm in zip(sizes[1:], self.convolutions, self.norms, strict=True):
            x = norm(F.relu(convolution(F.interpolate(x, size=size, mode="nearest"))))
        image: Tensor = self.head(x).to(z.dtype)
        return image

    def forward(self, z: Tensor, decoders: slice | None = None, calls: Calls = PLAIN) -> Tensor:
        """decode(encode(z), z)."""
        return self.decode(self.encode(z), z, decoders)

    def sizes(self, shape: Sequence[int]) -> list[tuple[int, int]]:
        """Of the input and of every layer's output: the last two are the image's, so that one layer works in full."""
        rows, columns = shape
        steps = len(self.convolutions) - 1
        factor = max(min(rows, columns) / SMALLEST, 1.0) ** (1 / steps)
        sizes = [(round(rows / factor ** (steps - i)), round(columns / factor ** (steps - i))) for i in range(steps)]
        sizes += [(rows, columns), (rows, columns)]
        assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(sizes))
        return sizes
