"""The unrolled network against its definition, written out."""

import pytest
import torch
from scans import small_operator

from ugodit.networks import GroupNet, NetworkConfig
from ugodit.networks.unrolled import Unrolled
from ugodit.operators import SenseOperator

NETWORK = NetworkConfig.unet(4, 1, activation="leaky_relu", output="residual")


def test_an_untrained_residual_network_proposes_its_input() -> None:
    operator, _ = small_operator()
    model = Unrolled(GroupNet(NETWORK), iterations=1, mu=0.1, solve_iterations=40)
    start = torch.randn(operator.shape)
    result = model(start, operator)
    # argmin |A x - y|^2 + mu |x - u|^2 solves (A^H A + mu) x = A^H y + mu u.
    u = start * operator.support
    torch.testing.assert_close(
        operator.normal(result) + 0.1 * result, operator.initial() + 0.1 * u, rtol=1e-3, atol=1e-3
    )


def test_two_iterations_are_one_iteration_twice() -> None:
    operator, _ = small_operator()
    network = GroupNet(NETWORK, seed=1)
    with torch.no_grad():
        for parameter in network.decoder.parameters():
            parameter.add_(0.01)
    one = Unrolled(network, iterations=1, mu=0.05, solve_iterations=4)
    two = Unrolled(network, iterations=2, mu=0.05, solve_iterations=4)
    start = torch.randn(operator.shape)
    torch.testing.assert_close(two(start, operator), one(one(start, operator), operator))


def test_no_iterations_is_the_bare_network() -> None:
    operator, _ = small_operator()
    network = GroupNet(NETWORK)
    start = torch.randn(operator.shape)
    bare = Unrolled(network, iterations=0, mu=0.05, solve_iterations=4)(start, operator)
    torch.testing.assert_close(bare, network(start))


def test_gradients_reach_encoder_decoder_and_mu() -> None:
    operator, _ = small_operator()
    network = GroupNet(NETWORK)
    with torch.no_grad():
        for parameter in network.decoder.parameters():
            parameter.add_(0.01)
    model = Unrolled(network, iterations=2, mu=0.05, solve_iterations=4, learn_mu=True)
    operator.data_consistency(model(operator.initial(), operator)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_every_item_may_have_its_own_mu() -> None:
    operator, _ = small_operator()
    both = SenseOperator.stack([operator, operator])
    network = GroupNet(NETWORK)
    model = Unrolled(network, iterations=1, mu=0.1, solve_iterations=8)
    start = torch.randn(both.shape)
    mu = torch.tensor([0.1, 3.0])
    result = model(start, both, mu=mu)
    for item, value in enumerate(mu.tolist()):
        single = Unrolled(network, iterations=1, mu=value, solve_iterations=8)
        expected = single(start[item : item + 1], operator)
        torch.testing.assert_close(result[item : item + 1], expected, rtol=1e-4, atol=1e-5)


def test_what_is_called_in_place_of_the_network() -> None:
    operator, _ = small_operator()
    model = Unrolled(GroupNet(NETWORK), iterations=3, mu=0.05, solve_iterations=4)
    seen: list[torch.Tensor] = []

    def evaluate(z: torch.Tensor) -> torch.Tensor:
        seen.append(z)
        return 0.5 * z

    start = torch.randn(operator.shape)
    result = model(start, operator, evaluate=evaluate)
    assert len(seen) == 3
    assert seen[0] is start
    expected = start
    for _ in range(3):
        expected = operator.proximal(0.5 * expected * operator.support, 0.05, 4)
    torch.testing.assert_close(result, expected)


def test_mu_is_learned_where_it_is_asked_for() -> None:
    fixed, learned = (
        Unrolled(GroupNet(NETWORK), iterations=1, mu=0.2, solve_iterations=4, learn_mu=learn) for learn in (False, True)
    )
    assert not fixed.log_mu.requires_grad
    assert learned.log_mu.requires_grad
    assert float(learned.log_mu.detach().exp()) == pytest.approx(0.2)
