"""Symmetries and their inverses; the views of a mean; pictures."""

import math

import pytest
import torch
from torch import Tensor

from ugodit.operators.domain import MIRRORS, ComplexImages, Domain, Photographs, RealImages

DOMAINS = [ComplexImages(), ComplexImages(4), RealImages(), RealImages(3), Photographs(1), Photographs()]
EVERY = pytest.mark.parametrize("domain", DOMAINS, ids=repr)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def random_image(domain: Domain) -> Tensor:
    return torch.randn(2, domain.channels, 5, 4, generator=torch.Generator().manual_seed(1))


def as_complex(image: Tensor) -> Tensor:
    return torch.complex(image[:, 0::2], image[:, 1::2])


@EVERY
def test_turning_back_undoes(domain: Domain) -> None:
    image = random_image(domain)
    random = generator()
    mirrored = 0
    for _ in range(20):
        there, back = domain.symmetry(domain.random_symmetry(random))
        # Two rotations of single precision numbers of order one.
        torch.testing.assert_close(back(there(image)), image, rtol=0, atol=2e-6)
        mirrored += not torch.allclose(there(image).square().sum(1), image.square().sum(1))
    assert 0 < mirrored < 20


def test_complex_symmetries_from_their_numbers() -> None:
    domain, image = ComplexImages(), torch.randn(2, 2, 5, 6)
    for across in (0.0, 1.0):
        for down in (0.0, 1.0):
            there, back = domain.symmetry(torch.tensor([math.cos(0.7), math.sin(0.7), across, down]))
            axes = [axis for axis, wanted in ((-1, across), (-2, down)) if wanted]
            expected = (as_complex(image) * torch.exp(torch.tensor(0.7j))).flip(axes)
            torch.testing.assert_close(as_complex(there(image)), expected)
            torch.testing.assert_close(back(there(image)), image)


def test_phase_is_a_complex_factor_of_every_set() -> None:
    domain, image = ComplexImages(4), torch.randn(1, 4, 3, 3)
    there, _ = domain.symmetry(torch.tensor([math.cos(0.7), math.sin(0.7), 0, 0]))
    torch.testing.assert_close(as_complex(there(image)), as_complex(image) * torch.exp(torch.tensor(0.7j)))


def test_real_symmetries_from_their_numbers() -> None:
    domain, image = RealImages(3), torch.randn(2, 3, 5, 6)
    for across in (0, 1):
        for down in (0, 1):
            there, back = domain.symmetry(torch.tensor([across, down]))
            axes = [axis for axis, wanted in ((-1, across), (-2, down)) if wanted]
            assert torch.equal(there(image), image.flip(axes))
            assert torch.equal(back(there(image)), image)


def test_the_numbers_are_fair() -> None:
    random = generator()
    numbers = torch.stack([ComplexImages().random_symmetry(random) for _ in range(400)])
    assert numbers.shape == (400, 4)
    assert numbers.dtype == torch.float64
    torch.testing.assert_close(numbers[:, :2].square().sum(-1), torch.ones(400, dtype=torch.float64))
    assert set(numbers[:, 2:].unique().tolist()) == {0.0, 1.0}
    # 800 fair coins: five standard deviations are 0.09.
    assert abs(float(numbers[:, 2:].mean()) - 0.5) < 0.1
    # 400 points of a circle: the mean of each coordinate has a standard deviation of 0.035.
    assert float(numbers[:, :2].mean(0).abs().max()) < 0.18
    coins = torch.stack([RealImages().random_symmetry(random) for _ in range(400)])
    assert coins.shape == (400, 2)
    assert abs(float(coins.mean()) - 0.5) < 0.1
    assert len({tuple(pair) for pair in coins.tolist()}) == 4


@EVERY
def test_numbers_are_read_when_a_map_is_called(domain: Domain) -> None:
    """A step's choices are written into the same numbers, whose maps were made before."""
    image, random = random_image(domain), generator()
    numbers = domain.random_symmetry(random)
    there, back = domain.symmetry(numbers)
    for _ in range(5):
        numbers.copy_(domain.random_symmetry(random))
        expected = domain.symmetry(numbers.clone())[0](image)
        assert torch.equal(there(image), expected)
        torch.testing.assert_close(back(there(image)), image, rtol=0, atol=2e-6)


@EVERY
def test_a_compiler_may_trace_the_maps(domain: Domain) -> None:
    """Then, as on a GPU, the same operations serve any numbers: what was traced for some is right for others."""
    image, random = random_image(domain), generator()
    numbers = domain.random_symmetry(random)
    there, back = domain.symmetry(numbers)
    traced = torch.compile(lambda z: (there(z), back(z)), backend="aot_eager", fullgraph=True, dynamic=False)
    for _ in range(6):
        numbers.copy_(domain.random_symmetry(random))
        for got, expected in zip(traced(image), (there(image), back(image)), strict=True):
            torch.testing.assert_close(got, expected, rtol=0, atol=2e-6)
    torch.compiler.reset()


