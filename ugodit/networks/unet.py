"""The U-Net (Ronneberger, Fischer, Brox, MICCAI 2015) in two halves, any depth and width."""

from __future__ import annotations

from torch import Tensor, nn

from ugodit.networks.blocks import ConvNormActivation, Doubling, Halving, Head, pad_image
from ugodit.networks.config import NetworkConfig


class UNetEncoder(nn.Module):
    """Two convolutions at each resolution, their outputs kept: one set of weights for all images."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.scales = config.scales
        levels: list[nn.Module] = []
        inputs = config.in_channels
        for level, channels in enumerate(config.channels):
            first = (Halving if level else ConvNormActivation)(config, 1, inputs, channels)
            levels.append(nn.Sequential(first, ConvNormActivation(config, 1, channels, channels)))
            inputs = channels
        self.levels = nn.ModuleList(levels)

    def forward(self, z: Tensor) -> list[Tensor]:
        """z (B, in_channels, H, W) -> features, one a resolution, finest first, of the padded image."""
        features = []
        x = pad_image(z, self.scales)
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features


class UNetDecoder(nn.Module):
    """Upsample, join the skip feature, two convolutions; `items` sets of weights, one for each image."""

    def __init__(self, config: NetworkConfig, items: int) -> None:
        super().__init__()
        levels: list[nn.Module] = []
        inputs = config.channels[-1]
        for level in reversed(range(config.scales)):
            skip = config.channels[level]
            outputs = config.channels[max(level - 1, 0)]  # what the next finer resolution's skip feature has
            levels.append(Doubling(config, items, inputs, skip, (skip + inputs) // 2, outputs, last_kernel=3))
            inputs = outputs
        self.levels = nn.ModuleList(levels)
        self.head = Head(config, items, inputs)

    def forward(self, features: list[Tensor], z: Tensor) -> Tensor:
        """The encoder's features and its input z -> image (B, out_channels, H, W); B == items or items == 1."""
        x = features[-1]
        for level, skip in zip(self.levels, features[-2::-1], strict=True):
            x = level(x, skip)
        return self.head(x, z)
