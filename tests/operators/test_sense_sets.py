"""SenseOperator with two sets of maps, against the dense matrix of its definition in complex128."""

import numpy as np
import pytest
import torch
from helpers import centred_fft, random_complex
from scans import line_mask, small_scan
from torch import Tensor

from ugodit.calibration import estimate_maps
from ugodit.evaluation.baselines import cg_sense, l1_wavelet, zero_filled
from ugodit.operators import LinearOperator, SenseOperator
from ugodit.operators.scale import normalize
from ugodit.priors.adaptation import from_scratch
from ugodit.priors.presets import preset

COILS, ROWS, COLUMNS, SETS = 3, 7, 6, 2
# Single precision, transforms of 7 points and sums over a few coils: a handful of roundings of 6e-8.
TOLERANCE = 2e-6


def dense(maps: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """diag(sqrt(weights)) F [S_1 S_2] as a matrix (C H W, sets H W); weights (H, W)."""
    sets, coils, rows, columns = maps.shape
    matrix = np.zeros((coils * rows * columns, sets * rows * columns), complex)
    for column in range(matrix.shape[1]):
        image = np.zeros((sets, rows, columns), complex)
        image.flat[column] = 1
        matrix[:, column] = (np.sqrt(weights) * centred_fft((maps * image[:, None]).sum(0))).ravel()
    return matrix


def to_complex(image: Tensor) -> np.ndarray:
    """(1, 2 sets, H, W) as (sets H W)."""
    pairs = image[0].double().unflatten(0, (-1, 2))
    return torch.complex(pairs[:, 0], pairs[:, 1]).numpy().ravel()


def to_image(vector: np.ndarray) -> Tensor:
    image = torch.from_numpy(vector.reshape(SETS, ROWS, COLUMNS))
    return torch.stack((image.real, image.imag), 1).flatten(0, 1)[None].float()


def random_image(shape: tuple[int, ...], seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Case:
    def __init__(self, plane: bool) -> None:
        self.maps = torch.from_numpy(random_complex((SETS, COILS, ROWS, COLUMNS), 1)) / 2
        self.kspace = torch.from_numpy(random_complex((COILS, ROWS, COLUMNS), 2))
        generator = np.random.default_rng(0)
        shape = (ROWS, COLUMNS) if plane else (COLUMNS,)
        weights = generator.uniform(0.5, 2, shape) * (generator.random(shape) < 0.7)
        self.operator = SenseOperator.from_kspace(self.kspace, self.maps, torch.from_numpy(weights))
        self.root = np.sqrt(weights.astype(np.float32).astype(float)) * np.ones((ROWS, COLUMNS))
        self.matrix = dense(self.maps.numpy().astype(complex), self.root**2)
        self.measured = (self.root * self.kspace.numpy()).ravel()


@pytest.fixture(params=[False, True], ids=["lines", "plane"])
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def test_loss_gradient_and_normal_equal_the_dense_matrix(case: Case) -> None:
    operator, matrix = case.operator, case.matrix
    assert isinstance(operator, LinearOperator)
    assert (operator.shape, operator.sets) == ((1, 2 * SETS, ROWS, COLUMNS), SETS)
    image = random_image(operator.shape)
    residual = matrix @ to_complex(image) - case.measured
    loss, gradient = operator.residual(image)
    assert float(loss) == pytest.approx(float((abs(residual) ** 2).sum()), rel=TOLERANCE)
    assert relative_error(to_complex(gradient), matrix.conj().T @ residual) < TOLERANCE
    assert relative_error(to_complex(operator.normal(image)), matrix.conj().T @ matrix @ to_complex(image)) < TOLERANCE
    assert relative_error(to_complex(operator.initial()), matrix.conj().T @ case.measured) < TOLERANCE
    assert float(operator.energy()) == pytest.approx(float((abs(case.measured) ** 2).sum()), rel=TOLERANCE)


def test_forward_and_adjoint_are_adjoint_under_the_weights(case: Case) -> None:
    operator = case.operator
    image, other = random_image(operator.shape), random_image((1, COILS, ROWS, COLUMNS, 2), 2)
    forward = operator.forward(image)
    weights = (
        operator.weights[:, None, None, :, None] if operator.weights.ndim == 2 else operator.weights[:, None, ..., None]
    )
    assert float((weights * forward * other).sum()) == pytest.approx(
        float((image * operator.adjoint(other)).sum()), rel=1e-5
    )
    assert not forward[(weights == 0).expand_as(forward)].any()


def test_solve_equals_the_dense_solution_and_its_derivatives(case: Case) -> None:
    operator, mu = case.operator, 0.3
    system = case.matrix.conj().T @ case.matrix + mu * np.eye(case.matrix.shape[1])
    rhs = random_image(operator.shape, 3).requires_grad_()
    weight = torch.full((1,), mu, requires_grad=True)
    solution, norm = operator.solve(rhs, torch.zeros(operator.shape), weight, 60)
    expected = np.linalg.solve(system, to_complex(rhs.detach()))
    # Conjugate gradients in single precision lose another digit to the condition number, here below 20.
    assert relative_error(to_complex(solution.detach()), expected) < 2e-5
    assert float(norm) < 1e-4 * float(rhs.detach().norm())
    direction = random_image(operator.shape, 4)
    (solution * direction).sum().backward()  # type: ignore[no-untyped-call]
    back = np.linalg.solve(system, to_complex(direction))
    assert rhs.grad is not None
    assert weight.grad is not None
    assert relative_error(to_complex(rhs.grad), back) < 2e-5
    assert float(weight.grad) == pytest.approx(-float((back.conj() * expected).real.sum()), rel=1e-4)


def test_data_consistency_differentiates_to_twice_the_gradient(case: Case) -> None:
    image = random_image(case.operator.shape).requires_grad_()
    case.operator.data_consistency(image).sum().backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    torch.testing.assert_close(image.grad, 2 * case.operator.residual(image.detach())[1], rtol=1e-5, atol=1e-5)


def test_an_empty_second_set_changes_nothing() -> None:
    kspace, maps, _ = small_scan()
    mask = line_mask(kspace.shape[-1])
    one = SenseOperator.from_kspace(kspace, maps, mask, rows=18)
    two = SenseOperator.from_kspace(kspace, torch.stack((maps, torch.zeros_like(maps))), mask, rows=18)
    assert torch.equal(one.support, two.support)
    torch.testing.assert_close(cg_sense(two)[:, :2], cg_sense(one), rtol=1e-4, atol=1e-5)
    assert not cg_sense(two)[:, 2:].any()
    same = SenseOperator.from_kspace(kspace, maps[None], mask, rows=18)
    assert (same.sets, same.shape) == (1, one.shape)
    assert torch.equal(same.initial(), one.initial())


def test_stacked_scaled_and_reweighted_items_do_not_mix() -> None:
    first, second = Case(False).operator, Case(False).operator.scaled(3)
    second = second.with_weights(second.weights * torch.tensor([1.0, 0, 1, 1, 0, 2]))
    both = SenseOperator.stack([first, second])
    assert both.shape == (2, 2 * SETS, ROWS, COLUMNS)
    image = random_image(both.shape)
    for item, single in enumerate((first, second)):
        mine = image[item : item + 1]
        torch.testing.assert_close(both.residual(image)[0][item : item + 1], single.residual(mine)[0])
        torch.testing.assert_close(both.residual(image)[1][item : item + 1], single.residual(mine)[1])
        torch.testing.assert_close(both.forward(image)[item : item + 1], single.forward(mine))
        solved = both.solve(image, torch.zeros_like(image), 0.5, 5)[0][item : item + 1]
        torch.testing.assert_close(solved, single.solve(mine, torch.zeros_like(mine), 0.5, 5)[0], rtol=1e-4, atol=1e-5)


def folded_scan() -> tuple[Tensor, Tensor, np.ndarray]:
    """K-space and mask of an object wider than its field of view, and the root sum of squares of the folded coils."""
    rows, columns, coils = 64, 48, 8
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1.6, 1.6, 2 * columns), indexing="ij")
    angle = 2 * np.pi * np.arange(coils)[:, None, None] / coils
    dy, dx = y - 1.5 * np.sin(angle), x - 2.2 * np.cos(angle)
    coil = np.exp(1j * (angle + np.arctan2(dy, dx))) / (dy**2 + dx**2 + 0.2)
    image = ((x / 1.15) ** 2 + (y / 0.8) ** 2 < 1) * (1 + 0.4 * np.cos(9 * x) * np.cos(7 * y))
    # What lies beyond the edges comes back on the other side: the columns in the middle, and those half a turn away.
    layers = np.roll(coil * image, -(columns // 2), axis=-1).reshape(coils, rows, 2, columns)
    folded = layers.sum(2)
    kspace = centred_fft(folded)
    noise = 1e-3 * abs(kspace).max() / columns * random_complex(kspace.shape, 5)
    target = np.sqrt((abs(folded) ** 2).sum(0))
    mask = line_mask(columns, 2, 20)
    return torch.from_numpy((kspace + noise).astype(np.complex64)) * mask, mask, target


def test_a_folded_object_needs_two_sets() -> None:
    kspace, mask, target = folded_scan()
    errors = {}
    for sets in (1, 2):
        maps = estimate_maps(kspace, mask=mask, sets=sets, crop=0.8)
        operator, scale = normalize(SenseOperator.from_kspace(kspace, maps, mask))
        magnitude = (cg_sense(operator, mu=1e-3).square().sum(1)[0].sqrt() * scale).numpy()
        errors[sets] = np.linalg.norm(magnitude - target) / np.linalg.norm(target)
    # One map a coil explains one of the two tissues that share a pixel; two explain what there is, to the noise.
    assert errors[2] < 0.02
    assert errors[1] > 5 * errors[2]


def test_zero_filling_takes_sets_and_sigpy_and_networks_do_not() -> None:
    case = Case(False)
    mask = case.operator.weights[0] > 0
    kspace = case.kspace * mask
    images = zero_filled(kspace, case.maps)
    assert images.shape == (SETS, ROWS, COLUMNS)
    one = SenseOperator.from_kspace(kspace, case.maps, mask)
    np.testing.assert_allclose(images.numpy().ravel(), to_complex(one.initial()), atol=1e-5)
    with pytest.raises(ValueError, match="maps: expected one set"):
        l1_wavelet(kspace, case.maps, mask, 1e-3)
    chosen = preset("fast")
    with pytest.raises(ValueError, match=r"^operator: expected images of 2 channels, .*, got 4$"):
        from_scratch(case.operator, chosen.network, chosen.alone_model, chosen.alone)


def test_wrong_numbers_of_sets_are_named() -> None:
    case = Case(False)
    with pytest.raises(ValueError, match="maps: expected the shape of kspace"):
        SenseOperator.from_kspace(case.kspace[None], case.maps, torch.ones(COLUMNS))
    with pytest.raises(ValueError, match="maps"):
        case.operator.forward(torch.zeros(1, 2, ROWS, COLUMNS))
    single = SenseOperator.from_kspace(case.kspace, case.maps[0], torch.ones(COLUMNS))
    with pytest.raises(ValueError, match="operators: expected"):
        SenseOperator.stack([case.operator, single])
