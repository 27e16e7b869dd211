"""What all operators of photographs keep: the protocol, exact solves and their derivatives, batches, splits, errors."""

from typing import Any

import numpy as np
import pytest
import torch
from operator_checks import faults
from photographs import LINEAR, NONLINEAR, dense, measured, part, photograph
from torch import Tensor

from ugodit.data.degradations import Degradation, Denoising, GaussianBlur, RandomInpainting, SuperResolution
from ugodit.errors import InputError
from ugodit.operators import LinearOperator, Operator
from ugodit.operators.blur import BlurOperator, PixelsOperator
from ugodit.operators.degraded import operator_of
from ugodit.operators.domain import Photographs
from ugodit.operators.nonlinear_blur import NonlinearBlurOperator
from ugodit.operators.photograph import PhotographOperator
from ugodit.operators.superres import SuperresOperator

EVERY_LINEAR = pytest.mark.parametrize("name", LINEAR)
EVERY = pytest.mark.parametrize("kind", [*LINEAR.values(), NONLINEAR], ids=[*LINEAR, "nonlinear"])
DEVICES = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
ENOUGH = 30
"""Steps of conjugate gradients that solve a system with eigenvalues from mu to 1 + mu to rounding, for a mu of 0.3:
each divides the error by (sqrt k + 1) / (sqrt k - 1) = 2.9, where k = 1.3 / 0.3."""


@EVERY_LINEAR
@pytest.mark.parametrize("channels", [1, 3])
def test_linear_ones_keep_the_protocol(name: str, channels: int) -> None:
    operator, _ = measured(LINEAR[name], channels, items=2)
    for one in (operator, part(operator)):
        assert isinstance(one, Operator)
        assert isinstance(one, LinearOperator)
        assert one.domain == Photographs(channels)
        assert faults(one, ENOUGH, initial_is_adjoint=False) == []


@pytest.mark.parametrize("channels", [1, 3])
def test_the_nonlinear_one_keeps_the_protocol(channels: int) -> None:
    operator, _ = measured(NONLINEAR, channels, items=2)
    for one in (operator, part(operator)):
        assert isinstance(one, Operator)
        assert not isinstance(one, LinearOperator)
        # These two start far outside [0, 1] and ask for what only a linear solve has; test_nonlinear_blur.py has ours.
        assert set(faults(one, 1)) <= {"proximal", "derivatives"}


class Shifted(SuperresOperator):
    """Its adjoint is another's."""

    def unmasked_adjoint(self, measurements: Tensor) -> Tensor:
        return super().unmasked_adjoint(measurements.roll(1, -1))


