"""When to stop, from held-out measurements and never from the ground truth."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class HeldOutStopping:
    """Stops when the error of what no step fits has not fallen for `patience` steps."""

    patience: int
    best_error: float = math.inf
    best_iteration: int = 0

    def improved(self, iteration: int, error: float) -> bool:
        """Record a held-out error; whether it is the lowest so far."""
        if error < self.best_error:
            self.best_error, self.best_iteration = error, iteration
            return True
        return False

    def reason(self, iteration: int) -> str | None:
        """Why to stop at this step, or None to go on."""
        if iteration - self.best_iteration < self.patience:
            return None
        return f"held-out error lowest at step {self.best_iteration}, not for {self.patience} steps since"
