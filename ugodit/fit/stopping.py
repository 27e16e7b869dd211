"""When to stop, from held-out measurements and never from the ground truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ugodit.fit.splitting import split_random


@dataclass
class HeldOutStopping:
    """Stops when the loss of lines that no step fits has not fallen for `patience` steps."""

    patience: int
    best_loss: float = math.inf
    best_iteration: int = 0

    def improved(self, iteration: int, loss: float) -> bool:
        """Record a held-out loss; whether it is the lowest so far."""
        if loss < self.best_loss:
            self.best_loss, self.best_iteration = loss, iteration
            return True
        return False

    def reason(self, iteration: int) -> str | None:
        """Why to stop at this step, or None to go on."""
        if iteration - self.best_iteration < self.patience:
            return None
        return f"held-out loss lowest at step {self.best_iteration}, not for {self.patience} steps since"


def hold_out(weights: Tensor, core: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Weights for fitting and held-out weights: a fixed random `fraction` of the lines outside the ACS core."""
    split = split_random(weights, core, fraction, torch.Generator().manual_seed(seed))
    return split.input, split.loss
