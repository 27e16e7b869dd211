import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ugodit.evaluation.metrics import nmse, psnr, ssim


@pytest.fixture(params=[1.0, 1e-12, 1e13], ids=["scale 1", "scale 1e-12", "scale 1e13"])
def pair(request):
    generator = np.random.default_rng(0)
    target = generator.random((3, 24, 20))
    target[1] *= 0.3  # a slice whose own maximum is not the volume's
    image = np.abs(target + 0.05 * generator.standard_normal(target.shape))
    return target * request.param, image * request.param


def test_psnr_and_nmse_are_their_formulas(pair):
    target, image = pair
    squared = ((target - image) ** 2).sum()
    # float64 sums of 1,440 numbers: 1e-12 relative is generous
    assert psnr(target, image) == pytest.approx(10 * np.log10(target.max() ** 2 / (squared / target.size)), rel=1e-12)
    assert nmse(target, image) == pytest.approx(squared / (target**2).sum(), rel=1e-12)


def _ssim_by_definition(a, b, data_range):
    """Wang's SSIM with a uniform 7 x 7 window and unbiased variances, window by window, borders left out."""
    windows = [sliding_window_view(image, (7, 7)).reshape(-1, 49) for image in (a, b)]
    mean = [window.mean(1) for window in windows]
    variance = [window.var(1, ddof=1) for window in windows]
    covariance = ((windows[0] - mean[0][:, None]) * (windows[1] - mean[1][:, None])).sum(1) / 48
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    values = (2 * mean[0] * mean[1] + c1) * (2 * covariance + c2)
    return (values / ((mean[0] ** 2 + mean[1] ** 2 + c1) * (variance[0] + variance[1] + c2))).mean()


def test_ssim_is_its_definition_with_the_volumes_maximum(pair):
    target, image = pair
    expected = np.mean([_ssim_by_definition(a, b, target.max()) for a, b in zip(target, image, strict=True)])
    # skimage takes variances as E[x^2] - E[x]^2: cancellation leaves 1e-12 or so
    assert ssim(target, image) == pytest.approx(expected, rel=1e-9)
    with_own_maximum = np.mean([_ssim_by_definition(a, b, a.max()) for a, b in zip(target, image, strict=True)])
    assert abs(ssim(target, image) - with_own_maximum) > 1e-3


def test_all_three_are_what_fastmris_evaluation_calls(pair):
    target, image = (array.astype(np.float32) for array in pair)
    scale = target.max()
    single = [array / scale for array in (target, image)]  # fastMRI computes in float32, which these scales overflow
    assert psnr(target, image) == pytest.approx(peak_signal_noise_ratio(*single, data_range=single[0].max()), abs=1e-4)
    expected = np.mean([structural_similarity(a, b, data_range=single[0].max()) for a, b in zip(*single, strict=True)])
    assert ssim(target, image) == pytest.approx(expected, abs=1e-5)
    expected = np.linalg.norm(single[0] - single[1]) ** 2 / np.linalg.norm(single[0]) ** 2
    assert nmse(target, image) == pytest.approx(expected, rel=1e-5)


def test_one_slice_may_be_scored_with_its_volumes_maximum(pair):
    target, image = pair
    assert psnr(target[1], image[1], target.max()) > psnr(target[1], image[1])
    assert ssim(target[1], image[1]) == ssim(target[1:2], image[1:2])
    slices = [ssim(a, b, target.max()) for a, b in zip(target, image, strict=True)]
    assert ssim(target, image) == pytest.approx(np.mean(slices), rel=1e-12)


def test_identical_images_are_perfect():
    target = np.random.default_rng(0).random((2, 16, 16))
    assert psnr(target, target) == float("inf")
    assert ssim(target, target) == pytest.approx(1.0)
    assert nmse(target, target) == 0.0


@pytest.mark.parametrize("metric", [psnr, ssim, nmse])
@pytest.mark.parametrize(
    ("target", "image"),
    [
        (np.ones((2, 9, 9)), np.ones((2, 9, 8))),
        (np.ones((9, 9)), np.ones((1, 9, 9))),
        (np.ones(9), np.ones(9)),
        (np.ones((9, 9)), np.ones((9, 9), np.complex64)),
        (np.zeros((9, 9)), np.ones((9, 9))),
    ],
)
def test_what_cannot_be_compared_is_refused(metric, target, image):
    with pytest.raises(ValueError, match="expected"):
        metric(target, image)


def test_ssim_refuses_images_smaller_than_its_window():
    with pytest.raises(ValueError, match="at least 7"):
        ssim(np.ones((6, 9)), np.ones((6, 9)))
