"""BKSE's blur model: names and shapes of the published definition, its function, its derivatives, its files.

The authors' weights are not here: random ones of a narrow network, and the published names written out once more.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from operator_checks import faults
from photographs import assert_linearized, part, photograph
from torch import Tensor
from torch.nn import functional

from ugodit.errors import InputError
from ugodit.io.blur_weights import read_blur_weights
from ugodit.operators.encoded_blur import EncodedBlurOperator, blur_network, random_code
from ugodit.operators.encoded_blur_network import BlurNetwork


def published(width: int = 64, front: int = 10, back: int = 20) -> dict[str, tuple[int, ...]]:
    """Names and shapes by the definition of KernelWizard in the authors' repository (norm: none, kernel_dim: 512)."""
    n = width
    convolutions = {f"feature_extractor.{index}": (n, 3 if index == 0 else n, 3, 3) for index in (0, 2, 4)}
    for trunk, first, count in (("feature_extractor", 6, front), ("recon_trunk", 0, back)):
        for block in range(count):
            for which in (1, 2):
                convolutions[f"{trunk}.{first + block}.conv{which}"] = (n, n, 3, 3)
    for index, shape in enumerate([(4 * n, n), (4 * n, n), (n, n), (3, n)]):
        convolutions[f"recon_trunk.{back + (0, 3, 6, 8)[index]}"] = (*shape, 3, 3)
    shapes = {f"{name}.weight": shape for name, shape in convolutions.items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in convolutions.items()}
    # Levels from the outermost in: channels outside and inside. A transposed convolution has its inputs first.
    for level, (outer, inner) in enumerate([(1, 1), (1, 2), (2, 4), (4, 8), (8, 8)]):
        name = "adapter.model" + ".submodule" * level
        shapes[f"{name}.down.{min(level, 1)}.weight"] = (inner * n, outer * n, 4, 4)
        shapes[f"{name}.up.1.weight"] = (2 * inner * n, outer * n, 4, 4)
    return shapes | {"adapter.model.up.1.bias": (n,)}


SMALL = (2, 1, 2)


def small(seed: int = 0) -> BlurNetwork:
    """A narrow network whose blur is strong enough to matter."""
    torch.manual_seed(seed)
    network = BlurNetwork(*SMALL).requires_grad_(False).eval()
    for weight in network.parameters():
        weight.mul_(1.5)
    return network


def by_hand(weights: dict[str, Tensor], image: Tensor, code: Tensor) -> Tensor:
    """The published forward pass, layer by layer, by names."""
    _, front, back = SMALL

    def convolved(name: str, x: Tensor, stride: int = 1) -> Tensor:
        return functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride, 1)

    def residual(name: str, x: Tensor) -> Tensor:
        return x + convolved(f"{name}.conv2", torch.relu(convolved(f"{name}.conv1", x)))

    def leaky(x: Tensor) -> Tensor:
        return functional.leaky_relu(x, 0.1)

    def level(depth: int, x: Tensor) -> Tensor:
        name = "adapter.model" + ".submodule" * depth
        x = x if depth == 0 else functional.leaky_relu(x, 0.2)  # in place: what is passed on has been through it
        within = functional.conv2d(x, weights[f"{name}.down.{min(depth, 1)}.weight"], None, 2, 1)
        within = torch.cat((within, code), 1) if depth == 4 else level(depth + 1, within)
        up, bias = weights[f"{name}.up.1.weight"], weights.get(f"{name}.up.1.bias")
        changed = functional.conv_transpose2d(torch.relu(within), up, bias, 2, 1)
        return torch.tanh(changed) if depth == 0 else torch.cat((changed, x), 1)

    x = leaky(convolved("feature_extractor.0", image))
    x = leaky(convolved("feature_extractor.2", x, 2))
    x = leaky(convolved("feature_extractor.4", x, 2))
    for block in range(front):
        x = residual(f"feature_extractor.{6 + block}", x)
    x = level(0, x)
    for block in range(back):
        x = residual(f"recon_trunk.{block}", x)
    for index in (0, 3):
        x = leaky(functional.pixel_shuffle(convolved(f"recon_trunk.{back + index}", x), 2))
    return image + convolved(f"recon_trunk.{back + 8}", leaky(convolved(f"recon_trunk.{back + 6}", x)))


def measured(items: int = 1, noise: float = 0.02) -> tuple[EncodedBlurOperator, Tensor]:
    network = small()
    image = torch.cat([photograph(3, 128, 128, seed=seed) for seed in range(items)])
    empty = [
        EncodedBlurOperator.from_measurements(image[:1], network, random_code(network, 128, 128, seed), sigma=noise)
        for seed in range(items)
    ]
    operator = EncodedBlurOperator.stack(empty)
    y = operator.forward(image) + noise * torch.randn(image.shape)
    return type(operator)(**(vars(operator) | {"measurements": y})), image


def test_names_and_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        network = BlurNetwork()
    assert {name: tuple(weight.shape) for name, weight in network.state_dict().items()} == published()


def test_the_function_is_the_published_one() -> None:
    network = small()
    image = torch.rand(2, 3, 128, 256)
    code = torch.cat([random_code(network, 128, 256, seed) for seed in (0, 1)])
    expected = by_hand(network.state_dict(), image, code)
    torch.testing.assert_close(network(image, code), expected)
    assert float((expected - image).norm()) > 0.05 * float(image.norm())


