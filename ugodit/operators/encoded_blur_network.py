"""BKSE's network that blurs, with the names and shapes of the published definition (KernelWizard without extractor)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MULTIPLE = 128
"""Images are reduced 4 times by the features and 32 times by the U-Net."""


class BlurNetwork(nn.Module):
    """From sharp RGB images (B, 3, H, W) in [0, 1] and codes (B, 8 width, H / 128, W / 128) to blurred images."""

    def __init__(self, width: int = 64, front: int = 10, back: int = 20) -> None:
        """Channels, and residual blocks before and after the U-Net; the published ones by default."""
        super().__init__()
        self.sizes = (width, front, back)
        self.code_channels = 8 * width
        leaky = nn.LeakyReLU(0.1)
        self.feature_extractor = nn.Sequential(
            nn.Conv2d(3, width, 3, 1, 1),
            leaky,
            nn.Conv2d(width, width, 3, 2, 1),
            leaky,
            nn.Conv2d(width, width, 3, 2, 1),
            leaky,
            *(_Residual(width) for _ in range(front)),
        )
        self.adapter = _Adapter(width)
        self.recon_trunk = nn.Sequential(
            *(_Residual(width) for _ in range(back)),
            nn.Conv2d(width, 4 * width, 3, 1, 1),
            nn.PixelShuffle(2),
            leaky,
            nn.Conv2d(width, 4 * width, 3, 1, 1),
            nn.PixelShuffle(2),
            leaky,
            nn.Conv2d(width, width, 3, 1, 1),
            leaky,
            nn.Conv2d(width, 3, 3, 1, 1),
        )

    def forward(self, image: Tensor, code: Tensor) -> Tensor:
        changed: Tensor = self.recon_trunk(self.adapter(self.feature_extractor(image), code))
        return image + changed


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, 1, 1)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        changed: Tensor = self.conv2(torch.relu(self.conv1(features)))
        return features + changed


class _Adapter(nn.Module):
    """Five levels, built from the innermost out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        level = _Level(8 * width, 8 * width, None)
        for outer, inner in ((4, 8), (2, 4), (1, 2)):
            level = _Level(outer * width, inner * width, level)
        self.model = _Level(width, width, level, outermost=True)

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        adapted: Tensor = self.model(features, code)
        return adapted


class _Level(nn.Module):
    """Down, what lies within, and up again. Within the innermost is the code; all but the outermost keep their input.

    Activations have no weights but count in the names: up.1 is the second of its sequence.
    """

    def __init__(self, outer: int, inner: int, submodule: _Level | None, *, outermost: bool = False) -> None:
        super().__init__()
        self.outermost = outermost
        down: list[nn.Module] = [nn.Conv2d(outer, inner, 4, 2, 1, bias=False)]
        up: list[nn.Module] = [nn.ReLU(), nn.ConvTranspose2d(2 * inner, outer, 4, 2, 1, bias=outermost)]
        self.down = nn.Sequential(*down) if outermost else nn.Sequential(nn.LeakyReLU(0.2), *down)
        self.submodule = submodule
        self.up = nn.Sequential(*up, nn.Tanh()) if outermost else nn.Sequential(*up)

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        reduced = self.down(features)
        within = torch.cat((reduced, code), 1) if self.submodule is None else self.submodule(reduced, code)
        changed: Tensor = self.up(within)
        # The published activations work in place, on what is passed on too: the ReLU that follows makes that the same.
        return changed if self.outermost else torch.cat((changed, features), 1)
