"""An operator packed anew is the same operator, to single precision's rounding."""

from collections.abc import Callable

import pytest
import torch
from scans import line_mask, small_scan
from torch import Tensor

from ugodit.operators import SenseOperator
from ugodit.operators.sense_transfer import moved, repacked

ROWS, COLUMNS = 21, 18
# Three transforms of a few dozen points in single precision: a handful of roundings of 6e-8, each relative to all.
TOLERANCE = 1e-6
KINDS = pytest.mark.parametrize(
    "kind", ["lines", "cropped rows", "weighted lines", "plane", "weighted plane", "sets", "plane, sets", "batch"]
)


def build(kind: str) -> SenseOperator:
    kspace, maps, _ = small_scan(coils=5, rows=ROWS, columns=COLUMNS, noise=0.3)
    generator = torch.Generator().manual_seed(3)
    mask = line_mask(COLUMNS).float()
    if "plane" in kind:
        mask = (torch.rand(ROWS, COLUMNS, generator=generator) < 0.5).float()
    if "weighted" in kind:
        mask = mask * (0.5 + torch.rand(mask.shape, generator=generator))
    if "sets" in kind:
        maps = torch.stack((maps, small_scan(coils=5, rows=ROWS, columns=COLUMNS, seed=4)[1]))
    operator = SenseOperator.from_kspace(kspace, maps, mask, rows=15 if kind == "cropped rows" else None)
    if kind == "batch":
        other = operator.scaled(0.5).with_weights(line_mask(COLUMNS, 4).float()[None])
        operator = SenseOperator.stack([operator, other])
    return operator


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def compare(found: SenseOperator, expected: SenseOperator, tolerance: float) -> None:
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(expected.shape, generator=generator)
    measured = torch.randn(expected.forward(image.to(expected.device)).shape, generator=generator)
    mu = torch.full((expected.shape[0],), 0.3)
    questions: dict[str, Callable[[SenseOperator], Tensor]] = {
        "forward": lambda one: one.forward(image.to(one.device)),
        "adjoint": lambda one: one.adjoint(measured.to(one.device)),
        "normal": lambda one: one.normal(image.to(one.device)),
        "loss": lambda one: one.residual(image.to(one.device))[0],
        "gradient": lambda one: one.residual(image.to(one.device))[1],
        "initial": lambda one: one.initial(),
        "energy": lambda one: one.energy(),
        "proximal": lambda one: one.proximal(image.to(one.device), mu.to(one.device), 4),
    }
    for name, question in questions.items():
        assert relative_error(question(found).cpu(), question(expected).cpu()) < tolerance, name
    assert (found.shape, found.coils, found.sets) == (expected.shape, expected.coils, expected.sets)
    for name in ("weights", "support", "sensitivity", "line_energy"):
        assert torch.equal(getattr(found, name).cpu(), getattr(expected, name).cpu()), name


@KINDS
def test_packed_anew_it_is_the_same_operator(kind: str) -> None:
    operator = build(kind)
    again = repacked(operator, torch.device("cpu"))
    assert again is not operator
    assert again.maps.data_ptr() != operator.maps.data_ptr()
    compare(again, operator, TOLERANCE)


def test_held_out_lines_come_along() -> None:
    """A split shares the measurements of both of its parts, and does so after a move."""
    operator = build("lines")
    seen, held_out = operator.split(0.4, torch.Generator().manual_seed(0))
    again = repacked(seen, torch.device("cpu"))
    compare(again, seen, TOLERANCE)
    compare(again.with_weights(held_out.weights), held_out, TOLERANCE)


def test_where_it_is_already_it_stays() -> None:
    operator = build("lines")
    assert operator.to("cpu") is operator
    assert operator.to(operator.device) is operator
    assert moved(operator, torch.device("cpu")) is operator


@pytest.mark.gpu
@KINDS
def test_to_a_gpu_and_back(kind: str) -> None:
    operator = build(kind)
    there = operator.to("cuda")
    assert there.device.type == "cuda"
    assert there.to("cuda") is there
    assert there.to("cuda:0") is there
    # Two transfers, and kernels that sum in another order.
    compare(there, operator, 2 * TOLERANCE)
    compare(there.to("cpu"), operator, 2 * TOLERANCE)
