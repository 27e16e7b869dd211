"""The skip net of Deep Image Prior (Ulyanov, Vedaldi, Lempitsky, CVPR 2018) in two halves, any depth and width."""

from __future__ import annotations

from torch import Tensor, nn

from ugodit.networks.blocks import ConvNormActivation, Doubling, Halving, Head, pad_image
from ugodit.networks.config import NetworkConfig


class SkipEncoder(nn.Module):
    """At each halving two convolutions, and before it a 1 x 1 convolution to a few skip channels."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.scales = config.scales
        skips: list[nn.Module] = []
        levels: list[nn.Module] = []
        inputs = config.in_channels
        for channels in config.channels:
            if config.skip_channels:
                skips.append(ConvNormActivation(config, 1, inputs, config.skip_channels, kernel=1))
            first = Halving(config, 1, inputs, channels)
            levels.append(nn.Sequential(first, ConvNormActivation(config, 1, channels, channels)))
            inputs = channels
        self.skips = nn.ModuleList(skips)
        self.levels = nn.ModuleList(levels)

    def forward(self, z: Tensor) -> list[Tensor]:
        """z (B, in_channels, H, W) -> skip features, finest first (no channels if there are none), and the deepest."""
        features = []
        x = pad_image(z, self.scales)
        for index, level in enumerate(self.levels):
            features.append(self.skips[index](x) if len(self.skips) else x[:, :0])
            x = level(x)
        return [*features, x]


class SkipDecoder(nn.Module):
    """Upsample, join the skip feature, a 3 x 3 and a 1 x 1 convolution; `items` sets of weights, one for each image."""

    def __init__(self, config: NetworkConfig, items: int) -> None:
        super().__init__()
        levels: list[nn.Module] = []
        inputs = config.channels[-1]
        for channels in reversed(config.channels):
            levels.append(Doubling(config, items, inputs, config.skip_channels, channels, channels, last_kernel=1))
            inputs = channels
        self.levels = nn.ModuleList(levels)
        self.head = Head(config, items, inputs)

    def forward(self, features: list[Tensor], z: Tensor) -> Tensor:
        """The encoder's features and its input z -> image (B, out_channels, H, W); B == items or items == 1."""
        x = features[-1]
        for level, skip in zip(self.levels, features[-2::-1], strict=True):
            x = level(x, skip)
        return self.head(x, z)
