"""Blur by a learned model: what a sharp photograph looks like after the blur that a code stands for.

"Exploring image deblurring via encoded blur kernel space" (Tran et al., CVPR 2021; BKSE), which DPS takes for its
non-linear deblurring. Only the part that blurs is here; the part that reads a code from a pair of images is not needed.
The weights are the user's (`io/blur_weights.py`); layers have the published names.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Self

import torch
from torch import Tensor

from ugodit.errors import InputError
from ugodit.operators.encoded_blur_network import MULTIPLE, BlurNetwork
from ugodit.operators.nonlinear import NonlinearPhotographOperator
from ugodit.operators.photograph import checked_fields

STRENGTH = 1.2
"""Standard deviation of DPS's random codes."""
UNUSED = "kernel_extractor."
"""Layers of published files that no blur needs begin with this."""


def blur_network(weights: Mapping[str, Tensor]) -> BlurNetwork:
    """The published model with these weights. InputError for layers that are missing, unknown or of another shape."""
    with torch.device("meta"):  # no weights are drawn only to be replaced
        network = BlurNetwork()
    expected = network.state_dict()
    given = {name: weight for name, weight in weights.items() if not name.startswith(UNUSED)}
    for name in [*expected, *given]:
        if name not in given:
            raise InputError(f"blur weights: expected a layer {name}, got none; is this a file of BKSE?")
        if name not in expected:
            raise InputError(f"blur weights: got a layer {name}, which BKSE does not have; is this a file of BKSE?")
        if given[name].shape != expected[name].shape:
            raise InputError(
                f"blur weights: {name}: expected {tuple(expected[name].shape)}, got {tuple(given[name].shape)}"
            )
        if not bool(torch.isfinite(given[name]).all()):
            raise InputError(f"blur weights: {name}: expected finite numbers, got NaN or Inf")
    network.load_state_dict(given, assign=True)
    return network.requires_grad_(False).eval()


def random_code(network: BlurNetwork, height: int, width: int, seed: int, strength: float = STRENGTH) -> Tensor:
    """The code of a random blur for images of this size, float32 (1, channels, H / 128, W / 128), normal numbers.

    DPS draws one for 256 x 256 in every step; a measurement has one. InputError for sizes that are no multiples of 128.
    """
    if height % MULTIPLE or width % MULTIPLE or 0 in (height, width):
        raise InputError(
            f"image: expected rows and columns that are multiples of {MULTIPLE}, got {height} x {width}; crop or pad it"
        )
    shape = (1, network.code_channels, height // MULTIPLE, width // MULTIPLE)
    return strength * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True, repr=False, kw_only=True)
class EncodedBlurOperator(NonlinearPhotographOperator):
    """A(x) = s network(x / s, code), where s is the unit of the measurements. RGB only; nothing is clipped.

    The network makes something even of an empty image, so `energy` is |y|^2, and not quite what that leaves.
    """

    codes: Tensor
    """(B, channels of the code, H / 128, W / 128)"""
    network: BlurNetwork
    """What blurs; on the device of the measurements, and without derivatives of its weights."""

    @classmethod
    def from_measurements(
        cls, measurements: Tensor, network: BlurNetwork, code: Tensor, sigma: float | None = None
    ) -> Self:
        """Of blurred images, float (B, 3, H, W), all with one code; `stack` puts several codes together.

        network: of `blur_network`. code: as `random_code` gives it for this size. sigma: standard deviation of the
        noise, in the unit of the measurements; None: to be estimated. ValueError for shapes that do not go together.
        """
        fields = checked_fields(measurements, sigma)
        items, channels, height, width = measurements.shape
        expected = (1, network.code_channels, height // MULTIPLE, width // MULTIPLE)
        if channels != 3 or height % MULTIPLE or width % MULTIPLE or code.shape != expected:
            raise ValueError(
                f"code: expected {expected} for RGB images of multiples of {MULTIPLE} pixels, got {tuple(code.shape)} "
                f"for {tuple(measurements.shape)}"
            )
        codes = code.to(measurements).expand(items, -1, -1, -1)
        return cls(**fields, codes=codes, network=network, scale=torch.ones_like(fields["known_noise"]))

    def degraded(self, image: Tensor) -> Tensor:
        blurred: Tensor = self.network(image, self.codes)
        return blurred

    def developed(self, measurements: Tensor) -> Tensor:
        return measurements

    def linearized(self, image: Tensor) -> AutogradLinearization:
        return AutogradLinearization(self, image)

    def to(self, target: torch.device | torch.dtype | str) -> Self:
        """The same operator on another device, or in another floating dtype; with a network of its own there."""
        network = copy.deepcopy(self.network).to(target)
        fields = vars(super().to(target)) | {"network": network}
        return type(self)(**fields)


class AutogradLinearization:
    """The derivative of any operator at an image, by torch's automatic differentiation. See `nonlinear.Linearization`.

    J^T r is one way back through the network. It is linear in r, so its own derivative along r is J v: two ways.
    """

    def __init__(self, operator: NonlinearPhotographOperator, image: Tensor) -> None:
        """Goes forward once, and keeps what the ways back need."""
        with torch.enable_grad():
            self.image = image.detach().requires_grad_()
            self.measured = operator.forward(self.image)
            self.dual = torch.zeros_like(self.measured, requires_grad=True)
            (self.pulled,) = torch.autograd.grad(self.measured, self.image, self.dual, create_graph=True)
        self._gradient = partial(torch.autograd.grad, retain_graph=True)

    def forward(self, change: Tensor) -> Tensor:
        return self._gradient(self.pulled, self.dual, change)[0]

    def adjoint(self, measurements: Tensor) -> Tensor:
        return self._gradient(self.measured, self.image, measurements)[0]

    def normal(self, change: Tensor) -> Tensor:
        return self.adjoint(self.forward(change))

    def hessian(self, change: Tensor, residual: Tensor) -> Tensor:
        with torch.enable_grad():
            (pulled,) = self._gradient(self.measured, self.image, residual, create_graph=True)
            # Nothing depends on the image where the network is piecewise linear throughout.
            found = self._gradient(pulled, self.image, change, allow_unused=True)[0] if pulled.requires_grad else None
        normal = self.normal(change)
        return normal if found is None else normal + found
