"""Haar shrinkage: an orthonormal transform, the same in every copy and in plain torch, complex numbers kept whole."""

import pytest
import torch

from ugodit.kernels.wavelets import LEVELS, in_torch, shrink_wavelets

SIZES = [(32, 48), (37, 50), (1, 1), (3, 17), (150, 211)]
SHIFTS = [(0, 0), (3, 7), (15, 15)]


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("size", SIZES)
def test_like_plain_torch_in_double(size: tuple[int, int], shift: tuple[int, int], variant: str) -> None:
    image, weight = torch.randn(3, 2, *size), torch.tensor([0.1, 1.0, 5.0])
    expected = in_torch(image.double(), weight.double(), shift)
    # Coarse coefficients are up to 2^4 single precision numbers of order one; the loops round a few times a scale.
    torch.testing.assert_close(shrink_wavelets(image, weight, shift).double(), expected, rtol=0, atol=1e-5)


def test_same_bits_for_any_number_of_threads(variant: str, threads: None) -> None:
    image, weight = torch.randn(2, 2, 150, 70), torch.tensor([0.3, 0.7])
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(shrink_wavelets(image, weight, (5, 9)))
    assert all(torch.equal(result, results[0]) for result in results)


@pytest.mark.parametrize("channels", [1, 3])
def test_all_channels_of_a_pixel_are_shrunk_together(channels: int) -> None:
    image, weight = torch.randn(2, channels, 40, 24), torch.tensor([0.3, 0.1])
    # One channel beside nothing but zeros is a complex image without an imaginary part.
    alone = shrink_wavelets(torch.cat([image[:, :1], torch.zeros_like(image[:, :1])], 1), weight, (1, 2))[:, :1]
    found = shrink_wavelets(image, weight, (1, 2))
    if channels == 1:
        torch.testing.assert_close(found, alone)
    else:
        # Of grey images all channels are equal, and the magnitude is sqrt(3) times that of one.
        grey = shrink_wavelets(image[:, :1].expand(-1, 3, -1, -1), weight * 3**0.5, (1, 2))
        torch.testing.assert_close(grey, alone.expand(-1, 3, -1, -1))
        assert not torch.allclose(found[:, :1], alone)


def test_other_strides() -> None:
    image, weight = torch.randn(1, 40, 30, 2).permute(0, 3, 1, 2), torch.tensor([0.3])
    assert torch.equal(shrink_wavelets(image, weight, (1, 2)), shrink_wavelets(image.contiguous(), weight, (1, 2)))


@pytest.mark.parametrize(
    ("image", "weight", "shift", "name"),
    [
        (torch.zeros(3, 8, 8), torch.zeros(1), (0, 0), "image"),
        (torch.zeros(1, 2, 8, 8, dtype=torch.complex64), torch.zeros(1), (0, 0), "image"),
        (torch.zeros(2, 2, 8, 8), torch.zeros(1), (0, 0), "weight"),
        (torch.zeros(1, 2, 8, 8), torch.zeros(1).double(), (0, 0), "weight"),
        (torch.zeros(1, 2, 8, 8), torch.zeros(1), (0, 16), "shift"),
    ],
)
def test_refused(image: torch.Tensor, weight: torch.Tensor, shift: tuple[int, int], name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        shrink_wavelets(image, weight, shift)


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("size", SIZES)
def test_weight_zero_gives_the_image_back(size: tuple[int, int], shift: tuple[int, int], variant: str) -> None:
    image = torch.randn(2, 2, *size)
    # Four levels of sums and differences of single precision numbers of order one.
    torch.testing.assert_close(shrink_wavelets(image, torch.zeros(2), shift), image, rtol=0, atol=5e-6)


def test_a_large_weight_leaves_the_coarse_means(variant: str) -> None:
    image = torch.randn(1, 2, 32, 32)
    blocks = shrink_wavelets(image, torch.tensor([1e6]), (0, 0))
    size = 2**LEVELS
    means = image.unfold(2, size, size).unfold(3, size, size).mean((-1, -2))
    torch.testing.assert_close(blocks, means.repeat_interleave(size, 2).repeat_interleave(size, 3), rtol=0, atol=1e-5)


def test_shrinking_is_the_proximal_map_of_an_orthonormal_transform() -> None:
    # For an orthonormal W, x - shrink(x) has coefficients of magnitude weight at most, and its inner product with
    # shrink(x) is weight times the coefficients' sum: so |x|^2 = |s|^2 + |x - s|^2 + 2 <s, x - s> with <s, x - s> >= 0.
    image, weight = torch.randn(1, 2, 16, 16).double(), torch.tensor([0.5]).double()
    shrunk = shrink_wavelets(image, weight, (0, 0))
    again = shrink_wavelets(image, 2 * weight, (0, 0))
    # Shrinking by a and then by b is shrinking by a + b: true of soft thresholds in an orthonormal basis only.
    torch.testing.assert_close(shrink_wavelets(shrunk, weight, (0, 0)), again)
    assert float((shrunk * (image - shrunk)).sum()) > 0


def test_complex_coefficients_keep_their_phase(variant: str) -> None:
    turned = torch.randn(1, 2, 16, 16)
    quarter = torch.stack((-turned[:, 1], turned[:, 0]), dim=1)
    weight = torch.tensor([0.5])
    shrunk, expected = (shrink_wavelets(image, weight, (2, 3)) for image in (quarter, turned))
    torch.testing.assert_close(shrunk, torch.stack((-expected[:, 1], expected[:, 0]), dim=1))
