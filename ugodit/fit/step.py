"""The losses of one step: pure functions of images, operators and configurations."""

from __future__ import annotations

import torch
from torch import Tensor

from ugodit.fit.fit_config import FitConfig
from ugodit.fit.model_config import ModelConfig
from ugodit.operators.protocol import Operator


def step_loss(
    image: Tensor, start: Tensor, before: Tensor, held_out: Operator, model: ModelConfig, config: FitConfig
) -> Tensor:
    """The loss of an image (B, channels, H, W), summed over its items.

    Args:
        image: what the network made.
        start: what it was given, noise included.
        before: the image of the step before.
        held_out: the measurements that judge it; all of them where all are fitted.
        model, config: weights and kind of the loss.
    """
    loss = distance(held_out.data_consistency(image), held_out.energy(), model.loss)
    if config.autoencoding:
        loss = loss + config.autoencoding * distance(_energy(image - start), _energy(start.detach()), model.loss)
    if config.proximity:
        loss = loss + config.proximity * distance(_energy(image - before), _energy(image.detach()), model.loss)
    return loss


def distance(squared: Tensor, energy: Tensor, kind: str) -> Tensor:
    """Squared distances (B,) relative to energies (B,), or (kind norm) their roots, summed over the items."""
    relative = squared / energy.clamp_min(torch.finfo(torch.float32).tiny)
    if kind == "norm":
        # The root's slope is infinite at zero, where the very first distances are.
        relative = (relative + 1e-12).sqrt()
    return relative.sum()


def learning_rate(iteration: int, config: FitConfig) -> float:
    """Adam's rate at step 1, 2, ..."""
    rate = config.learning_rate
    if config.schedule == "cosine":
        progress = (iteration - 1) / config.steps
        rate *= min(1.0, iteration / 10) * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * progress))))
    return rate


def _energy(image: Tensor) -> Tensor:
    return image.square().sum((1, 2, 3))
