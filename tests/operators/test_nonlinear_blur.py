"""Non-linear blur: its derivatives, and the minimum that Gauss-Newton finds."""

import pytest
import torch
from photographs import NONLINEAR, assert_linearized, measured, part, photograph
from torch import Tensor

from ugodit.data.camera import Camera
from ugodit.data.degradations import NonlinearBlur
from ugodit.operators.degraded import operator_of
from ugodit.operators.nonlinear_blur import NonlinearBlurOperator


def exact(channels: int = 1, items: int = 1) -> tuple[NonlinearBlurOperator, Tensor]:
    """In double precision."""
    operator, image = measured(NONLINEAR, channels, items)
    return operator.to(torch.float64), image.double()  # type: ignore[return-value]


@pytest.mark.parametrize("whole", [True, False])
def test_the_linearization_is_the_derivative(whole: bool) -> None:
    operator, image = exact(channels=3)
    operator = (operator if whole else part(operator)).scaled(1.7)  # type: ignore[assignment]
    image = 1.7 * image
    assert_linearized(operator, image)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("mu", "iterations"), [(0.02, 30), (0.5, 12)])
def test_the_minimum(whole: bool, mu: float, iterations: int) -> None:
    """The gradient of |A(x) - y|^2 + mu |x - u|^2 is near zero, from near and from far, and it is a minimum."""
    operator, image = exact(items=2)
    operator = operator if whole else part(operator)  # type: ignore[assignment]
    for start in (image + 0.1 * torch.randn(image.shape), torch.full_like(image, 0.5)):
        solved = operator.proximal(start, mu, iterations)
        gradient = operator.gradient(solved) + mu * (solved - start)
        assert float(gradient.norm()) < 1e-5 * float(operator.gradient(start).norm())

        def objective(x: Tensor, start: Tensor = start) -> float:
            return float((operator.data_consistency(x) + mu * (x - start).square().sum((1, 2, 3))).sum())

        least = objective(solved)
        for _ in range(5):
            assert objective(solved + 0.01 * torch.randn(image.shape)) > least


def test_no_step_is_worse_than_none() -> None:
    """From where the camera is blind: far above white, and below black."""
    operator, image = exact(items=2)
    for start in (3 + torch.zeros_like(image), 4 * torch.randn(image.shape).double(), -1 - image):
        before = operator.data_consistency(start)
        for iterations in (1, 2, 5):
            solved = operator.proximal(start, 0.1, iterations)
            now = operator.data_consistency(solved) + 0.1 * (solved - start).square().sum((1, 2, 3))
            assert bool((now <= before).all())
            before = now


def test_each_item_has_its_own_steps() -> None:
    operator, image = exact(items=2)
    start = image + torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)
    together = operator.proximal(start, torch.tensor([0.1, 0.3]), 4)
    for item, mu in ((0, 0.1), (1, 0.3)):
        alone = operator.select([item]).proximal(start[item : item + 1], mu, 4)
        torch.testing.assert_close(together[item : item + 1], alone)


def test_scaled_measurements_are_those_of_scaled_images() -> None:
    operator, image = exact()
    scaled = operator.scaled(3.0).scaled(0.5)
    torch.testing.assert_close(scaled.forward(1.5 * image), 1.5 * operator.forward(image))
    torch.testing.assert_close(scaled.initial(), 1.5 * operator.initial())
    torch.testing.assert_close(scaled.proximal(1.5 * image, 0.2, 5), 1.5 * operator.proximal(image, 0.2, 5))


def test_the_initial_image_has_the_right_exposure() -> None:
    """Without blur and noise it is the image itself."""
    image, camera = photograph().double(), Camera(exposure=1.6)
    point = torch.zeros(3, 3).numpy()
    point[1, 1] = 1
    operator = NonlinearBlurOperator.from_measurements(camera.response(camera.light(image)), point, camera=camera)
    torch.testing.assert_close(operator.initial(), image)
    torch.testing.assert_close(operator.forward(image), operator.measurements)


@pytest.mark.parametrize("seed", range(3))
def test_norms_of_the_derivative(seed: int) -> None:
    """Below sqrt 2 for images like these: a step along the gradient goes downhill."""
    kind = NonlinearBlur(size=9, seed=seed, noise=0)
    for image in (photograph(seed=seed), torch.rand(1, 3, 24, 48)):
        linear = operator_of(kind, kind.apply(image)).linearized(image)  # type: ignore[attr-defined]
        vector = torch.randn(image.shape)
        for _ in range(40):
            vector = linear.normal(vector)
            length = vector.norm()
            vector = vector / length
        assert 1 < float(length.sqrt()) < 2**0.5


def test_motions_differ_by_seed() -> None:
    assert (NONLINEAR.psf() != NonlinearBlur(size=9, seed=1).psf()).any()
