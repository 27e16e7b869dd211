"""A turn and its inverse; the phase turn is a complex multiplication."""

import torch
from ugodit.fit.symmetry import random_symmetry, rotate_phase


def test_turning_back_undoes() -> None:
    image = torch.randn(2, 2, 5, 4)
    generator = torch.Generator().manual_seed(0)
    mirrored = 0
    for _ in range(20):
        turn, turn_back = random_symmetry(generator)
        # Two rotations of single precision numbers of order one.
        torch.testing.assert_close(turn_back(turn(image)), image, rtol=0, atol=2e-6)
        mirrored += not torch.allclose(turn(image).square().sum(1), image.square().sum(1))
    assert 0 < mirrored < 20


def test_phase_is_a_complex_factor() -> None:
    image = torch.randn(1, 2, 3, 3)
    turned = rotate_phase(image, 0.7)
    expected = torch.complex(image[:, 0], image[:, 1]) * torch.exp(torch.tensor(0.7j))
    torch.testing.assert_close(torch.complex(turned[:, 0], turned[:, 1]), expected)