class DeafToSplits(SuperresOperator):
    """Solves for all pixels, also where some are held out."""

    def proximal(self, image: Tensor, mu: Tensor | float, iterations: int) -> Tensor:
        whole = SuperresOperator.from_measurements(self.measurements, self.rows.shape[1] // self.rows.shape[0])
        return whole.proximal(image, mu, iterations)


class Kept(BlurOperator):
    """Forgets that it was scaled."""

    def scaled(self, factor: float) -> "Kept":
        return self


@pytest.mark.parametrize(
    ("wrong", "kind", "fault"),
    [
        (Shifted, "superres 4", "adjoint"),
        (DeafToSplits, "superres 4", "proximal"),
        (Kept, "gaussian", "scaled"),
    ],
)
def test_what_is_wrong_is_found(wrong: type[PhotographOperator], kind: str, fault: str) -> None:
    right = part(measured(LINEAR[kind])[0])
    assert fault in faults(wrong(**vars(right)), ENOUGH, initial_is_adjoint=False)


def square(kind: Degradation) -> tuple[PhotographOperator, Tensor]:
    """Small enough for dense matrices; 24 can be divided by every factor."""
    image = photograph(1, 24, 24)
    return operator_of(kind, kind.apply(image)), image


# ---- the solve ------------------------------------------------------------------------------------------------------


@EVERY_LINEAR
@pytest.mark.parametrize("whole", [True, False])
def test_the_solve_is_the_dense_one(name: str, whole: bool) -> None:
    """(A^T A + mu) x = A^T y + mu u, by NumPy in double precision."""
    operator, image = square(LINEAR[name])
    operator = operator if whole else part(operator)
    matrix = dense(operator).numpy()
    start = (image + 0.1 * torch.randn(image.shape)).double()
    for mu in (1e-2, 0.5):
        found = operator.to(torch.float64).proximal(start, mu, 200)
        y = operator.masked(operator.measurements).double().flatten().numpy()
        normal = matrix.T @ matrix + mu * np.eye(matrix.shape[1])
        expected = np.linalg.solve(normal, matrix.T @ y + mu * start.flatten().numpy())
        np.testing.assert_allclose(found.flatten().numpy(), expected, atol=1e-8)


@EVERY_LINEAR
def test_without_a_weight_it_is_the_nearest_image_that_explains_all(name: str) -> None:
    operator, image = square(LINEAR[name])
    exact = operator.to(torch.float64)
    found = exact.proximal(torch.zeros(image.shape, dtype=torch.float64), 0.0, 200)
    pseudo = np.linalg.pinv(dense(operator).numpy(), rcond=1e-8)
    y = operator.masked(operator.measurements).double().flatten().numpy()
    assert bool(torch.isfinite(found).all())
    if "superres" in name or name in ("random", "box", "noise"):  # of blurs what is almost lost comes last
        np.testing.assert_allclose(found.flatten().numpy(), pseudo @ y, atol=1e-6)
    else:
        assert float(exact.data_consistency(found)) < 0.05 * float(exact.energy())


@EVERY
@pytest.mark.parametrize("whole", [True, False])
def test_derivatives_of_the_solve(kind: Degradation, whole: bool) -> None:
    """In the image and in mu of each item, by differences in double precision."""
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(2, 1, 24, 24, generator=generator)
    operator = operator_of(kind, kind.apply(small)).to(torch.float64)
    operator = operator if whole else part(operator)
    image = (small.double() + 0.05).requires_grad_()
    mu = torch.tensor([0.4, 0.7], dtype=torch.float64, requires_grad=True)
    iterations = 40 if isinstance(operator, LinearOperator) else 8

    def solve(image: Tensor, mu: Tensor) -> Tensor:
        return operator.proximal(image, mu, iterations)

    # In a random direction, instead of every entry of the Jacobian.
    assert torch.autograd.gradcheck(solve, (image, mu), fast_mode=True, atol=1e-5, rtol=1e-3)


@EVERY
def test_derivatives_of_the_data_term(kind: Degradation) -> None:
    operator, image = measured(kind, items=2)
    operator, image = operator.to(torch.float64), image.double().requires_grad_()
    assert torch.autograd.gradcheck(operator.data_consistency, image, fast_mode=True)
    (found,) = torch.autograd.grad(operator.data_consistency(image).sum(), image)
    torch.testing.assert_close(operator.gradient(image.detach()), found / 2)


# ---- measurements ---------------------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("channels", [1, 3])
def test_the_operator_is_the_degradation(kind: Degradation, channels: int) -> None:
    operator, image = measured(kind, channels, items=2)
    torch.testing.assert_close(operator.forward(image), kind.clean(image))
    assert operator.shape == image.shape
    torch.testing.assert_close(operator.noise_variance(), torch.full((2,), 0.025**2))
    # What is left of the truth is the noise: five standard deviations of a sum of squares.
    samples = operator.samples()
    left = operator.data_consistency(image) / (samples * 0.025**2)
    assert bool((left - 1).abs().lt(5 * (2 / samples).sqrt()).all())


@EVERY
def test_the_initial_image_is_near(kind: Degradation) -> None:
    """Nearer than the best image of one colour, also where some of few pixels are held out."""
    operator, image = measured(kind, items=2)
    plain = (image - image.mean((2, 3), keepdim=True)).square().sum((1, 2, 3))
    for one in (operator, part(operator)):
        assert bool(((one.initial() - image).square().sum((1, 2, 3)) < 0.8 * plain).all())


def test_estimated_noise() -> None:
    image = torch.cat([photograph(3, 96, 96, seed=seed) for seed in (0, 7)])
    kind = GaussianBlur(size=9, width=1.5, noise=0.1)
    operator = BlurOperator.from_measurements(kind.apply(image), kind.psf())
    torch.testing.assert_close(operator.noise_variance(), torch.full((2,), 0.05**2), rtol=0.1, atol=0)
    known = operator_of(kind, kind.apply(image))
    both = BlurOperator.stack([known, operator])
    assert torch.equal(both.noise_variance(), torch.cat([known.noise_variance(), operator.noise_variance()]))
    torch.testing.assert_close(both.scaled(2.0).noise_variance(), 4 * both.noise_variance())


@EVERY
def test_what_is_not_measured_is_not_read(kind: Degradation) -> None:
    """Not even by the initial image: a network must not see what it is judged by."""
    operator, image = measured(kind)
    seen = part(operator)
    assert seen.weights is not None
    other = type(seen)(**(vars(seen) | {"measurements": torch.where(seen.weights > 0, seen.measurements, 7.0)}))
    for question in (
        lambda one: one.initial(),
        lambda one: one.energy(),
        lambda one: one.data_consistency(image),
        lambda one: one.gradient(image),
        lambda one: one.proximal(image, 0.3, 3),
    ):
        torch.testing.assert_close(question(other), question(seen), rtol=1e-5, atol=1e-5)


@EVERY
@DEVICES
def test_other_devices_and_dtypes(kind: Degradation, device: str) -> None:
    operator, image = measured(kind, items=2)
    moved, exact = operator.to(device), operator.to(torch.float64)
    assert moved.device.type == device
    mu = torch.tensor([0.2, 0.4])
    iterations = ENOUGH if isinstance(operator, LinearOperator) else 5
    found = moved.proximal(image.to(device), mu.to(device), iterations).cpu()
    expected = exact.proximal(image.double(), mu.double(), iterations)
    assert expected.dtype == torch.float64
    torch.testing.assert_close(found, expected.float(), rtol=0, atol=2e-4)
    torch.testing.assert_close(moved.initial().cpu(), exact.initial().float(), rtol=0, atol=1e-5)


def test_batches_of_several_kernels() -> None:
    kinds = [NONLINEAR, type(NONLINEAR)(size=9, seed=1)]
    images = [photograph(seed=seed) for seed in (0, 1)]
    alone = [operator_of(kind, kind.apply(image)) for kind, image in zip(kinds, images, strict=True)]
    together = NonlinearBlurOperator.stack(alone)  # type: ignore[arg-type]
    for item in (0, 1):
        expected = alone[item].proximal(images[item], 0.2, 3)
        torch.testing.assert_close(together.proximal(torch.cat(images), 0.2, 3)[item : item + 1], expected)


# ---- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (SuperResolution(factor=2), SuperResolution(factor=4)),
        (GaussianBlur(size=9), GaussianBlur(size=11)),
        (GaussianBlur(size=9), GaussianBlur(size=9, boundary="circular")),
        (NONLINEAR, type(NONLINEAR)(size=9, exposure=1.5)),
        (Denoising(), None),
    ],
)
def test_what_makes_no_batch(first: Degradation, second: Degradation | None) -> None:
    one = measured(first)[0]
    other = measured(first, channels=1)[0] if second is None else measured(second)[0]
    with pytest.raises(ValueError, match=r"^operators: expected one image size and one kind of measurement"):
        type(one).stack([one, other])


