"""The sparse start: an orthonormal transform, the right minimum, and a weight that follows the noise."""

import pytest
import torch
from scans import small_operator
from torch import Tensor

from ugodit import sparse
from ugodit.adapt import normalize
from ugodit.operators import SenseOperator


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("shift", [(0, 0), (3, 7), (15, 15)])
@pytest.mark.parametrize("size", [(32, 48), (37, 50), (1, 1), (3, 17)])
def test_weight_zero_gives_the_image_back(size: tuple[int, int], shift: tuple[int, int]) -> None:
    image = torch.randn(2, 2, *size)
    # Four levels of sums and differences of single precision numbers of order one.
    torch.testing.assert_close(sparse.shrink_wavelets(image, torch.zeros(2), shift), image, rtol=0, atol=5e-6)


def test_a_large_weight_leaves_the_coarse_means() -> None:
    image = torch.randn(1, 2, 32, 32)
    blocks = sparse.shrink_wavelets(image, torch.tensor([1e6]), (0, 0))
    size = 2**sparse.LEVELS
    means = image.unfold(2, size, size).unfold(3, size, size).mean((-1, -2))
    torch.testing.assert_close(blocks, means.repeat_interleave(size, 2).repeat_interleave(size, 3), rtol=0, atol=1e-5)


def test_shrinking_is_the_proximal_map_of_an_orthonormal_transform() -> None:
    # For an orthonormal W, x - shrink(x) has coefficients of magnitude weight at most, and its inner product with
    # shrink(x) is weight times the coefficients' sum: so |x|^2 = |s|^2 + |x - s|^2 + 2 <s, x - s> with <s, x - s> >= 0.
    image, weight = torch.randn(1, 2, 16, 16).double(), torch.tensor([0.5]).double()
    shrunk = sparse.shrink_wavelets(image, weight, (0, 0))
    again = sparse.shrink_wavelets(image, 2 * weight, (0, 0))
    # Shrinking by a and then by b is shrinking by a + b: true of soft thresholds in an orthonormal basis only.
    torch.testing.assert_close(sparse.shrink_wavelets(shrunk, weight, (0, 0)), again)
    assert float((shrunk * (image - shrunk)).sum()) > 0


def test_complex_coefficients_keep_their_phase() -> None:
    turned = torch.randn(1, 2, 16, 16)
    quarter = torch.stack((-turned[:, 1], turned[:, 0]), dim=1)
    weight = torch.tensor([0.5])
    shrunk, expected = (sparse.shrink_wavelets(image, weight, (2, 3)) for image in (quarter, turned))
    torch.testing.assert_close(shrunk, torch.stack((-expected[:, 1], expected[:, 0]), dim=1))


def objective(operator: SenseOperator, image: Tensor, weight: float) -> float:
    """The cost for the unshifted transform, its coefficients' magnitudes by differentiating the shrinkage."""
    shrunk = sparse.shrink_wavelets(image, torch.tensor([1e-4]), (0, 0))
    # <x, x - shrink(x)> / weight is the sum of the coefficients' magnitudes where all exceed the weight.
    magnitudes = float((image * (image - shrunk)).sum()) / 1e-4
    return 0.5 * float(operator.data_consistency(image)) + weight * magnitudes


def test_the_image_beats_its_neighbours() -> None:
    operator = normalize(small_operator(columns=40, noise=0.3)[0])[0]
    weight = 0.05
    found = sparse.sparse_sense(operator, torch.tensor([weight]), 300, generator())
    cost = objective(operator, found, weight)
    rivals = [
        operator.initial(),
        torch.zeros_like(found),
        sparse.sparse_sense(operator, torch.tensor([0.0]), 300, generator()),
    ]
    assert all(cost < objective(operator, rival, weight) for rival in rivals)


def test_weights_are_per_item() -> None:
    operator = normalize(small_operator(columns=40)[0])[0]
    both = SenseOperator.stack([operator, operator])
    weights = torch.tensor([1e-3, 0.5])
    image = sparse.sparse_sense(both, weights, 20, generator())
    for item in range(2):
        single = sparse.sparse_sense(operator, weights[item : item + 1], 20, generator())
        torch.testing.assert_close(image[item : item + 1], single)


def test_noise_asks_for_a_higher_weight() -> None:
    chosen = []
    for noise in (0.0, 2.0):
        operator = normalize(small_operator(rows=48, columns=64, noise=noise)[0])[0]
        chosen.append(float(sparse.choose_weight(operator, 20, generator())))
    assert chosen[0] < chosen[1]
    assert set(chosen) <= set(torch.tensor(sparse.WEIGHTS).tolist())
