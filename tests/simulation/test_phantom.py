import numpy as np
import pytest
from helpers import centred_fft, centred_ifft

from ugodit.errors import InputError
from ugodit.simulation.phantom import ANATOMIES, draw, root_sum_of_squares, simulate_volume


@pytest.mark.parametrize("anatomy", ANATOMIES)
def test_subjects_are_seeded_different_and_alike(anatomy):
    subjects = [draw(anatomy, (96, 96), range(1), seed)[0] for seed in range(3)]
    np.testing.assert_array_equal(subjects[0], draw(anatomy, (96, 96), range(1), 0)[0])
    for image in subjects:
        assert np.isfinite(image).all()
        assert image.min() >= 0
        assert 0.8 < image.max() < 1.3
        body = image > 0.05
        assert 0.25 < body.mean() < 0.85
        assert not body[:, [0, -1]].any()  # air at both sides
    for a, b in ((0, 1), (0, 2), (1, 2)):
        correlation = np.corrcoef(subjects[a].ravel(), subjects[b].ravel())[0, 1]
        assert 0.3 < correlation < 0.97


@pytest.mark.parametrize("anatomy", ANATOMIES)
def test_a_drawing_has_fine_structure(anatomy):
    image = draw(anatomy, (320, 320), range(1), 0)[0].astype(np.float64)
    gradient = np.abs(np.diff(image, axis=0))[image[1:] > 0.05]
    # A picture of flat pieces would change nowhere but at their edges.
    assert (gradient > 0.004).mean() > 0.5
    power = np.abs(np.fft.fft2(image)) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(320), np.fft.fftfreq(320)))
    assert power[frequency > 0.25].sum() > 1e-4 * power[frequency > 0].sum()


def test_neighbouring_slices_are_alike_and_any_range_of_them_is_the_same():
    slices = draw("brain", (96, 96), range(3), 0)
    assert slices.shape == (3, 96, 96)
    near, far = (np.corrcoef(slices[0].ravel(), slices[i].ravel())[0, 1] for i in (1, 2))
    assert 0.999 > near > far > 0.4
    np.testing.assert_array_equal(draw("brain", (96, 96), range(1, 3), 0), slices[1:])


def _smooth_magnitude():
    return draw("knee", (48, 40), range(2), 0)


@pytest.mark.parametrize("oversampling", [1, 2])
@pytest.mark.parametrize("plane", ["axial", "coronal"])
def test_without_noise_kspace_is_the_transform_of_maps_times_image(oversampling, plane):
    magnitude = _smooth_magnitude()
    kspace, maps, image = simulate_volume(
        magnitude, 5, 0, snr_db=200, oversampling=oversampling, plane=plane, pixel_mm=3.0
    )
    assert (kspace.dtype, maps.dtype, image.dtype) == (np.complex64,) * 3
    assert kspace.shape == (2, 5, 48 * oversampling, 40)
    padded = np.zeros(kspace.shape, complex)
    top = (48 * oversampling - 48) // 2
    padded[:, :, top : top + 48] = maps * image[:, None].astype(complex)
    expected = centred_fft(padded)
    # float32 transforms of 2,000 points: 1e-6 of the largest sample
    assert np.abs(kspace - expected).max() < 1e-6 * np.abs(expected).max()
    np.testing.assert_allclose(np.abs(image), magnitude, atol=1e-6)
    np.testing.assert_allclose((np.abs(maps) ** 2).sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(root_sum_of_squares(kspace, 48), magnitude, atol=1e-5)


@pytest.mark.parametrize("snr_db", [10.0, 30.0])
def test_the_snr_is_the_one_asked_for_in_every_coil_and_combined(snr_db):
    magnitude = _smooth_magnitude()
    noisy, maps, image = simulate_volume(magnitude, 6, 3, snr_db=snr_db, pixel_mm=3.0)
    clean, _, _ = simulate_volume(magnitude, 6, 3, snr_db=200, pixel_mm=3.0)
    signal = np.abs(image)[magnitude > 0.05 * magnitude.max()].mean()
    per_coil = (noisy - clean).std(axis=(0, 2, 3))
    # 3,840 complex samples: a standard deviation is known to 1 / sqrt(2 * 3840) = 1.1 %; 0.4 dB is four of those
    np.testing.assert_allclose(20 * np.log10(signal / per_coil), snr_db, atol=0.4)
    combined = (maps.conj() * centred_ifft(noisy - clean)).sum(1)
    assert 20 * np.log10(signal / combined.std()) == pytest.approx(snr_db, abs=0.4)


def test_phase_is_smooth_seeded_and_can_be_left_out():
    magnitude = np.ones((1, 64, 64))
    _, _, real = simulate_volume(magnitude, 2, 0, phase=0.0, pixel_mm=2.5)
    assert (real.imag == 0).all()
    _, _, image = simulate_volume(magnitude, 2, 0, pixel_mm=2.5)
    assert np.abs(np.angle(image[0, 1:] * image[0, :-1].conj())).max() < 0.3
    assert np.angle(image).std() > 0.2
    _, _, other = simulate_volume(magnitude, 2, 1, pixel_mm=2.5)
    assert np.abs(image - other).max() > 0.1


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"magnitude": np.ones((8, 8))}, "magnitude"),
        ({"magnitude": np.zeros((1, 8, 8))}, "magnitude"),
        ({"magnitude": -np.ones((1, 8, 8))}, "magnitude"),
        ({"magnitude": np.full((1, 8, 8), np.nan)}, "magnitude"),
        ({"coils": 0}, "`coils`"),
        ({"seed": -1}, "`seed`"),
        ({"snr_db": float("nan")}, "`snr_db`"),
        ({"oversampling": 0}, "`oversampling`"),
    ],
)
def test_bad_arguments_are_refused_by_name(changed, named):
    with pytest.raises(InputError, match=named):
        simulate_volume(**{"magnitude": np.ones((1, 8, 8)), "coils": 2, "seed": 0, **changed})


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("elbow", (64, 64), range(1), 0), "`anatomy`"),
        (("knee", (16, 64), range(1), 0), "`shape`"),
        (("knee", (64, 64), range(0), 0), "`slices`"),
        (("knee", (64, 64), range(30, 31), 0), "`slices`"),
        (("knee", (64, 64), range(1), -1), "`seed`"),
    ],
)
def test_a_drawing_out_of_range_is_refused_by_name(arguments, named):
    with pytest.raises(InputError, match=named):
        draw(*arguments)