def test_too_few_pixels_to_split() -> None:
    operator, _ = measured(RandomInpainting(missing=0.99999))
    with pytest.raises(InputError, match=r"^image: splitting needs at least 2 measured pixels, got 1$"):
        operator.split(0.5, torch.Generator())


IMAGE = torch.rand(2, 3, 8, 8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SuperresOperator.from_measurements(IMAGE, 5), "`factor`: expected one of 2, 3, 4, 8, got 5"),
        (lambda: SuperresOperator.from_measurements(IMAGE[0]), r"image: expected float \(B, 1 or 3, H, W\)"),
        (lambda: SuperresOperator.from_measurements(IMAGE / 0), "image: expected finite numbers, got NaN or Inf"),
        (lambda: PixelsOperator.from_measurements(IMAGE, sigma=-1.0), "`noise`: expected a finite standard deviation"),
        (
            lambda: PixelsOperator.from_measurements(IMAGE, torch.ones(8, 8)),
            r"mask: expected bool \(8, 8\) or \(2, 8, 8\), got torch.float32 \(8, 8\)",
        ),
        (
            lambda: BlurOperator.from_measurements(IMAGE, np.ones((17, 3))),
            "`kernel`: one of 17 x 3 pixels needs an image of 9 x 2 or more, got 8 x 8",
        ),
        (lambda: BlurOperator.from_measurements(IMAGE, np.ones((2, 3))), "`kernel`: expected an odd number"),
        (lambda: NonlinearBlurOperator.from_measurements(IMAGE, np.zeros((3, 3))), "`kernel`: expected finite numbers"),
        (lambda: NonlinearBlurOperator.from_measurements(IMAGE, np.ones((17, 3))), "`kernel`: one of 17 x 3"),
    ],
)
def test_errors_are_one_line(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}") as error:
        make()
    assert "\n" not in str(error.value)


def test_a_degradation_without_an_operator() -> None:
    class Painted(Denoising):
        pass

    assert isinstance(operator_of(Painted(), IMAGE), PixelsOperator)
    with pytest.raises(TypeError, match=r"^degradation: expected one of data/degradations.py, got str"):
        operator_of("denoise", IMAGE)  # type: ignore[arg-type]
