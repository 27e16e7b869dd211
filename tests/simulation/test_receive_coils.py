import numpy as np
import pytest

from ugodit.simulation.receive_coils import _received, coil_maps


def test_the_field_on_a_loops_axis_is_the_textbooks():
    radius, heights = 40.0, np.array([0.0, 10.0, 35.0, 80.0])
    around = np.linspace(0, 2 * np.pi, 721)[:, None]
    loop = radius * (np.cos(around) * np.array([0, 1.0, 0]) + np.sin(around) * np.array([0, 0, 1.0]))
    points = np.stack((heights, 0 * heights, 0 * heights), -1)[None]
    field = _received(points, loop)[0]
    # 2 pi R^2 / (R^2 + h^2)^(3/2) in units of mu_0 I / 4 pi; the wire's width softens R^2 by 6^2
    expected = 2 * np.pi * radius**2 / (radius**2 + heights**2 + 36.0) ** 1.5
    np.testing.assert_allclose(field.real, expected, rtol=1e-4)
    np.testing.assert_allclose(field.imag, 0, atol=1e-4 * expected.max())


@pytest.mark.parametrize("plane", ["axial", "coronal"])
@pytest.mark.parametrize("coils", [1, 2, 7, 8, 15, 32])
def test_maps_have_unit_norm_and_are_smooth(plane, coils):
    shape = (64, 48)
    maps, strength = coil_maps(shape, coils, 0, pixel_mm=2.5, half_size_mm=(70, 55), plane=plane)
    assert maps.shape == (coils, *shape)
    assert maps.dtype == np.complex64
    np.testing.assert_allclose((np.abs(maps) ** 2).sum(0), 1, atol=1e-5)
    assert strength.min() > 0
    inner = maps[:, 16:48, 12:36]
    # Fields vary over centimetres: 2.5 mm change a map by a fraction
    assert np.abs(np.diff(inner, axis=-1)).max() < 0.25
    assert np.abs(np.diff(inner, axis=-2)).max() < 0.25


def test_maps_are_seeded_and_coils_see_different_things():
    def maps(seed, position=0.0):
        return coil_maps((64, 64), 8, seed, pixel_mm=3, half_size_mm=(80, 80), position_mm=position)[0]

    np.testing.assert_array_equal(maps(0), maps(0))
    assert np.abs(maps(0) - maps(1)).max() > 0.05
    assert 0 < np.abs(maps(0) - maps(0, 3.0)).max() < 0.5
    singular = np.linalg.svd(maps(0)[:, 8:56, 8:56].reshape(8, -1), compute_uv=False)
    assert singular[-1] > 0.05 * singular[0]
