"""The pool of splits, and the reconstruction from all lines."""

import dataclasses

import pytest
import torch
from scans import small_operator
from torch import Tensor

from ugodit.fit.config import FitConfig
from ugodit.fit.ensemble import MU_RANGE, NEGATIVE, SHARE, Starts, reconstruct, uncertainty
from ugodit.fit.noise_level import noise_variance
from ugodit.networks import GroupNet, NetworkConfig
from ugodit.operators import SenseOperator
from ugodit.priors.adaptation import build_model, normalize

CONFIG = FitConfig(
    splitting="random", unrolls=1, next_input="fixed", start="conjugate_gradient", pool=3, solve_iterations=20
)
NETWORK = NetworkConfig.unet(4, 1, activation="leaky_relu", output="residual")


def scan() -> SenseOperator:
    return normalize(small_operator(columns=40, noise=0.2)[0])[0]


def starts(config: FitConfig = CONFIG) -> Starts:
    return Starts(scan(), config, torch.Generator().manual_seed(0))


def test_the_pool_fills_and_is_drawn_from() -> None:
    pool = starts()
    first = [pool.member() for _ in range(3)]
    assert len({id(member) for member in first}) == 3
    later = {id(pool.member()) for _ in range(50)}
    assert later == {id(member) for member in first}
    assert pool.pool() == first


def test_members_start_from_their_own_lines() -> None:
    pool = starts()
    for member in pool.pool():
        expected = pool.first_image(scan().with_weights(member.split.input))
        torch.testing.assert_close(member.start, expected)
        assert not torch.allclose(member.start, pool.all_lines)


def test_a_trained_model_makes_better_first_images() -> None:
    improve = build_model(trained_network(), CONFIG).requires_grad_(False)
    plain = starts()
    better = Starts(scan(), CONFIG, torch.Generator().manual_seed(0), improve=improve)

    def improved(image: Tensor, operator: SenseOperator) -> Tensor:
        turned = improve(image, operator, None, lambda z: -improve.network(-z), plain.mu)
        return (improve(image, operator, None, None, plain.mu) + turned) / 2

    torch.testing.assert_close(better.all_lines, improved(plain.all_lines, scan()))
    for before, after in zip(plain.pool(), better.pool(), strict=True):
        assert torch.equal(before.split.input, after.split.input)
        expected = improved(before.start, scan().with_weights(before.split.input))
        torch.testing.assert_close(after.start, expected)
        assert not after.start.requires_grad
        assert not torch.allclose(after.start, before.start)


def test_held_out_lines_are_in_no_member() -> None:
    operator = scan()
    fitted = operator.weights.clone()
    fitted[0, 1] = 0
    pool = Starts(operator, CONFIG, torch.Generator().manual_seed(0), fitted)
    for member in pool.pool():
        assert torch.equal(member.split.input + member.split.loss, fitted)


def trained_network() -> GroupNet:
    """Weights that are not zero in the last layer, so that views differ."""
    network = GroupNet(NETWORK)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network


def test_the_result_is_the_mean_of_the_views_with_a_little_of_the_first_image() -> None:
    pool = starts()
    model = build_model(trained_network(), CONFIG)
    views = {}
    with torch.no_grad():
        for axes in ((), (2,), (3,), (2, 3)):
            for sign in (1, -1):
                # By hand: turn what the network sees, and turn back what it gives.
                views[axes, sign] = model(
                    pool.all_lines,
                    pool.operator,
                    evaluate=lambda z, axes=axes, sign=sign: sign * model.network((sign * z).flip(axes)).flip(axes),
                )
    assert not torch.allclose(views[(), 1], views[(2,), 1])
    expected = (1 - SHARE) * pool.all_lines
    for (_, sign), image in views.items():
        expected = expected + SHARE * (1 - NEGATIVE if sign > 0 else NEGATIVE) / 4 * image
    torch.testing.assert_close(reconstruct(pool, model), expected)


def test_a_mirrored_scan_gives_the_mirrored_image() -> None:
    """Whatever the network does, the mean over mirror images does not prefer a side."""
    network = trained_network()
    image = torch.randn(1, 2, 16, 16)
    config = dataclasses.replace(CONFIG, unrolls=0, splitting="all")
    results = []
    for axes in ((), (3,)):
        pool = starts()
        pool.all_lines = image.flip(axes)
        results.append(reconstruct(pool, build_model(network, config)).flip(axes))
    torch.testing.assert_close(results[0], results[1])


def test_uncertainty_is_the_spread_over_the_pool() -> None:
    pool = starts()
    model = build_model(trained_network(), CONFIG)
    with torch.no_grad():
        images = torch.stack([model(m.start, pool.operator.with_weights(m.split.input)) for m in pool.pool()])
    # The standard deviation of complex numbers, from its definition.
    expected = torch.view_as_complex(images.movedim(2, -1).contiguous()).std(0, correction=0)[:, None]
    torch.testing.assert_close(uncertainty(pool, model), expected)


def test_the_solves_weight_follows_the_noise() -> None:
    config = dataclasses.replace(CONFIG, proposal_variance=0.005, mu=0.3)
    weights = []
    for noise in (0.05, 0.2):
        operator = normalize(small_operator(columns=40, noise=noise)[0])[0]
        pool = Starts(operator, config, torch.Generator().manual_seed(0))
        assert pool.mu is not None
        torch.testing.assert_close(pool.mu, (noise_variance(operator) / 0.005).clamp(*MU_RANGE))
        weights.append(float(pool.mu))
    assert weights[0] < weights[1]
    one_coil = normalize(small_operator(columns=40, coils=1)[0])[0]
    assert Starts(one_coil, config, torch.Generator().manual_seed(0)).mu.tolist() == [pytest.approx(0.3)]


def test_a_sparse_start_chooses_one_weight_for_all_splits() -> None:
    pool = starts(dataclasses.replace(CONFIG, start="sparse", start_iterations=10))
    assert pool.weight is not None
    assert pool.weight.shape == (1,)
    assert len(pool.pool()) == 3
