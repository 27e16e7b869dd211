import numpy as np
import pytest
import torch
from helpers import centred_fft, centred_ifft, random_complex

from ugodit.data.masks import cartesian_mask, poisson_disc_mask
from ugodit.evaluation.baselines import best_of_grid, l1_wavelet, total_variation, zero_filled, zero_filled_rss
from ugodit.evaluation.metrics import psnr
from ugodit.simulation.phantom import draw, simulate_volume


@pytest.fixture(scope="module", params=["lines", "disc"])
def problem(request):
    magnitude = draw("knee", (96, 80), range(1), 1)
    kspace, maps, image = simulate_volume(magnitude, 6, 1, snr_db=30, pixel_mm=160 / 96, plane="coronal")
    shape = (96, 80)
    mask = cartesian_mask("random", 80, 4, 0.1, 0) if request.param == "lines" else poisson_disc_mask(shape, 4, 12, 0)
    sampled = kspace[0] * mask
    return torch.from_numpy(sampled), torch.from_numpy(maps[0]), torch.from_numpy(mask), torch.from_numpy(image[0])


def _psnr(image, truth):
    return psnr(truth.abs().numpy(), image.abs().numpy())


@pytest.mark.parametrize("shape", [(3, 12, 10), (2, 15, 13)])
def test_zero_filling_is_the_adjoint(shape):
    kspace, maps = random_complex(shape, 1), random_complex(shape, 2)
    images = centred_ifft(kspace)
    found = zero_filled(torch.from_numpy(kspace), torch.from_numpy(maps)).numpy()
    np.testing.assert_allclose(found, (maps.conj() * images).sum(0), atol=1e-5)
    np.testing.assert_allclose(
        zero_filled_rss(torch.from_numpy(kspace)).numpy(), np.sqrt((np.abs(images) ** 2).sum(0)), rtol=1e-5
    )


@pytest.mark.parametrize("method", [l1_wavelet, total_variation])
def test_both_beat_zero_filling_and_mean_the_same_at_every_scale(problem, method):
    kspace, maps, mask, truth = problem
    image = method(kspace, maps, mask, 3e-3)
    assert image.dtype == torch.complex64
    assert image.shape == truth.shape
    assert _psnr(image, truth) > _psnr(zero_filled(kspace, maps), truth) + 3
    for scale in (1e-9, 1e12):
        # The same float32 steps on data that differ by rounding only.
        scaled = method(kspace * scale, maps, mask, 3e-3, iterations=20) / scale
        torch.testing.assert_close(scaled, method(kspace, maps, mask, 3e-3, iterations=20), atol=1e-4, rtol=0)


def test_a_weight_of_zero_fits_the_measurements(problem):
    kspace, maps, mask, truth = problem
    image = l1_wavelet(kspace, maps, mask, 0.0, iterations=200).numpy()
    residual = (centred_fft(maps.numpy() * image) - kspace.numpy()) * mask.numpy()
    # At most the noise is left: 30 dB below the mean of the image, in each measured sample (zeros elsewhere).
    sigma = float(truth.abs()[truth.abs() > 0.05 * truth.abs().max()].mean()) * 10 ** (-30 / 20)
    assert np.linalg.norm(residual) < 1.2 * sigma * int((kspace != 0).sum()) ** 0.5


def test_total_variation_has_no_better_neighbour(problem):
    # Optimality, checked on the objective itself and not on the solver; the differences are periodic.
    kspace, maps, mask, _ = problem
    weight = 3e-3
    scale = zero_filled(kspace, maps).abs().max()
    image = (total_variation(kspace, maps, mask, weight, iterations=600) / scale).numpy().astype(complex)
    data = (kspace / scale).numpy().astype(complex)

    def objective(x):
        residual = (centred_fft(maps.numpy() * x) - data) * mask.numpy()
        variation = sum(np.abs(x - np.roll(x, 1, axis)).sum() for axis in (0, 1))
        return 0.5 * (np.abs(residual) ** 2).sum() + weight * variation

    best = objective(image)
    for seed in range(5):
        step = random_complex(image.shape, seed) * 0.02
        assert objective(image + step) > best
    assert objective(0.99 * image) > best
    assert objective(1.01 * image) > best


def test_the_grid_keeps_the_best_and_stops_when_scores_fall():
    tried = []

    def run(weight):
        tried.append(weight)
        return torch.tensor(weight)

    best = best_of_grid(run, [1, 2, 3, 4, 5, 6, 7], lambda image: -abs(float(image) - 3))
    assert (float(best.image), best.weight) == (3.0, 3)
    assert tried == [1, 2, 3, 4, 5]
    assert best.scores == {1: -2.0, 2: -1.0, 3: 0.0, 4: -1.0, 5: -2.0}
    with pytest.raises(ValueError, match="weights"):
        best_of_grid(run, [], float)


def test_bad_arguments_are_refused_by_name(problem):
    kspace, maps, mask, _ = problem
    with pytest.raises(ValueError, match="weight: expected"):
        l1_wavelet(kspace, maps, mask, -1.0)
    with pytest.raises(ValueError, match="kspace: expected"):
        total_variation(kspace * 0, maps, mask, 1.0)
