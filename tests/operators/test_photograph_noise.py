"""The noise that is read from a photograph, and what its unmeasured pixels are filled with."""

import pytest
import torch
from photographs import photograph

from ugodit.operators.photograph_noise import LEAST, filled, noise_from_differences


@pytest.mark.parametrize("sigma", [0.005, 0.025, 0.2])
def test_the_noise_that_was_put_in(sigma: float) -> None:
    image = photograph(3, 128, 128)
    noisy = image + sigma * torch.randn(image.shape)
    # 48,000 differences, each overlapping with 24 others: 1.2 / sqrt(48000 / 25) is 3 %, and the square has twice that;
    # what there is of image in them adds to the weakest noise.
    assert float(noise_from_differences(noisy, None)) == pytest.approx(sigma**2, rel=0.15 if sigma < 0.01 else 0.08)


def test_only_what_is_measured_is_asked() -> None:
    image = photograph(1, 96, 96) + 0.05 * torch.randn(1, 1, 96, 96)
    weights = torch.ones_like(image)
    weights[..., 30:60, 20:80] = 0
    holed = torch.where(weights > 0, image, 9.0)
    assert float(noise_from_differences(holed, weights)) == pytest.approx(0.05**2, rel=0.15)


def test_not_a_number_where_too_few_pixels_lie_together() -> None:
    alone = (torch.rand(2, 1, 64, 64) < 0.2).float()
    image = torch.rand(2, 3, 64, 64)
    assert bool(noise_from_differences(image, alone).isnan().all())
    # Each item for itself.
    alone[1] = 1
    assert noise_from_differences(image, alone).isnan().tolist() == [True, False]
    side = int(LEAST**0.5)
    for size, known in ((side + 2, True), (side + 1, False), (2, False), (1, False)):
        assert bool(noise_from_differences(torch.rand(1, 1, size, size), None).isfinite().all()) == known


@pytest.mark.parametrize("size", [(8, 8), (7, 13), (1, 9), (1, 1)])
def test_filling(size: tuple[int, int]) -> None:
    image, weights = torch.rand(2, 3, *size), (torch.rand(2, 1, *size) < 0.4).float()
    weights[..., 0, 0] = 1
    found = filled(image, weights)
    assert torch.equal(torch.where(weights > 0, found, 0.0), weights * image)
    # Between the least and the greatest of what is measured, in each channel.
    for item in range(2):
        for channel in range(3):
            known = image[item, channel][weights[item, 0] > 0]
            assert float(found[item, channel].min()) >= float(known.min()) - 1e-6
            assert float(found[item, channel].max()) <= float(known.max()) + 1e-6
    torch.testing.assert_close(filled(2 * image, weights), 2 * found)
    assert filled(image, None) is image


def test_nothing_is_filled_from_nothing() -> None:
    assert not bool(filled(torch.rand(1, 3, 6, 5), torch.zeros(1, 1, 6, 5)).any())


def test_a_hole_is_filled_from_around_it() -> None:
    ramp = torch.linspace(0, 1, 32).expand(1, 1, 32, 32)
    weights = torch.ones(1, 1, 32, 32)
    weights[..., 10:20, 8:16] = 0
    assert float((filled(ramp, weights) - ramp).abs().max()) < 0.2
