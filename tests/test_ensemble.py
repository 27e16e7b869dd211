"""The pool of splits and how their reconstructions are combined."""

import dataclasses

import torch
from scans import small_operator

from ugodit.adapt import build_model, normalize
from ugodit.config import FitConfig
from ugodit.ensemble import FINAL_MU, SHARE, Starts, combine
from ugodit.networks import GroupNet, NetworkConfig
from ugodit.operators import SenseOperator

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


def test_held_out_lines_are_in_no_member() -> None:
    operator = scan()
    fitted = operator.weights.clone()
    fitted[0, 1] = 0
    pool = Starts(operator, CONFIG, torch.Generator().manual_seed(0), fitted)
    for member in pool.pool():
        assert torch.equal(member.split.input + member.split.loss, fitted)


def test_the_combination_solves_its_equation() -> None:
    pool = starts()
    model = build_model(GroupNet(NETWORK), CONFIG)
    operator = pool.operator
    with torch.no_grad():
        images = [model(m.start, operator.with_weights(m.split.input)) for m in pool.pool()]
    proposal = SHARE * torch.stack(images).mean(0) + (1 - SHARE) * pool.all_lines
    found = combine(pool, model)
    left = operator.normal(found) + FINAL_MU * found
    torch.testing.assert_close(left, operator.initial() + FINAL_MU * proposal, rtol=1e-4, atol=1e-4)


def test_a_sparse_start_chooses_one_weight_for_all_splits() -> None:
    pool = starts(dataclasses.replace(CONFIG, start="sparse", start_iterations=10))
    assert pool.weight is not None
    assert pool.weight.shape == (1,)
    assert len(pool.pool()) == 3
