"""The reconstruction from all measurements is a mean over views, and its uncertainty a spread over splits."""

import dataclasses

import torch
from scans import small_operator

from ugodit.fit.initial import InitialEstimates
from ugodit.fit.model_config import ModelConfig
from ugodit.fit.test_time import SHARE, reconstruct, uncertainty
from ugodit.networks import GroupNet, NetworkConfig
from ugodit.networks.unrolled import Unrolled
from ugodit.operators import SenseOperator
from ugodit.operators.domain import ComplexImages
from ugodit.operators.scale import normalize
from ugodit.priors.adaptation import build_model

BANK = 3
FORM = ModelConfig(
    splitting="random", iterations=1, next_input="fixed", initial_estimate="conjugate_gradient", solve_iterations=20
)
NETWORK = NetworkConfig.unet(4, 1, activation="leaky_relu", output="residual")
NEGATIVE = ComplexImages().negative


def scan() -> SenseOperator:
    return normalize(small_operator(columns=40, noise=0.2)[0])[0]


def estimates(form: ModelConfig = FORM) -> InitialEstimates:
    return InitialEstimates(scan(), form, torch.Generator().manual_seed(0))


def trained_network() -> GroupNet:
    """Weights that are not zero in the last layer, so that views differ."""
    network = GroupNet(NETWORK)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network


def bare(network: GroupNet) -> Unrolled:
    return Unrolled(network, iterations=0, mu=FORM.mu, solve_iterations=FORM.solve_iterations)


def test_the_result_is_the_mean_of_the_views_with_a_little_of_the_initial_estimate() -> None:
    made = estimates()
    model = build_model(trained_network(), FORM)
    views = {}
    with torch.no_grad():
        for axes in ((), (2,), (3,), (2, 3)):
            for sign in (1, -1):
                # By hand: turn what the network sees, and turn back what it gives.
                views[axes, sign] = model(
                    made.all_measured,
                    made.operator,
                    evaluate=lambda z, axes=axes, sign=sign: sign * model.network((sign * z).flip(axes)).flip(axes),
                )
    assert not torch.allclose(views[(), 1], views[(2,), 1])
    expected = (1 - SHARE) * made.all_measured
    for (_, sign), image in views.items():
        expected = expected + SHARE * (1 - NEGATIVE if sign > 0 else NEGATIVE) / 4 * image
    torch.testing.assert_close(reconstruct(made, model, model.network, None, BANK), expected)


def test_a_mirrored_scan_gives_the_mirrored_image() -> None:
    """Whatever the network does, the mean over mirror images does not prefer a side."""
    network = trained_network()
    image = torch.randn(1, 2, 16, 16)
    results = []
    for axes in ((), (3,)):
        made = estimates()
        made.all_measured = image.flip(axes)
        results.append(reconstruct(made, bare(network), network, None, BANK).flip(axes))
    torch.testing.assert_close(results[0], results[1])
    assert not torch.allclose(network(image.flip(3)).flip(3), network(image))


def test_where_all_is_fitted_the_result_is_the_models_image() -> None:
    form = dataclasses.replace(FORM, splitting="all")
    made = estimates(form)
    model = build_model(trained_network(), form)
    with torch.no_grad():
        expected = model(made.all_measured, made.operator)
    assert torch.equal(reconstruct(made, model, model.network, None, BANK), expected)


def test_uncertainty_is_the_spread_over_the_bank() -> None:
    made = estimates()
    model = build_model(trained_network(), FORM)
    with torch.no_grad():
        seen = [(split.estimate, made.operator.with_weights(split.seen.weights)) for split in made.whole_bank(BANK)]
        images = torch.stack([model(*pair) for pair in seen])
    # The standard deviation of complex numbers, from its definition.
    expected = torch.view_as_complex(images.movedim(2, -1).contiguous()).std(0, correction=0)[:, None]
    torch.testing.assert_close(uncertainty(made, model, model.network, None, BANK), expected)