@EVERY
@pytest.mark.parametrize("kind", ["views", "extreme_views"])
def test_views_weigh_one_and_keep_what_has_their_symmetry(domain: Domain, kind: str) -> None:
    image = random_image(domain)
    views = getattr(domain, kind)
    assert sum(view.weight for view in views) == pytest.approx(1)
    assert all(view.weight > 0 for view in views)
    for view in views:
        assert torch.equal(view.back(view.there(image)), image)
    # A network that has all symmetries: each view of it is the network itself, and so is the mean.
    for view in views:
        torch.testing.assert_close(view.of(lambda z: z * z.abs())(image), image * image.abs())


def test_views_differ() -> None:
    image = torch.randn(1, 2, 5, 4)
    seen = [view.there(image) for view in ComplexImages().views]
    assert len(seen) == 2 * len(MIRRORS)
    assert all(not torch.equal(one, other) for i, one in enumerate(seen) for other in seen[:i])
    assert sum(
        v.weight for v in ComplexImages(negative=0.2).views if torch.equal(v.there(image).abs(), image.abs())
    ) == pytest.approx(0.25)
    first, second = ComplexImages().extreme_views
    assert torch.equal(first.there(image), image)
    assert torch.equal(second.there(image), -image)
    grey = torch.randn(1, 1, 5, 4)
    assert [v.there(grey).tolist() for v in RealImages().views] == [grey.flip(axes).tolist() for axes in MIRRORS]
    first, second = RealImages().extreme_views
    assert torch.equal(first.there(grey), grey)
    assert torch.equal(second.there(grey), grey.flip((-2, -1)))


def exchanged(image: Tensor, numbers: list[int]) -> Tensor:
    """Mirrored across, mirrored down, and then transposed, as the numbers say."""
    across, down, turned = numbers
    image = image.flip([axis for axis, wanted in ((-1, across), (-2, down)) if wanted])
    return image.transpose(-2, -1) if turned else image


@pytest.mark.parametrize("compiled", [False, True])
def test_photographs_have_the_eight_symmetries_of_a_square(compiled: bool) -> None:
    domain, square = Photographs(), torch.randn(2, 3, 5, 5)
    numbers = torch.zeros(3, dtype=torch.float64)
    there, back = domain.symmetry(numbers)
    if compiled:
        there, back = (torch.compile(one, backend="aot_eager", fullgraph=True, dynamic=False) for one in (there, back))
    found = []
    for code in range(8):
        wanted = [code & 1, code >> 1 & 1, code >> 2]
        numbers.copy_(torch.tensor(wanted))
        found.append(there(square))
        assert torch.equal(found[-1], exchanged(square, wanted))
        assert torch.equal(back(found[-1]), square)
    assert all(not torch.equal(one, other) for i, one in enumerate(found) for other in found[:i])
    # What the numbers make of an image that is not square has its shape.
    numbers.fill_(1)
    oblong = torch.randn(1, 3, 4, 6)
    assert torch.equal(there(oblong), oblong.flip((-2, -1)))
    torch.compiler.reset()


def test_photographs_are_seen_in_eight_views() -> None:
    domain, oblong = Photographs(), torch.randn(1, 3, 4, 6)
    seen = [view.there(oblong) for view in domain.views]
    assert sorted(tuple(one.shape[-2:]) for one in seen) == [(4, 6)] * 4 + [(6, 4)] * 4
    quarter = oblong.rot90(1, (-2, -1))
    assert sum(one.shape == quarter.shape and torch.equal(one, quarter) for one in seen) == 1
    assert [view.weight for view in domain.views] == [1 / 8] * 8
    first, second = domain.extreme_views
    assert torch.equal(first.there(oblong), oblong)
    assert torch.equal(second.there(oblong), oblong.flip((-2, -1)).transpose(-2, -1))


def test_symmetries_of_photographs_are_fair() -> None:
    random = generator()
    numbers = torch.stack([Photographs().random_symmetry(random) for _ in range(800)])
    assert numbers.shape == (800, 3)
    counts = torch.unique(numbers, dim=0, return_counts=True)[1]
    assert len(counts) == 8
    # 100 expected of each; the standard deviation is below 10.
    assert int((counts - 100).abs().max()) < 50


def test_pictures() -> None:
    image = torch.randn(2, 4, 5, 4)
    torch.testing.assert_close(ComplexImages(4).picture(image), torch.linalg.vector_norm(as_complex(image), dim=1))
    grey = torch.randn(2, 1, 5, 4)
    assert torch.equal(RealImages().picture(grey), grey[:, 0])
    colour = RealImages(3).picture(torch.randn(2, 3, 5, 4))
    assert colour.shape == (2, 5, 4, 3)
    assert float(colour.min()) == 0
    assert float(colour.max()) == 1
    assert Photographs().picture(torch.randn(2, 3, 5, 4)).shape == (2, 5, 4, 3)
    assert torch.equal(Photographs(1).picture(grey), grey[:, 0].clamp(0, 1))
