"""One scale, whatever the units of the measurements."""

import pytest
import torch
from scans import small_operator

from ugodit.operators.scale import normalize


def test_normalize_makes_scans_of_any_unit_alike() -> None:
    operator, _ = small_operator()
    first, scale = normalize(operator)
    second, other = normalize(operator.scaled(1e-9))
    assert other == pytest.approx(1e-9 * scale, rel=1e-5)
    torch.testing.assert_close(first.initial(), second.initial())
    magnitude = first.initial().square().sum(1, keepdim=True).sqrt()
    assert float(torch.quantile(magnitude[first.support], 0.995)) == pytest.approx(1, rel=1e-5)


def test_an_empty_scan_has_no_scale() -> None:
    operator, _ = small_operator()
    with pytest.raises(ValueError, match=r"^operator: its initial image is empty"):
        normalize(operator.with_weights(torch.zeros_like(operator.weights)))
