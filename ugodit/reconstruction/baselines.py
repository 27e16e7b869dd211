"""What tables and pictures show beside a reconstruction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ugodit.evaluation.baselines import cg_sense
from ugodit.reconstruction.preparation import Prepared

BASELINES: dict[str, Callable[[Prepared], np.ndarray]] = {
    "zero filling": lambda prepared: prepared.magnitude(prepared.operator.initial()),
    "CG-SENSE": lambda prepared: prepared.magnitude(cg_sense(prepared.operator), of_coils=True),
}
"""Images (rows, columns) by title, in the order in which they are shown."""
