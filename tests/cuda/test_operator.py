"""SenseOperator on the CUDA kernels' layouts: their bodies run by this processor under the operator as it is."""

from functools import partial
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import Tensor

from tests.kernels.problems import TOLERANCE, relative_error
from ugodit.kernels import _cuda_ops
from ugodit.operators import SenseOperator, sense_packing
from ugodit.operators.scale import normalize
from ugodit.operators.sense_transfer import repacked

WIDTH = 46


@pytest.fixture
def through(host: ModuleType, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Lets the operator call CUDA's functions with the host's module, in place of `ugodit.kernels`."""
    functions = {
        name: partial(getattr(_cuda_ops, name), module=host)
        for name in ("sense_residual", "sense_forward", "sense_adjoint", "sense_solve", "pack_kspace")
    }
    pack_kspace = functions.pop("pack_kspace")
    return SimpleNamespace(
        **functions,
        pack_maps=lambda maps, along: _cuda_ops.pack_maps(maps, along == "both", module=host),
        pack_kspace=lambda kspace, along: pack_kspace(kspace, along == "both"),
        scale_kspace=_cuda_ops.scale_kspace,
        stack_kspace=_cuda_ops.stack_kspace,
    )


def scans() -> list[tuple[Tensor, Tensor, Tensor]]:
    """k-space, maps, mask of two scans in scanners' units, with different numbers of measured lines."""
    found = []
    for every in (3, 4):
        maps = torch.randn(4, 12, WIDTH, dtype=torch.complex64)
        maps = maps / maps.abs().square().sum(0).sqrt()
        mask = (torch.arange(WIDTH) % every == 0) | ((torch.arange(WIDTH) - WIDTH // 2).abs() < 4)
        kspace = 1e-6 * every * torch.randn(4, 12, WIDTH, dtype=torch.complex64) * mask
        found.append((kspace, maps, mask))
    return found


def built() -> tuple[SenseOperator, list[float]]:
    operators, scales = zip(*(normalize(SenseOperator.from_kspace(*scan, rows=8)) for scan in scans()), strict=True)
    return SenseOperator.stack(operators), list(scales)


def test_from_kspace_normalize_and_stack(through: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    expected, expected_scales = built()
    torch.manual_seed(3)
    monkeypatch.setattr(sense_packing, "kernels", through)
    operator, scales = built()
    assert operator.kspace.dim() == 2  # CUDA's layout
    torch.testing.assert_close(torch.tensor(scales), torch.tensor(expected_scales), rtol=1e-5, atol=0)
    image = torch.randn(operator.shape)
    rhs = operator.initial()
    got = [rhs, *operator.residual(image), operator.normal(image), operator.forward(image), operator.energy()]
    got += [operator.adjoint(operator.forward(image)), operator.solve(rhs, image, 0.1, 5)[0]]
    monkeypatch.undo()
    rhs = expected.initial()
    truth = [rhs, *expected.residual(image), expected.normal(image), expected.forward(image), expected.energy()]
    truth += [expected.adjoint(expected.forward(image)), expected.solve(rhs, image, 0.1, 5)[0]]
    for one, other in zip(got, truth, strict=True):
        # Two float32 results, and scales that differ in the last digits.
        assert relative_error(one, other) < 10 * TOLERANCE


def test_select_and_pack_anew(through: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Items of different numbers of stored lines, and maps and k-space read back from these layouts."""
    monkeypatch.setattr(sense_packing, "kernels", through)
    operators = [normalize(SenseOperator.from_kspace(*scan, rows=8))[0] for scan in scans()]
    both = SenseOperator.stack(operators)
    image = torch.randn(both.shape)
    swapped = both.select([1, 0])
    assert swapped.kspace.dim() == 2  # CUDA's layout
    for got, expected in zip(swapped.residual(image.flip(0)), both.residual(image), strict=True):
        assert torch.equal(got, expected.flip(0))
    for item, single in enumerate(operators):
        alone = both.select([item])
        torch.testing.assert_close(alone.residual(image[:1])[1], single.residual(image[:1])[1])
    again = repacked(both, torch.device("cpu"))
    assert again.kspace.dim() == 2
    assert again.maps.shape == both.maps.shape
    assert relative_error(again.forward(image), both.forward(image)) < TOLERANCE
    assert relative_error(again.residual(image)[1], both.residual(image)[1]) < TOLERANCE
    assert relative_error(again.initial(), both.initial()) < TOLERANCE