def test_it_keeps_the_protocol() -> None:
    operator, _ = measured()
    # The first two as for the other non-linear operator; and an empty image is not quite black when it is blurred.
    assert set(faults(operator, 0)) <= {"proximal", "derivatives", "energy"}


@pytest.mark.parametrize("whole", [True, False])
def test_derivatives(whole: bool) -> None:
    operator, image = measured()
    operator = (operator if whole else part(operator)).to(torch.float64).scaled(1.5)  # type: ignore[assignment]
    image = 1.5 * image.double()
    assert_linearized(operator, image)


def test_the_minimum_and_its_derivatives() -> None:
    operator, image = measured()
    operator, image = operator.to(torch.float64), image.double()
    start, mu = image + 0.05 * torch.randn(image.shape), torch.tensor([0.5], dtype=torch.float64)
    solved = operator.proximal(start, mu, 2)
    left = operator.gradient(solved) + mu.view(-1, 1, 1, 1) * (solved - start)
    # Piecewise linear: near the minimum kinks are crossed, each of a pixel's weight.
    assert float(left.norm()) < 1e-3 * float(operator.gradient(start).norm())
    # How the minimum follows u: x' = mu (H + mu)^-1 u', with H as it is tested above.
    direction = torch.randn(image.shape).double()
    (found,) = torch.autograd.grad((operator.proximal(start.requires_grad_(), mu, 2) * direction).sum(), start)
    linear = operator.linearized(solved)
    back = linear.hessian(found, operator.residual(solved)) / mu + found
    torch.testing.assert_close(back, direction, rtol=0, atol=1e-5)


def test_codes_are_seeded() -> None:
    network = small()
    code = random_code(network, 256, 128, 3)
    assert code.shape == (1, 16, 2, 1)
    assert torch.equal(code, random_code(network, 256, 128, 3))
    assert not torch.equal(code, random_code(network, 256, 128, 4))
    torch.testing.assert_close(random_code(network, 256, 128, 3, 2.4), 2 * code)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """As the authors' files have them: the part that reads codes is in them too."""
    found = {name: torch.zeros(shape) for name, shape in published().items()}
    return found | {"kernel_extractor.model.1.weight": torch.zeros(64, 128, 7, 7)}


def test_published_weights_come_from_their_file(weights: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(weights, tmp_path / "GOPRO_woVAE.pth")
    network = blur_network(read_blur_weights(tmp_path / "GOPRO_woVAE.pth"))
    assert network.code_channels == 512
    assert not any(weight.requires_grad for weight in network.parameters())
    # Weights of zero blur nothing.
    image = torch.rand(1, 3, 128, 128)
    assert torch.equal(network(image, random_code(network, 128, 128, 0)), image)


LAYER = "recon_trunk.28.weight"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({LAYER: None}, f"blur weights: expected a layer {LAYER}, got none; is this a file of BKSE"),
        ({"encoder.0.weight": torch.zeros(1)}, "blur weights: got a layer encoder.0.weight, which BKSE does not have"),
        ({LAYER: torch.zeros(3, 32, 3, 3)}, f"blur weights: {LAYER}: expected .3, 64, 3, 3., got .3, 32, 3, 3."),
        ({LAYER: torch.full((3, 64, 3, 3), torch.nan)}, f"blur weights: {LAYER}: expected finite numbers, got NaN"),
    ],
)
def test_weights_of_something_else(weights: dict[str, Tensor], changes: dict[str, Any], message: str) -> None:
    changed = {name: weight for name, weight in (weights | changes).items() if weight is not None}
    with pytest.raises(InputError, match=f"^{message}") as error:
        blur_network(changed)
    assert "\n" not in str(error.value)


class Runs:
    """What would run when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a file of blur weights, as torch.save writes it, cannot read it; download"),
        (b"PK\x03\x04 and no more", "expected a file of blur weights"),
        (Runs(), "expected a file of blur weights"),
        ([torch.zeros(3)], "expected named tensors, got list"),
        ({}, "expected named tensors, got dict"),
        ({"epoch": 3}, "epoch: expected a tensor of real numbers, got int"),
        ({"a": torch.zeros(3, dtype=torch.int64)}, "a: expected a tensor of real numbers, got Tensor"),
    ],
)
def test_files_that_hold_no_weights(
    content: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(InputError, match=f"^{path}: {message}") as error:
        read_blur_weights(path)
    assert "\n" not in str(error.value)
    assert not Path("ran").exists()


def test_sizes_that_do_not_go_together(tmp_path: Path) -> None:
    network = small()
    with pytest.raises(InputError, match=r"^image: expected rows and columns that are multiples of 128, got 128 x 130"):
        random_code(network, 128, 130, 0)
    code = random_code(network, 128, 128, 0)
    for image in (torch.rand(1, 1, 128, 128), torch.rand(1, 3, 128, 256), torch.rand(1, 3, 100, 128)):
        with pytest.raises(ValueError, match=r"^code: expected \(1, 16, \d, \d\) for RGB images of multiples of 128"):
            EncodedBlurOperator.from_measurements(image, network, code)
    one = EncodedBlurOperator.from_measurements(torch.rand(1, 3, 128, 128), network, code)
    other = EncodedBlurOperator.from_measurements(torch.rand(1, 3, 128, 128), small(1), code)
    with pytest.raises(ValueError, match=r"^operators: expected one image size and one kind of measurement"):
        EncodedBlurOperator.stack([one, other])
