"""sense_residual, sense_forward and sense_adjoint against the plain torch reference in double precision."""

import pytest
import torch

from tests.kernels.problems import TOLERANCE, Problem, problem, relative_error
from ugodit import kernels
from ugodit.kernels import reference

# Smooth, prime, with one large prime factor, fastMRI's own, powers of two.
WIDTHS = [1, 2, 3, 15, 31, 96, 180, 230, 256, 320, 322, 332, 368, 372, 386, 640, 1021, 1024]
COILS = [1, 2, 3, 7, 8, 9, 15, 16, 17, 32, 33]


def worst_error(p: Problem) -> float:
    """Largest relative error of the three functions and of the normal operator."""
    maps = kernels.pack_maps(p.maps, p.masked_along)
    kspace = kernels.pack_kspace(p.kspace, p.masked_along)
    image64, maps64, kspace64, weights64 = p.double()
    coil_array = torch.view_as_real(p.kspace)
    pairs = [
        *zip(
            kernels.sense_residual(p.image, maps, kspace, p.weights, p.coils),
            reference.sense_residual(image64, maps64, kspace64, weights64),
            strict=True,
        ),
        *zip(
            kernels.sense_residual(p.image, maps, None, p.weights, p.coils),
            reference.sense_residual(image64, maps64, None, weights64),
            strict=True,
        ),
        (
            kernels.sense_forward(p.image, maps, p.weights, p.coils),
            reference.sense_forward(image64, maps64, weights64),
        ),
        (
            kernels.sense_adjoint(coil_array, maps, p.weights, p.coils),
            reference.sense_adjoint(coil_array.double(), maps64, weights64),
        ),
    ]
    return max(relative_error(value, truth) for value, truth in pairs)


@pytest.mark.parametrize("width", WIDTHS)
def test_widths(width: int, variant: str) -> None:
    assert worst_error(problem(1, 3, 5, width, density=0.3)) < TOLERANCE
    assert worst_error(problem(1, 9, 2, width, density=1.0)) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1, 1025, 64))
def test_every_width(first: int, variant: str) -> None:
    for width in range(first, first + 64):
        assert worst_error(problem(1, 3, 5, width, density=0.3)) < TOLERANCE, width


@pytest.mark.parametrize("coils", COILS)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("both", [False, True])
def test_coils_and_batches(coils: int, batch: int, both: bool, variant: str) -> None:
    # 92 = 4 x 23 takes the pruned dense pass, 7 rows are no multiple of any number of rows a block.
    assert worst_error(problem(batch, coils, 7, 92, both=both)) < TOLERANCE


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 20), (20, 1), (31, 32), (46, 12), (64, 96), (131, 20)])
def test_masks_along_both_axes(height: int, width: int, variant: str) -> None:
    assert worst_error(problem(2, 5, height, width, both=True)) < TOLERANCE


