"""The noise that is read from the measurements is the noise that was put in."""

import pytest
import torch
from scans import small_operator

from ugodit.operators import SenseOperator
from ugodit.operators.noise_level import noise_from_surplus


@pytest.mark.parametrize("noise", [0.02, 0.5])
def test_the_variance_that_was_put_in(noise: float) -> None:
    operator = small_operator(coils=8, rows=48, columns=64, noise=noise, seed=5)[0]
    # Some 48 x 34 x 8 samples less 2100 pixels: a relative standard deviation of 1 %; and the solve stops early.
    assert float(noise_from_surplus(operator, 30)) == pytest.approx(noise**2, rel=0.05)


def test_each_item_has_its_own() -> None:
    operators = [small_operator(coils=8, columns=40, noise=noise)[0] for noise in (0.1, 0.4)]
    together = SenseOperator.stack(operators).noise_variance()
    torch.testing.assert_close(together, torch.cat([noise_from_surplus(operator) for operator in operators]))


def test_not_a_number_where_there_are_no_more_samples_than_pixels() -> None:
    assert bool(noise_from_surplus(small_operator(coils=1, noise=0.1)[0]).isnan().all())
