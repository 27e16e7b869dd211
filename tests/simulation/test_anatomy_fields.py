import numpy as np
import pytest

from ugodit.simulation.anatomy.fields import Canvas, capsule, contour, ellipse, inside, intersection, union


def _canvas(seed=0, position=0.0, shape=(128, 96)):
    return Canvas(shape, 0.5, position, seed)


@pytest.mark.parametrize("spread", [1.0, 0.5, 0.25])
@pytest.mark.parametrize("shape", [(128, 96), (127, 95)])
def test_a_field_has_mean_0_and_variance_1(spread, shape):
    fields = np.stack([_canvas(seed, shape=shape).field("a", 6.0, spread=spread) for seed in range(40)])
    # A field of wavelength 6 mm on 64 x 48 mm has some 80 independent patches: 40 of them give 3,200 samples, so the
    # variance is known to sqrt(2 / 3200) = 2.5 %; four times that is the tolerance.
    assert abs(fields.mean()) < 0.02
    assert fields.var() == pytest.approx(1.0, abs=0.1)


def test_a_band_field_lies_in_its_band_and_stretch_is_vertical():
    def frequencies(stretch):
        power = sum(np.abs(np.fft.fft2(_canvas(s).field("a", 6.0, spread=0.2, stretch=stretch))) ** 2 for s in range(8))
        vertical, horizontal = np.fft.fftfreq(128, 0.5)[:, None], np.fft.fftfreq(96, 0.5)[None]
        total = power.sum()
        return np.sqrt((power * vertical**2).sum() / total), np.sqrt((power * horizontal**2).sum() / total)

    vertical, horizontal = frequencies(1.0)
    # a ring of radius 1 / 6 per mm has a root mean square of 1 / (6 sqrt 2) along each axis, plus the band's width
    assert vertical == pytest.approx(1 / (6 * np.sqrt(2)), rel=0.1)
    assert horizontal == pytest.approx(1 / (6 * np.sqrt(2)), rel=0.1)
    stretched, across = frequencies(3.0)
    assert stretched < 0.5 * vertical
    assert across > 0.8 * horizontal


def test_fields_are_seeded_named_and_continuous_through_the_slices():
    first = _canvas().field("a", 10.0)
    np.testing.assert_array_equal(first, _canvas().field("a", 10.0))
    near, far = _canvas(position=0.5).field("a", 10.0), _canvas(position=15.0).field("a", 10.0)
    assert np.corrcoef(first.ravel(), near.ravel())[0, 1] > 0.98
    assert np.corrcoef(first.ravel(), far.ravel())[0, 1] < 0.7
    for other in (_canvas(seed=1).field("a", 10.0), _canvas().field("b", 10.0)):
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.6
    assert _canvas().number("n", 2, 3) == _canvas(position=9).number("n", 2, 3) != _canvas(seed=1).number("n", 2, 3)


def test_shapes_are_distances_near_their_outlines():
    x, y = _canvas().axes()
    exact = np.hypot(x - 3, y + 2) - 10
    close = np.abs(exact) < 1
    np.testing.assert_allclose(ellipse(x, y, (3, -2), (10, 10))[close], exact[close], atol=0.1)
    segment = capsule(x, y, (-5, 0), (5, 0), 2)
    np.testing.assert_allclose(segment, np.hypot(np.maximum(np.abs(x) - 5, 0), y) - 2, atol=1e-12)
    far = ellipse(x, y, (20, 0), (5, 5)), ellipse(x, y, (-20, 0), (5, 5))
    np.testing.assert_allclose(union(*far, 1e-6), np.minimum(*far), atol=1e-5)
    np.testing.assert_allclose(intersection(*far, 1e-6), np.maximum(*far), atol=1e-5)
    np.testing.assert_allclose(contour(3 * (x - 0.2), 0.5), x - 0.2, rtol=1e-3, atol=1e-3)


def test_soft_edges_cover_half_a_pixel_on_each_side():
    np.testing.assert_allclose(inside(np.array([-1.0, -0.25, 0.0, 0.25, 1.0]), 1.0), [1, 0.75, 0.5, 0.25, 0])
