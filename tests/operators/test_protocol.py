"""SenseOperator keeps the protocol, by the checks that are shown to find faults in priors/test_toy_operator.py."""

import dataclasses

import pytest
import torch
from operator_checks import faults
from scans import line_mask, small_scan
from torch import Tensor

from ugodit.operators import LinearOperator, Operator, SenseOperator


def build(kind: str) -> SenseOperator:
    kspace, maps, _ = small_scan(rows=12, columns=18, noise=0.2)
    mask = line_mask(18)
    if "plane" in kind:
        mask = torch.rand(12, 18, generator=torch.Generator().manual_seed(0)) < 0.6
        mask[4:8, 7:11] = True
    if "sets" in kind:
        maps = torch.stack((maps, 0.5 * small_scan(rows=12, columns=18, seed=4)[1]))
    operator = SenseOperator.from_kspace(kspace, maps, mask)
    if "batch" in kind:
        other, maps, _ = small_scan(rows=12, columns=18, seed=7, noise=0.2)
        operator = SenseOperator.stack([operator, SenseOperator.from_kspace(other, maps, line_mask(18, 3))])
    return operator


@pytest.mark.parametrize("kind", ["lines", "plane", "lines, batch", "lines, sets", "plane, sets"])
def test_sense_keeps_the_protocol(kind: str) -> None:
    operator = build(kind)
    assert isinstance(operator, Operator)
    assert isinstance(operator, LinearOperator)
    # In every image row, or in every item, conjugate gradients end after as many steps as there are unknowns.
    assert faults(operator, 80) == []


class Transposed(SenseOperator):
    """Forgets to conjugate."""

    def adjoint(self, measurements: Tensor) -> Tensor:
        return super().adjoint(measurements * torch.tensor([1.0, -1.0]))


class TwiceTheResidual(SenseOperator):
    def gradient(self, image: Tensor) -> Tensor:
        return 2 * super().gradient(image)


@pytest.mark.parametrize(("wrong", "fault"), [(Transposed, "adjoint"), (TwiceTheResidual, "gradient")])
def test_what_is_wrong_is_found(wrong: type[SenseOperator], fault: str) -> None:
    right = build("lines")
    values = {field.name: getattr(right, field.name) for field in dataclasses.fields(right)}
    assert fault in faults(wrong(**values), 80)
