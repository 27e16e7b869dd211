"""Small photographs that nobody took, and what measures them."""

import torch
from torch import Tensor
from torch.autograd import functional as autograd
from toy_operator import toy_image

from ugodit.data.degradations import (
    BoxInpainting,
    Degradation,
    Denoising,
    GaussianBlur,
    MotionBlur,
    NonlinearBlur,
    RandomInpainting,
    SuperResolution,
)
from ugodit.operators.degraded import operator_of
from ugodit.operators.nonlinear import NonlinearPhotographOperator
from ugodit.operators.photograph import PhotographOperator

LINEAR: dict[str, Degradation] = {
    "superres 2": SuperResolution(factor=2),
    "superres 3": SuperResolution(factor=3),
    "superres 4": SuperResolution(factor=4),
    "superres 8": SuperResolution(factor=8),
    "gaussian": GaussianBlur(size=9, width=1.5),
    "motion": MotionBlur(size=9),
    "motion, circular": MotionBlur(size=9, boundary="circular"),
    "random": RandomInpainting(missing=0.6),
    "box": BoxInpainting(side=8, margin=3),
    "noise": Denoising(),
}
NONLINEAR = NonlinearBlur(size=9)


def photograph(channels: int = 3, height: int = 24, width: int = 48, seed: int = 0) -> Tensor:
    """float32 (1, channels, H, W) in [0, 1]: smooth, with an edge."""
    image = torch.cat([toy_image(height, width, seed + channel) for channel in range(channels)], 1)
    image[..., width // 3 : width // 2] *= 0.5
    return image


def measured(degradation: Degradation, channels: int = 3, items: int = 1) -> tuple[PhotographOperator, Tensor]:
    """The operator of degraded photographs, and the clean ones."""
    image = torch.cat([photograph(channels, seed=10 * item) for item in range(items)])
    return operator_of(degradation, degradation.apply(image)), image


def part(operator: PhotographOperator, seed: int = 0) -> PhotographOperator:
    """What is seen when 0.3 of the pixels are held out."""
    return operator.split(0.3, torch.Generator().manual_seed(seed))[0]


def dense(operator: PhotographOperator) -> Tensor:
    """The matrix of a linear operator's first item, float64 (channels h w, channels H W), column by column."""
    double = operator.select([0]).to(torch.float64)
    size = double.shape[1] * double.shape[2] * double.shape[3]
    columns = [double.forward(unit.view(double.shape)).flatten() for unit in torch.eye(size, dtype=torch.float64)]
    return torch.stack(columns, 1)


def assert_linearized(operator: NonlinearPhotographOperator, image: Tensor) -> None:
    """First and second derivatives at an image (in double precision) are those of automatic differentiation."""
    linear = operator.linearized(image)
    change, other = torch.randn(2, *image.shape, dtype=torch.float64)
    torch.testing.assert_close(linear.forward(change), autograd.jvp(operator.forward, image, change)[1])
    torch.testing.assert_close(linear.adjoint(other), autograd.vjp(operator.forward, image, other)[1])
    torch.testing.assert_close(linear.normal(change), linear.adjoint(linear.forward(change)))

    def half(x: Tensor) -> Tensor:
        return operator.data_consistency(x).sum() / 2

    torch.testing.assert_close(linear.hessian(change, operator.residual(image)), autograd.hvp(half, image, change)[1])
