"""Degradations: what they do, how they are recorded, and what they cannot be done to."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from photographs import LINEAR, NONLINEAR, photograph
from torch import Tensor

from ugodit.data.blur_degradations import KernelBlur
from ugodit.data.degradations import (
    DEGRADATIONS,
    BoxInpainting,
    Degradation,
    Denoising,
    GaussianBlur,
    MotionBlur,
    NonlinearBlur,
    RandomInpainting,
    SuperResolution,
    degradation,
)
from ugodit.errors import InputError

KERNEL = KernelBlur(kernel=[[0, 1, 0], [1, 2, 1], [0, 0, 3]])  # type: ignore[arg-type]
ALL = [*LINEAR.values(), NONLINEAR, KERNEL]
EVERY = pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.task)


@EVERY
@pytest.mark.parametrize("channels", [1, 3])
def test_noise_is_added_where_something_is_measured(kind: Degradation, channels: int) -> None:
    image = photograph(channels, 48, 96)
    clean, noisy = kind.clean(image), kind.apply(image)
    assert noisy.shape == clean.shape
    assert noisy.shape[1] == channels
    assert noisy.dtype == torch.float32
    mask = kind.mask(*noisy.shape[-2:])
    every = torch.ones(noisy.shape[-2:], dtype=torch.bool) if mask is None else mask
    noise = (noisy - clean)[..., every]
    assert not bool((noisy - clean)[..., ~every].any())
    # 0.05 in [-1, 1]; the standard deviation of n numbers has an error of 1 / sqrt(2 n), five of which are allowed.
    assert kind.sigma == 0.025
    assert float(noise.std()) == pytest.approx(0.025, rel=5 / (2 * noise.numel()) ** 0.5)
    assert torch.equal(noisy, kind.apply(image))
    assert not torch.equal(noisy, dataclasses.replace(kind, noise_seed=1).apply(image))
    assert torch.equal(dataclasses.replace(kind, noise=0).apply(image), clean)


def test_items_of_a_batch_have_noise_of_their_own() -> None:
    images = torch.cat([photograph(seed=seed) for seed in (0, 1)])
    together = Denoising(noise_seed=5).apply(images)
    for item in (0, 1):
        assert torch.equal(together[item : item + 1], Denoising(noise_seed=5 + item).apply(images[item : item + 1]))


@EVERY
def test_random_states_are_left_alone(kind: Degradation) -> None:
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    kind.apply(photograph())
    assert torch.equal(torch.random.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


@EVERY
def test_a_record_comes_back(kind: Degradation) -> None:
    record = json.loads(json.dumps(kind.to_dict()))
    assert degradation(**record) == kind
    assert hash(degradation(**record)) == hash(kind)


def test_the_tasks_have_the_defaults_of_dps() -> None:
    assert set(DEGRADATIONS) == {
        "superres",
        "gaussian_blur",
        "motion_blur",
        "kernel_blur",
        "nonlinear_blur",
        "inpaint_random",
        "inpaint_box",
        "denoise",
    }
    assert degradation("superres") == SuperResolution(factor=4, noise=0.05)
    assert degradation("gaussian_blur") == GaussianBlur(size=61, width=3.0, boundary="reflect")
    assert degradation("motion_blur") == MotionBlur(size=61, intensity=0.5)
    assert degradation("inpaint_random") == RandomInpainting(missing=0.92)
    assert degradation("inpaint_box") == BoxInpainting(side=128, margin=16)
    assert repr(Denoising(noise=0)) == repr(Denoising(noise=0.0))


def test_blurs_are_scipys() -> None:
    image = photograph().double()
    for kind in (KERNEL, LINEAR["gaussian"], LINEAR["motion"]):
        kernel = kind.psf()  # type: ignore[attr-defined]
        found = kind.clean(image)
        for channel in range(3):
            expected = scipy.ndimage.convolve(image[0, channel].numpy(), kernel, mode="mirror")
            np.testing.assert_allclose(found[0, channel].numpy(), expected, atol=1e-12)


def test_nonlinear_blur_is_its_parts() -> None:
    """In linear light, by the standard's formula; exposed; compressed; encoded by the standard's formula."""
    image = photograph().double()
    x = image.numpy()
    light = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    blurred = np.stack([scipy.ndimage.convolve(plane, NONLINEAR.psf(), mode="mirror") for plane in light[0]])
    exposed = 1.25 * blurred
    compressed = np.where(exposed < 0.8, exposed, 0.8 + 0.2 * (1 - np.exp(-(exposed - 0.8) / 0.2)))
    encoded = np.where(compressed <= 0.0031308, 12.92 * compressed, 1.055 * compressed ** (1 / 2.4) - 0.055)
    # The standard's constants are rounded: its code and ours differ by 2e-5 near black.
    np.testing.assert_allclose(NONLINEAR.clean(image)[0].numpy(), encoded, atol=5e-5)


@pytest.mark.parametrize(("missing", "expected"), [(0.0, 0), (0.5, 576), (0.92, 1059), (0.99999, 1151)])
def test_pixels_at_random(missing: float, expected: int) -> None:
    kind = RandomInpainting(missing=missing, seed=4)
    mask = kind.mask(24, 48)
    assert int((~mask).sum()) == expected
    assert torch.equal(mask, kind.mask(24, 48))
    if missing == 0.5:
        assert not torch.equal(mask, dataclasses.replace(kind, seed=5).mask(24, 48))
    image = photograph()
    assert torch.equal(kind.clean(image), image * mask)


def test_a_box_is_somewhere_inside() -> None:
    places = set()
    for seed in range(30):
        mask = BoxInpainting(side=4, margin=2, seed=seed).mask(9, 10)
        rows, columns = (~mask).any(1).nonzero().flatten(), (~mask).any(0).nonzero().flatten()
        assert int((~mask).sum()) == 16
        assert len(rows) == len(columns) == 4
        assert 2 <= int(rows[0]) <= 3
        assert 2 <= int(columns[0]) <= 4
        places.add((int(rows[0]), int(columns[0])))
    assert len(places) == 6


@EVERY
@pytest.mark.parametrize("device", [pytest.param("cuda", marks=pytest.mark.gpu), "cpu"])
def test_dtypes_and_devices(kind: Degradation, device: str) -> None:
    image = photograph().to(device)
    found = kind.apply(image)
    assert found.device == image.device
    double = kind.apply(image.double())
    assert double.dtype == torch.float64
    # Roundings of single precision in a transform of a few hundred points.
    torch.testing.assert_close(found, double.float(), rtol=0, atol=5e-6)
    torch.testing.assert_close(found.cpu(), kind.apply(photograph()), rtol=0, atol=5e-6)


@pytest.mark.parametrize(
    ("task", "fields", "message"),
    [
        ("sharpen", {}, "`task`: expected one of superres, gaussian_blur, .*, denoise, got 'sharpen'"),
        ("denoise", {"factor": 4}, "`factor`: not an option of the task denoise, which has noise, noise_seed"),
        ("kernel_blur", {}, "`kernel`: the task kernel_blur needs one"),
        ("kernel_blur", {"kernel": [[1, 2]]}, "`kernel`: expected an odd number of rows and columns"),
        ("superres", {"factor": 5}, "`factor`: expected one of 2, 3, 4, 8, got 5"),
        ("superres", {"noise": -0.1}, r"`noise`: expected a number from 0 to 2, of images in \[-1, 1\], got -0.1"),
        ("superres", {"noise": float("nan")}, "`noise`"),
        ("superres", {"noise_seed": -1}, "`noise_seed`: expected a whole number"),
        ("gaussian_blur", {"size": 4}, "`size`: expected an odd number"),
        ("gaussian_blur", {"width": 0}, "`width`: expected a number above 0"),
        ("motion_blur", {"intensity": 2}, "`intensity`"),
        ("motion_blur", {"seed": 2**32}, "`seed`"),
        ("motion_blur", {"boundary": "zero"}, "`boundary`: expected one of reflect, circular, got 'zero'"),
        ("inpaint_random", {"missing": 1.0}, "`missing`: expected a number from 0 to below 1, got 1.0"),
        ("inpaint_random", {"seed": -1}, "`seed`"),
        ("inpaint_box", {"side": 0}, "`side`: expected 1 pixel or more, got 0"),
        ("inpaint_box", {"margin": -1}, "`margin`"),
        ("nonlinear_blur", {"exposure": 0}, "`exposure`"),
        ("nonlinear_blur", {"size": 2}, "`size`"),
    ],
)
def test_fields_out_of_range(task: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}") as error:
        degradation(task, **fields)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("kind", "size", "message"),
    [
        (
            SuperResolution(factor=4),
            (30, 32),
            "image: expected rows and columns that are multiples of 4, got 30 x 32; ",
        ),
        (SuperResolution(factor=4), (32, 33), ".* crop it to 32 x 32"),
        (SuperResolution(factor=8), (4, 64), "image: expected 8 x 8 pixels or more to shrink it 8 times, got 4 x 64"),
        (GaussianBlur(), (30, 64), "`kernel`: one of 61 x 61 pixels needs an image of 31 x 31 or more, got 30 x 64"),
        (MotionBlur(boundary="circular"), (60, 64), "`kernel`: one of 61 x 61 pixels needs an image of 61 x 61"),
        (NonlinearBlur(), (1, 1), "`kernel`: one of 21 x 21 pixels needs an image of 11 x 11 or more, got 1 x 1"),
        (BoxInpainting(), (159, 300), "image: expected 160 x 160 pixels or more round a square of 128 with a margin"),
    ],
)
def test_images_that_are_too_small(kind: Degradation, size: tuple[int, int], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}") as error:
        kind.apply(torch.rand(1, 3, *size))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "image",
    [torch.rand(3, 8, 8), torch.rand(1, 4, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.rand(0, 3, 8, 8)],
)
def test_what_is_no_image(image: Tensor) -> None:
    with pytest.raises(ValueError, match=r"^image: expected float \(B, 1 or 3, H, W\), none of them 0, got torch"):
        Denoising().apply(image)


def test_numbers_that_are_none() -> None:
    image = photograph()
    image[0, 0, 0, 0] = torch.nan
    with pytest.raises(InputError, match=r"^image: expected finite numbers, got NaN or Inf"):
        Denoising().apply(image)
    with pytest.raises(InputError, match=r"^`noise`: expected a number to simulate measurements with"):
        Denoising(noise=None).apply(photograph())
