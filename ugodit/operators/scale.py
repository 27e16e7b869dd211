"""One scale for the fit, whatever the units of the measurements."""

from __future__ import annotations

from typing import TypeVar

import torch

from ugodit.operators.protocol import Operator

OperatorT = TypeVar("OperatorT", bound=Operator)


def normalize(operator: OperatorT) -> tuple[OperatorT, float]:
    """The operator with its measurements scaled so that its initial image is of order one, and the scale.

    Scanners' units differ by twelve orders of magnitude. Images of the scaled operator times the returned scale (the
    99.5th percentile of the initial image's magnitude inside the support) are images in the scan's own units.
    """
    magnitude = operator.initial().square().sum(1, keepdim=True).sqrt()
    inside = magnitude[operator.support]
    scale = float(torch.quantile(inside[: 1 << 24], 0.995)) if len(inside) else 0.0
    if scale == 0:
        raise ValueError("operator: its initial image is empty; nothing was measured inside its support")
    return operator.scaled(1 / scale), scale
