"""The camera's curves: sRGB as its standard writes it, derivatives, and the way back."""

import math
from typing import Any

import pytest
import torch

from ugodit.data.camera import JOIN, SLOPE, Camera
from ugodit.errors import InputError

PLAIN = Camera(exposure=1.0, shoulder=0.999)
"""Up to 0.999 its response is sRGB's code alone."""
NUMBERS = torch.linspace(-0.2, 1.5, 500, dtype=torch.float64)


def srgb_to_light(value: float) -> float:
    """IEC 61966-2-1, with its rounded constants."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def test_light_is_srgbs() -> None:
    found = Camera().light(NUMBERS)
    expected = [srgb_to_light(value) for value in NUMBERS.tolist()]
    # The standard's join is rounded: between the two joins the power and the line differ by this much at most.
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=2e-5)
    assert pytest.approx(12.92, abs=0.01) == 1 / SLOPE


def test_the_code_undoes_the_light() -> None:
    inside = NUMBERS[NUMBERS < 0.99]
    torch.testing.assert_close(PLAIN.response(PLAIN.light(inside)), inside)


def test_the_shoulder() -> None:
    camera, light = Camera(exposure=1.25, shoulder=0.8), torch.linspace(0, 4, 100, dtype=torch.float64)
    found = camera.light(camera.response(light))
    for value, got in zip(light.tolist(), found.tolist(), strict=True):
        exposed = 1.25 * value
        expected = exposed if exposed <= 0.8 else 0.8 + 0.2 * (1 - math.exp(-(exposed - 0.8) / 0.2))
        assert got == pytest.approx(expected, abs=1e-12)
    assert float(camera.response(light).max()) <= 1


@pytest.mark.parametrize("curve", ["light", "response"])
@pytest.mark.parametrize("camera", [Camera(), PLAIN, Camera(0.5, 0.3)], ids=repr)
def test_slopes_are_the_derivatives(curve: str, camera: Camera) -> None:
    numbers = NUMBERS.clone().requires_grad_()
    (first,) = torch.autograd.grad(getattr(camera, curve)(numbers).sum(), numbers, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), numbers)
    found = getattr(camera, f"{curve}_slopes")(NUMBERS)
    torch.testing.assert_close(found[0], first.detach())
    torch.testing.assert_close(found[1], second)


@pytest.mark.parametrize("curve", ["light", "response"])
def test_slopes_do_not_jump(curve: str) -> None:
    """Where one piece meets the next: JOIN, its light, and the shoulder."""
    camera = Camera()
    for join in (JOIN, SLOPE * JOIN / camera.exposure, camera.shoulder / camera.exposure):
        beside = torch.tensor([join - 1e-9, join + 1e-9], dtype=torch.float64)
        slopes = getattr(camera, f"{curve}_slopes")(beside)[0]
        assert float(slopes[0]) == pytest.approx(float(slopes[1]), rel=1e-5)


def test_development_undoes_the_camera() -> None:
    camera, image = Camera(), torch.linspace(-0.1, 1, 200, dtype=torch.float64)
    torch.testing.assert_close(camera.developed(camera.response(camera.light(image))), image)
    # What no light in [0, 1] gives: noise above white is white.
    assert float(camera.developed(torch.tensor(1.2, dtype=torch.float64))) == pytest.approx(1)


def test_single_precision_stays_finite() -> None:
    camera, extreme = Camera(), torch.tensor([-1e3, -1.0, 0.0, 1.0, 3.0, 1e3], requires_grad=True)
    for curve in (camera.light, camera.response, camera.developed):
        value = curve(extreme)
        (slope,) = torch.autograd.grad(value.sum(), extreme)
        assert bool(torch.isfinite(value).all())
        assert bool(torch.isfinite(slope).all())
    for slopes in (camera.light_slopes, camera.response_slopes):
        assert all(bool(torch.isfinite(slope).all()) for slope in slopes(extreme.detach()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exposure": 0.0}, "`exposure`: expected a number from 0.01 to 100, got 0.0"),
        ({"exposure": float("nan")}, "`exposure`"),
        ({"shoulder": 1.0}, "`shoulder`: expected a number above 0 and below 1, got 1.0"),
        ({"shoulder": 0.0}, "`shoulder`"),
    ],
)
def test_settings_that_no_camera_has(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        Camera(**changes)
