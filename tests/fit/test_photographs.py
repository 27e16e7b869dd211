"""The one loop fits photographs as it fits MRI: what it needs of an operator, theirs have."""

import math
from typing import Any

import pytest
import torch
from photographs import NONLINEAR, photograph

from ugodit.data.degradations import Degradation, GaussianBlur, RandomInpainting, SuperResolution
from ugodit.fit.fit import fit
from ugodit.fit.fit_config import AdaptConfig, TrainConfig
from ugodit.fit.model_config import ModelConfig
from ugodit.networks import NetworkConfig
from ugodit.operators.degraded import operator_of
from ugodit.priors.adaptation import from_prior, initial_estimates, zero_shot
from ugodit.priors.prior import Prior
from ugodit.priors.training import group_model

NETWORK = NetworkConfig.unet(8, 2, in_channels=3, out_channels=3, activation="leaky_relu", output="residual")
FITTED: dict[str, Any] = {"schedule": "cosine", "average": 0.9, "mask_bank": 3}
KINDS = [SuperResolution(factor=2), GaussianBlur(size=9, width=1.5), RandomInpainting(missing=0.5), NONLINEAR]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.task)
def test_a_group_of_photographs_is_fitted_and_its_prior_asked(kind: Degradation) -> None:
    """Oblong ones, at that: the eight views exchange their axes."""
    steps = 6
    model = ModelConfig(
        initial_estimate="conjugate_gradient",
        initial_iterations=3,
        next_input="fixed",
        splitting="random",
        loss_fraction=0.3,
        iterations=1,
        mu=0.1,
        solve_iterations=2,
    )
    images = [photograph(seed=seed) for seed in (0, 10, 20)]
    operators = [operator_of(kind, kind.apply(image)) for image in images]
    config = TrainConfig(steps=steps, learning_rate=3e-3, symmetries=True, **FITTED)
    group = group_model(operators[:2], NETWORK, model, config)
    losses = [step.loss for step in fit(group, operators[:2], model, config)]
    assert len(losses) == steps
    # What these leave in held-out pixels may be noise already: no loss has to fall, but every weight has to move.
    assert all(0 < loss < math.inf for loss in losses)
    untrained = group_model(operators[:2], NETWORK, model, config).network.state_dict()
    moved = [not torch.equal(weight, untrained[name]) for name, weight in group.network.state_dict().items()]
    assert all(moved)
    prior = Prior.of(group.network, model=model, training=config.to_dict())
    plan = from_prior(operators[2], prior, AdaptConfig(steps=2, learning_rate=1e-3, **FITTED))
    image = zero_shot(operators[2], plan, initial_estimates(operators[2], model, 0))
    assert image.shape == images[2].shape
    # A prior of so few steps proves nothing but this: what comes out is an image that explains the measurements.
    residual = operators[2].data_consistency(image)
    assert bool((residual < operators[2].data_consistency(operators[2].initial()) + 0.05 * operators[2].energy()).all())
