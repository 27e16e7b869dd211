"""SenseOperator against float64 numpy on the centred 2-D transform."""

import numpy as np
import pytest
import torch
from helpers import centred_fft, centred_ifft, random_complex
from scans import line_mask, small_operator, small_scan
from torch import Tensor

from ugodit.operators import LinearOperator, SenseOperator


def complex_image(image: Tensor) -> np.ndarray:
    return np.asarray(torch.complex(image[:, 0].double(), image[:, 1].double()))


def random_image(shape: tuple[int, ...], seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


# Single precision keeps 24 bits; a transform of n <= 64 points and a sum over few coils lose a handful of them.
TOLERANCE = 2e-6


def test_is_a_linear_operator() -> None:
    assert isinstance(small_operator()[0], LinearOperator)


@pytest.mark.parametrize("plane", [False, True])
def test_loss_and_gradient_equal_the_centred_2d_transform(plane: bool) -> None:
    kspace, maps, _ = small_scan(rows=21, columns=18, noise=0.3)
    mask = line_mask(18)
    if plane:
        mask = torch.from_numpy(np.random.default_rng(0).random((21, 18)) < 0.4)
    operator = SenseOperator.from_kspace(kspace, maps, mask)
    image = random_image(operator.shape)

    s, y, m = maps.numpy().astype(np.complex128), kspace.numpy(), mask.numpy()
    residual = m * (centred_fft(s * complex_image(image)) - y)
    loss, gradient = operator.residual(image)
    assert float(loss) == pytest.approx(np.sum(np.abs(residual) ** 2), rel=TOLERANCE)
    expected = (s.conj() * centred_ifft(residual)).sum(0)
    assert relative_error(complex_image(gradient)[0], expected) < TOLERANCE
    assert float(operator.energy()) == pytest.approx(np.sum(np.abs(m * y) ** 2), rel=TOLERANCE)


def test_cropping_rows_in_hybrid_space_is_exact() -> None:
    kspace, maps, _ = small_scan(rows=40, columns=18, noise=0.3)
    rows = 22
    operator = SenseOperator.from_kspace(kspace, maps, line_mask(18), rows=rows)
    assert operator.shape == (1, 2, rows, 18)
    image = random_image(operator.shape)
    top = (40 - rows) // 2
    padded = np.zeros((40, 18), complex)
    padded[top : top + rows] = complex_image(image)[0]
    s = maps.numpy().astype(np.complex128)
    residual = line_mask(18).numpy() * (centred_fft(s * padded) - kspace.numpy())
    expected = (s.conj() * centred_ifft(residual)).sum(0)[top : top + rows]
    assert relative_error(complex_image(operator.residual(image)[1])[0], expected) < TOLERANCE


def test_forward_and_adjoint_are_adjoint() -> None:
    operator, _ = small_operator()
    image, other = random_image(operator.shape), random_image((1, operator.coils, *operator.shape[2:], 2), 2)
    left = float((operator.forward(image) * other).sum())
    right = float((image * operator.adjoint(other)).sum())
    assert left == pytest.approx(right, rel=1e-5)


def test_normal_is_adjoint_of_forward() -> None:
    operator, _ = small_operator()
    image = random_image(operator.shape)
    torch.testing.assert_close(operator.normal(image), operator.adjoint(operator.forward(image)), rtol=1e-4, atol=1e-5)


def test_data_consistency_differentiates_to_twice_the_gradient() -> None:
    operator, _ = small_operator()
    image = random_image(operator.shape).requires_grad_()
    operator.data_consistency(image).sum().backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    torch.testing.assert_close(image.grad, 2 * operator.residual(image.detach())[1])


def test_weights_share_the_measurements() -> None:
    operator, _ = small_operator()
    none = operator.with_weights(torch.zeros_like(operator.weights))
    assert none.kspace is operator.kspace
    assert float(none.energy()) == 0
    assert float(none.data_consistency(random_image(operator.shape))) == 0


def test_solve_inverts_the_regularised_normal_operator() -> None:
    operator, _ = small_operator()
    image = random_image(operator.shape)
    rhs = operator.normal(image) + 0.3 * image
    solution, residual = operator.solve(rhs, torch.zeros_like(rhs), 0.3, 60, 1e-7)
    torch.testing.assert_close(solution, image, rtol=1e-4, atol=1e-4)
    assert float(residual) < 1e-5 * float(rhs.norm())


def test_iterating_on_after_convergence_is_harmless() -> None:
    # One coil whose lines are a projection: one step solves it, and what is left is rounding.
    kspace, _, _ = small_scan(coils=1)
    maps = torch.ones_like(kspace)
    operator = SenseOperator.from_kspace(kspace, maps, line_mask(kspace.shape[-1], 2, 0))
    rhs = operator.initial()
    solution, _ = operator.solve(rhs, torch.zeros_like(rhs), 0.0, 50)
    torch.testing.assert_close(solution, rhs, rtol=1e-4, atol=1e-5)


def test_scaling_scales_images() -> None:
    operator, _ = small_operator()
    torch.testing.assert_close(operator.scaled(4.0).initial(), 4 * operator.initial())
    assert float(operator.scaled(4.0).energy()) == pytest.approx(16 * float(operator.energy()), rel=1e-6)


def test_stacked_items_do_not_mix() -> None:
    first, _ = small_operator(seed=0)
    second, _ = small_operator(seed=5, acceleration=3)
    both = SenseOperator.stack([first, second])
    image = random_image(both.shape)
    for item, single in enumerate((first, second)):
        loss, gradient = single.residual(image[item : item + 1])
        assert float(both.residual(image)[0][item]) == pytest.approx(float(loss), rel=1e-6)
        torch.testing.assert_close(both.residual(image)[1][item : item + 1], gradient)


def test_unmeasured_samples_are_ignored() -> None:
    kspace, maps, _ = small_scan()
    mask = line_mask(kspace.shape[-1])
    garbage = kspace + 1e3 * ~mask
    clean, dirty = (SenseOperator.from_kspace(k, maps, mask) for k in (kspace, garbage))
    torch.testing.assert_close(clean.initial(), dirty.initial())
    assert float(clean.energy()) == float(dirty.energy())


@pytest.mark.parametrize(
    ("kspace", "maps", "mask", "match"),
    [
        (torch.zeros(2, 4, 4), torch.zeros(2, 4, 4), torch.ones(4), "kspace: expected complex"),
        (torch.zeros(4, 4) * 1j, torch.zeros(4, 4) * 1j, torch.ones(4), "kspace: expected complex"),
        (torch.zeros(2, 4, 4) * 1j, torch.zeros(3, 4, 4) * 1j, torch.ones(4), "maps: expected the shape"),
        (torch.zeros(2, 4, 4) * 1j, torch.zeros(2, 4, 4) * 1j, torch.ones(5), "mask: expected real"),
        (torch.zeros(2, 4, 4) * 1j, torch.zeros(2, 4, 4) * 1j, -torch.ones(4), "mask: expected finite"),
        (torch.zeros(2, 4, 4) * 1j, torch.zeros(2, 4, 4) * 1j, torch.ones(4) * torch.nan, "mask: expected finite"),
    ],
)
def test_wrong_arguments_are_named(kspace: Tensor, maps: Tensor, mask: Tensor, match: str) -> None:
    with pytest.raises((TypeError, ValueError), match=match):
        SenseOperator.from_kspace(kspace, maps, mask)


def test_numpy_arrays_are_taken_by_dlpack() -> None:
    kspace, maps, _ = small_scan()
    mask = line_mask(kspace.shape[-1])
    expected = SenseOperator.from_kspace(kspace, maps, mask)
    found = SenseOperator.from_kspace(kspace.numpy(), maps.numpy(), mask.numpy())
    assert torch.equal(found.initial(), expected.initial())
    with pytest.raises(TypeError, match="kspace: expected a tensor or an array with the DLPack protocol, got list"):
        SenseOperator.from_kspace([1], maps, mask)


@pytest.mark.gpu
def test_cupy_arrays_are_taken_by_dlpack() -> None:
    cupy = pytest.importorskip("cupy")
    kspace, maps, _ = small_scan()
    mask = line_mask(kspace.shape[-1])
    expected = SenseOperator.from_kspace(kspace, maps, mask, device="cuda")
    arrays = (cupy.asarray(array.numpy()) for array in (kspace, maps, mask))
    found = SenseOperator.from_kspace(*arrays, device="cuda")
    assert torch.equal(found.initial(), expected.initial())


def test_rows_cannot_be_cropped_under_a_2d_mask() -> None:
    kspace, maps, _ = small_scan()
    with pytest.raises(ValueError, match="rows: a mask along both axes"):
        SenseOperator.from_kspace(kspace, maps, torch.ones(kspace.shape[-2:]), rows=10)


def test_measurements_of_a_random_volume_have_the_energy_of_their_lines() -> None:
    kspace = torch.from_numpy(random_complex((2, 3, 9, 8)))
    maps = torch.ones_like(kspace) / 3**0.5
    operator = SenseOperator.from_kspace(kspace, maps, torch.ones(8))
    expected = kspace.abs().square().sum((1, 2, 3))
    torch.testing.assert_close(operator.energy(), expected, rtol=1e-5, atol=0)


def test_sensitivity_is_the_norm_of_the_maps() -> None:
    kspace, maps, _ = small_scan(rows=24, columns=18)
    faded = maps * torch.linspace(0, 1, 18)
    one = SenseOperator.from_kspace(kspace, faded, line_mask(18), rows=20)
    expected = torch.linalg.vector_norm(faded, dim=0)[2:22]
    for operator in (one, one.scaled(3.0), SenseOperator.stack([one, one])):
        for item in operator.sensitivity:
            torch.testing.assert_close(item[0], expected)
        assert torch.equal(operator.support, operator.sensitivity > 0)


def test_an_operator_is_called_and_so_is_its_adjoint() -> None:
    operator, _ = small_operator()
    image = random_image(operator.shape)
    measured = operator(image)
    assert torch.equal(measured, operator.forward(image))
    assert torch.equal(operator.H(measured), operator.adjoint(measured))
    assert operator.H.H is operator
    assert torch.equal(operator.H.H(image), measured)
    # The normal equations, as one writes them.
    torch.testing.assert_close(operator.H(operator(image)), operator.normal(image), rtol=1e-4, atol=1e-5)


def test_a_printed_operator_is_one_short_line() -> None:
    kspace, maps, _ = small_scan(coils=4, rows=24, columns=20)
    lines = SenseOperator.from_kspace(kspace, maps, line_mask(20), rows=18)
    assert repr(lines) == "SenseOperator(1 x 4 coils x 18 x 20, 12 of 20 lines, on cpu)"
    plane = torch.zeros(24, 20)
    plane[::2, :5] = 0.5
    samples = SenseOperator.from_kspace(kspace, torch.stack((maps, maps)), plane)
    assert repr(samples) == "SenseOperator(1 x 4 coils x 24 x 20, 60 of 480 samples, 2 sets of maps, on cpu)"
    # Of items whose masks differ, the mean.
    other = lines.with_weights(torch.ones(1, 20))
    assert repr(SenseOperator.stack([lines, other])) == "SenseOperator(2 x 4 coils x 18 x 20, 16 of 20 lines, on cpu)"
    for operator in (lines, samples):
        assert "\n" not in repr(operator)
        assert len(repr(operator)) < 120
        assert repr(operator.H).startswith("Adjoint(")


def different_items(kind: str) -> list[SenseOperator]:
    """Three scans of one shape, with masks of their own."""
    operators = []
    for seed in (0, 5, 9):
        kspace, maps, _ = small_scan(rows=12, columns=18, seed=seed, noise=0.3)
        mask = line_mask(18, 2 + seed % 3)
        if "plane" in kind:
            mask = torch.rand(12, 18, generator=torch.Generator().manual_seed(seed)) < 0.5
        if "sets" in kind:
            maps = torch.stack((maps, small_scan(rows=12, columns=18, seed=seed + 1)[1]))
        operators.append(SenseOperator.from_kspace(kspace, maps, mask, rows=None if "plane" in kind else 10))
    return operators


@pytest.mark.parametrize("kind", ["lines", "plane", "lines, sets", "plane, sets"])
@pytest.mark.parametrize("chosen", [[1], [2, 0], [0, 1, 2], [1, 1]])
def test_selected_items_are_those_of_the_batch(kind: str, chosen: list[int]) -> None:
    operators = different_items(kind)
    batch = SenseOperator.stack(operators)
    found, expected = batch.select(chosen), SenseOperator.stack([operators[item] for item in chosen])
    assert type(found) is SenseOperator
    for name in ("weights", "support", "sensitivity", "line_energy", "maps", "kspace"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    assert (found.shape, found.coils, found.sets) == (expected.shape, expected.coils, expected.sets)
    image = random_image(expected.shape)
    for got, wanted in zip(found.residual(image), expected.residual(image), strict=True):
        assert torch.equal(got, wanted)
    assert torch.equal(found.samples(), expected.samples())


def test_selected_items_share_a_mask_that_all_have() -> None:
    kspace = torch.from_numpy(random_complex((3, 4, 9, 8)))
    operator = SenseOperator.from_kspace(kspace, torch.ones_like(kspace), line_mask(8))
    some = operator.select([2, 1])
    assert some.weights is operator.weights
    single = SenseOperator.from_kspace(kspace[2], torch.ones_like(kspace[2]), line_mask(8))
    assert torch.equal(some.initial()[:1], single.initial())


@pytest.mark.parametrize("plane", [False, True], ids=["lines", "plane"])
@pytest.mark.parametrize("sets", [1, 2])
def test_conjugated_tensors_are_taken(plane: bool, sets: int) -> None:
    """torch conjugates when a value is read, and what reads a tensor's memory has to know."""
    kspace, maps, _ = small_scan(rows=12, columns=18)
    maps = maps if sets == 1 else torch.stack((maps, small_scan(rows=12, columns=18, seed=1)[1]))
    mask = torch.rand(12, 18, generator=torch.Generator().manual_seed(0)) < 0.5 if plane else line_mask(18)
    lazy = SenseOperator.from_kspace(kspace.conj(), maps.conj(), mask)
    plain = SenseOperator.from_kspace(kspace.conj().resolve_conj(), maps.conj().resolve_conj(), mask)
    assert torch.equal(lazy.initial(), plain.initial())
    assert torch.equal(lazy.forward(plain.initial()), plain.forward(plain.initial()))
