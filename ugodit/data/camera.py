"""What a camera does to light: exposure, a smooth shoulder instead of clipping, and sRGB's curve.

Motion blurs light, not the numbers of a file. So a photograph is first taken back to linear light, where one adds up;
what the sensor has collected is exposed, compressed near white and encoded. The curves are smooth and invertible, with
known first and second derivatives: solvers need them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ugodit.errors import InputError

# IEC 61966-2-1: a straight line near black, then a power. Its join and slope are rounded there; these are the exact
# ones, with which the curve and its slope are continuous. The difference is below 2e-5 of white.
GAMMA, OFFSET = 2.4, 0.055
JOIN = OFFSET / (GAMMA - 1)
"""Where the line meets the power, as encoded numbers: 0.0393."""
SLOPE = ((JOIN + OFFSET) / (1 + OFFSET)) ** GAMMA / JOIN
"""Of the line, from encoded numbers to linear light: 1 / 12.92."""


@dataclass(frozen=True)
class Camera:
    """Its settings; images and light are tensors of any shape, of which every number is for itself."""

    exposure: float = 1.25
    """What linear light is multiplied by: above 1, highlights run into the shoulder."""
    shoulder: float = 0.8
    """Exposed light e up to here, t, is kept; above it goes towards 1: t + (1 - t)(1 - exp(-(e - t) / (1 - t)))."""

    def __post_init__(self) -> None:
        """InputError for settings that no camera has."""
        if not 0.01 <= self.exposure <= 100:
            raise InputError(f"`exposure`: expected a number from 0.01 to 100, got {self.exposure}")
        if not 0 < self.shoulder < 1:
            raise InputError(f"`shoulder`: expected a number above 0 and below 1, got {self.shoulder}")

    def light(self, image: Tensor) -> Tensor:
        """Linear light of encoded numbers; below 0 the line goes on, so that a solver may step there and return."""
        power = ((image.clamp(min=JOIN) + OFFSET) / (1 + OFFSET)).pow(GAMMA)
        return torch.where(image > JOIN, power, SLOPE * image)

    def light_slopes(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """First and second derivative of `light`."""
        base = (image.clamp(min=JOIN) + OFFSET) / (1 + OFFSET)
        above = image > JOIN
        first = torch.where(above, GAMMA / (1 + OFFSET) * base.pow(GAMMA - 1), SLOPE)
        second = GAMMA * (GAMMA - 1) / (1 + OFFSET) ** 2 * base.pow(GAMMA - 2)
        return first, torch.where(above, second, 0.0)

    def response(self, light: Tensor) -> Tensor:
        """The encoded numbers of linear light: exposed, compressed, encoded."""
        return self._encoded(self._compressed(self.exposure * light))

    def response_slopes(self, light: Tensor) -> tuple[Tensor, Tensor]:
        """First and second derivative of `response`."""
        exposed = self.exposure * light
        compressed = self._compressed(exposed)
        # Of the shoulder, then of the code, then of one after the other.
        beyond = torch.exp(-(exposed - self.shoulder).clamp(min=0) / (1 - self.shoulder))
        bend = torch.where(exposed > self.shoulder, -beyond / (1 - self.shoulder), 0.0)
        above = compressed > SLOPE * JOIN
        base = compressed.clamp(min=SLOPE * JOIN)
        first = torch.where(above, (1 + OFFSET) / GAMMA * base.pow(1 / GAMMA - 1), 1 / SLOPE)
        second = torch.where(above, (1 + OFFSET) / GAMMA * (1 / GAMMA - 1) * base.pow(1 / GAMMA - 2), 0.0)
        return self.exposure * first * beyond, self.exposure**2 * (second * beyond**2 + first * bend)

    def developed(self, measurements: Tensor) -> Tensor:
        """The image (encoded, unexposed) that the response would have turned into these numbers, pixel by pixel.

        Above what white light gives there is nothing to invert: noise is cut off there.
        """
        white = self.response(torch.ones((), dtype=measurements.dtype, device=measurements.device))
        compressed = self.light(torch.minimum(measurements, white))
        room = 1 - self.shoulder
        inside = (1 - (compressed - self.shoulder).clamp(min=0) / room).clamp(min=torch.finfo(measurements.dtype).tiny)
        exposed = torch.where(compressed > self.shoulder, self.shoulder - room * torch.log(inside), compressed)
        return self._encoded(exposed / self.exposure)

    def _compressed(self, exposed: Tensor) -> Tensor:
        room = 1 - self.shoulder
        beyond = -torch.expm1(-(exposed - self.shoulder).clamp(min=0) / room)
        return torch.where(exposed > self.shoulder, self.shoulder + room * beyond, exposed)

    def _encoded(self, light: Tensor) -> Tensor:
        power = (1 + OFFSET) * light.clamp(min=SLOPE * JOIN).pow(1 / GAMMA) - OFFSET
        return torch.where(light > SLOPE * JOIN, power, light / SLOPE)