def regular_weights(n: int, every: int, offset: int) -> torch.Tensor:
    """Every `every`-th entry and a few central ones, all of one weight but one of them."""
    weights = torch.zeros(n)
    weights[offset % every :: every] = 0.7
    weights[n // 2 - n // 16 : n // 2 + n // 16] = 0.7
    weights[n // 2] = 0.4
    return weights


@pytest.mark.parametrize("every", [1, 2, 4, 8])
@pytest.mark.parametrize("size", [48, 64, 92, 96, 131, 256, 262, 320, 368, 386])
def test_regular_masks(size: int, every: int, variant: str) -> None:
    """Blocks of the last pass that are measured as a whole, or in one place, have short cuts of their own."""
    along_width = problem(3, 3, 8, size, density=1.0)
    weights = torch.stack([regular_weights(size, every, offset) for offset in range(3)])
    assert worst_error(Problem(along_width.image, along_width.maps, along_width.kspace, weights, 3)) < TOLERANCE
    along_height = problem(3, 3, size, 8, both=True, density=1.0)
    plane = weights[:, :, None].expand(-1, -1, 8).contiguous()
    assert worst_error(Problem(along_height.image, along_height.maps, along_height.kspace, plane, 3)) < TOLERANCE


@pytest.mark.parametrize("size", [8, 12, 16, 48, 96, 256])
def test_every_single_line(size: int, variant: str) -> None:
    """A mask for each line alone, along either axis: every output of every butterfly that comes last."""
    weights = 0.7 * torch.eye(size)
    p = problem(size, 2, 2, size, density=1.0)
    assert worst_error(Problem(p.image, p.maps, p.kspace, weights, 2)) < TOLERANCE
    p = problem(size, 2, size, 2, both=True, density=1.0)
    assert worst_error(Problem(p.image, p.maps, p.kspace, weights[:, :, None].expand(-1, -1, 2), 2)) < TOLERANCE


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("width", [24, 31, 92, 131])
def test_a_single_measured_line_and_none(width: int, both: bool, variant: str) -> None:
    """Skipping what the mask excludes must leave the rest right, block by block."""
    p = problem(1, 3, 4, width, both=both, density=1.0)
    for line in (0, 1, width // 2, width - 1):
        weights = torch.zeros_like(p.weights)
        weights[..., line] = 0.7
        assert worst_error(Problem(p.image, p.maps, p.kspace, weights, 3)) < TOLERANCE
    maps, kspace = kernels.pack_maps(p.maps, p.masked_along), kernels.pack_kspace(p.kspace, p.masked_along)
    loss, gradient = kernels.sense_residual(p.image, maps, kspace, torch.zeros_like(p.weights), 3)
    assert loss.item() == 0
    assert not gradient.any()


@pytest.mark.parametrize("both", [False, True])
def test_leading_size_one_is_shared(both: bool, variant: str) -> None:
    many, one = problem(3, 5, 6, 20, both=both), problem(1, 5, 6, 20, both=both, seed=1)
    along = many.masked_along
    loss, gradient = kernels.sense_residual(
        many.image, kernels.pack_maps(one.maps, along), kernels.pack_kspace(one.kspace, along), one.weights, 5
    )
    _, maps64, kspace64, weights64 = one.double()
    truth = reference.sense_residual(many.image.double(), maps64, kspace64, weights64)
    assert relative_error(loss, truth[0]) < TOLERANCE
    assert relative_error(gradient, truth[1]) < TOLERANCE


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("width", [30, 92, 131])
def test_adjointness(width: int, both: bool, variant: str) -> None:
    """<A x, y> = <x, A^H y>, each inner product summed in double precision, both rounded at TOLERANCE of the norms."""
    p = problem(2, 7, 5, width, both=both)
    weights = (p.weights != 0).float()
    maps, coil_array = kernels.pack_maps(p.maps, p.masked_along), torch.view_as_real(p.kspace)
    forward = kernels.sense_forward(p.image, maps, weights, 7).double()
    adjoint = kernels.sense_adjoint(coil_array, maps, weights, 7).double()
    left, right = (forward * coil_array).sum(), (p.image * adjoint).sum()
    measured = coil_array * (weights[:, None, :, :, None] if both else weights[:, None, None, :, None])
    assert abs(left - right) < 2 * TOLERANCE * forward.norm() * measured.double().norm()


@pytest.mark.parametrize("both", [False, True])
def test_same_bits_for_any_number_of_threads(both: bool, variant: str, threads: None) -> None:
    p = problem(2, 5, 37, 92, both=both)
    results = []
    for count in (1, 2, 3, 5):
        torch.set_num_threads(count)
        maps, kspace = kernels.pack_maps(p.maps, p.masked_along), kernels.pack_kspace(p.kspace, p.masked_along)
        mu = torch.tensor([0.1, 0.2])
        results.append(
            [
                *kernels.sense_residual(p.image, maps, kspace, p.weights, 5),
                kernels.sense_forward(p.image, maps, p.weights, 5),
                *kernels.sense_solve(p.image, torch.zeros_like(p.image), maps, p.weights, mu, 5, 4),
            ]
        )
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], result, strict=True))
