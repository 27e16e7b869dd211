"""The judgement of an uncertainty: a perfect one scores 1 and 1, one that knows nothing scores 0."""

import numpy as np
import pytest
from scoring import judged_uncertainty


def test_a_perfect_one_and_one_that_knows_nothing() -> None:
    generator = np.random.default_rng(0)
    target = np.ones((64, 64), np.float32)
    # An error whose size varies slowly over the image.
    size = (0.01 + 0.1 * np.linspace(0, 1, 64)[:, None] * np.ones((64, 64))).astype(np.float32)
    image = target + size * generator.choice([-1, 1], size.shape).astype(np.float32)
    perfect = judged_uncertainty(target, image, size)
    assert perfect["error_over_uncertainty"] == pytest.approx(1, abs=1e-3)
    assert perfect["rank_correlation"] > 0.99
    nothing = judged_uncertainty(target, image, size.T.copy() * 2)
    assert nothing["error_over_uncertainty"] == pytest.approx(0.5, abs=1e-3)
    assert abs(nothing["rank_correlation"]) < 0.1
