"""Compressed sensing: the right minimum, and a weight that follows the noise."""

import torch
from scans import small_operator
from torch import Tensor

from ugodit.fit.compressed_sensing import WEIGHTS, choose_weight, compressed_sensing
from ugodit.kernels.wavelets import shrink_wavelets
from ugodit.operators import SenseOperator
from ugodit.operators.scale import normalize


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def objective(operator: SenseOperator, image: Tensor, weight: float) -> float:
    """The cost for the unshifted transform, its coefficients' magnitudes by differentiating the shrinkage."""
    shrunk = shrink_wavelets(image, torch.tensor([1e-4]), (0, 0))
    # <x, x - shrink(x)> / weight is the sum of the coefficients' magnitudes where all exceed the weight.
    magnitudes = float((image * (image - shrunk)).sum()) / 1e-4
    return 0.5 * float(operator.data_consistency(image)) + weight * magnitudes


def test_the_image_beats_its_neighbours() -> None:
    operator = normalize(small_operator(columns=40, noise=0.3)[0])[0]
    weight = 0.05
    found = compressed_sensing(operator, torch.tensor([weight]), 300, generator())
    cost = objective(operator, found, weight)
    rivals = [
        operator.initial(),
        torch.zeros_like(found),
        compressed_sensing(operator, torch.tensor([0.0]), 300, generator()),
    ]
    assert all(cost < objective(operator, rival, weight) for rival in rivals)


def test_weights_are_per_item() -> None:
    operator = normalize(small_operator(columns=40)[0])[0]
    both = SenseOperator.stack([operator, operator])
    weights = torch.tensor([1e-3, 0.5])
    image = compressed_sensing(both, weights, 20, generator())
    for item in range(2):
        single = compressed_sensing(operator, weights[item : item + 1], 20, generator())
        torch.testing.assert_close(image[item : item + 1], single)


def test_noise_asks_for_a_higher_weight() -> None:
    chosen = []
    for noise in (0.0, 0.02, 2.0):
        operator = normalize(small_operator(rows=48, columns=64, noise=noise)[0])[0]
        chosen.append(float(choose_weight(operator, 20, generator())))
    assert chosen[0] < chosen[1] < chosen[2]
    assert chosen[2] > 0.02
    assert set(chosen) <= set(torch.tensor(WEIGHTS).tolist())
