"""Arrays that are none, or not the problem's, handed to the compiled modules past their Python side: an error each."""

from types import ModuleType
from typing import Any

import pytest
import torch

from tests.kernels.problems import problem
from ugodit import kernels
from ugodit.kernels import _cpu, _cuda_ops
from ugodit.kernels._arrays import NONE, array

P = problem(2, 3, 5, 12)
MAPS, KSPACE = kernels.pack_maps(P.maps), kernels.pack_kspace(P.kspace)
MU = torch.tensor([0.1, 0.2])
SIZES = {"items": 2, "coils": 3, "height": 5, "width": 12}


def call_of(name: str, **changes: Any) -> None:
    """A call of the compiled module that is right but for the changes."""
    arrays = {"maps": array(MAPS), "weights": array(P.weights)}
    of_problem = {key: value for key, value in changes.items() if key in arrays}
    stored = _cpu.Problem(**SIZES, both=False, threads=1, **(arrays | of_problem))
    image, loss, packed_maps = torch.empty_like(P.image), torch.empty(2), torch.empty_like(MAPS)
    packed, coil_array = torch.empty_like(KSPACE), torch.empty(2, 3, 5, 12, dtype=torch.complex64)
    calls: dict[str, dict[str, Any]] = {
        "sense_residual": {
            "image": array(P.image),
            "kspace": array(KSPACE),
            "one_kspace": False,
            "loss": array(loss),
            "gradient": array(image),
        },
        "sense_forward": {"image": array(P.image), "kspace": array(packed)},
        "sense_adjoint": {"kspace": array(KSPACE), "image": array(image)},
        "sense_solve": {
            "rhs": array(P.image),
            "start": array(P.image),
            "mu": array(MU),
            "iterations": 1,
            "tolerance": 0.0,
            "solution": array(image),
            "residual_norm": array(loss),
        },
        "pack_maps": {"maps": array(coil_array.zero_()), "packed": array(packed_maps)},
        "pack_kspace": {"kspace": array(coil_array), "packed": array(packed)},
        "unpack_kspace": {"packed": array(KSPACE), "kspace": array(coil_array)},
    }
    arguments = calls[name]
    packing = "pack" in name
    own = {key: value for key, value in changes.items() if key in arguments and (packing or key not in arrays)}
    getattr(_cpu, name)(stored if not packing else _cpu.Problem(**SIZES, both=False, threads=1), **(arguments | own))


ARGUMENTS = [
    (function, argument)
    for function, arguments in {
        "sense_residual": ["maps", "weights", "image", "kspace", "loss", "gradient"],
        "sense_forward": ["maps", "weights", "image", "kspace"],
        "sense_adjoint": ["maps", "weights", "kspace", "image"],
        "sense_solve": ["maps", "weights", "rhs", "start", "mu", "solution", "residual_norm"],
        "pack_maps": ["maps", "packed"],
        "pack_kspace": ["kspace", "packed"],
        "unpack_kspace": ["packed", "kspace"],
    }.items()
    for argument in arguments
]


@pytest.mark.parametrize(("function", "argument"), ARGUMENTS)
def test_wrong_arrays(function: str, argument: str) -> None:
    call_of(function)
    short = torch.zeros(1)
    address, count = array(torch.zeros(10**5))
    for wrong in (array(short), (address, 0), (address, -1), (address, 2**62)):
        with pytest.raises(ValueError, match=f"{argument}: expected [0-9]+ values, got"):
            call_of(function, **{argument: wrong})
    right = {"maps": P.maps.numel() * 2 if "pack" in function else MAPS.numel(), "weights": P.weights.numel()}
    counts = right | {"kspace": P.kspace.numel() * 2 if "pack" in function else KSPACE.numel(), "mu": 2, "loss": 2}
    counts |= {"packed": MAPS.numel() if function == "pack_maps" else KSPACE.numel(), "residual_norm": 2}
    expected = counts.get(argument, P.image.numel())
    for wrong in (0, 1, 4095, address + 1):
        with pytest.raises(ValueError, match=f"{argument}: expected the address of float32 values"):
            call_of(function, **{argument: (wrong, expected)})
    for value in (None, 0, address, "maps", 1.5, (address,), (address, count, 1), (-1, expected), (address, "1"), P):
        with pytest.raises(TypeError, match=r"incompatible (function|constructor) arguments"):
            call_of(function, **{argument: value})


def test_a_missing_array() -> None:
    with pytest.raises(ValueError, match="maps: expected 1536 values, got 0"):
        call_of("sense_forward", maps=NONE)
    call_of("sense_residual", kspace=NONE)  # zeros


def test_wrong_arrays_of_wavelets_and_calibration() -> None:
    image, weight, result = torch.zeros(2, 2, 8, 9), torch.zeros(2), torch.zeros(2, 2, 8, 9)
    sizes: dict[str, int] = {"items": 2, "rows": 8, "columns": 9, "levels": 4, "above": 0, "left": 0, "threads": 1}
    arrays: dict[str, Any] = {"image": array(image), "weights": array(weight), "result": array(result)}
    _cpu.shrink_wavelets(**sizes, **arrays)
    for name in arrays:
        with pytest.raises(ValueError, match=f"{name}: expected [0-9]+ values, got 1"):
            _cpu.shrink_wavelets(**sizes, **(arrays | {name: array(torch.zeros(1))}))
        with pytest.raises(ValueError, match=f"{name}: expected the address"):
            _cpu.shrink_wavelets(**sizes, **(arrays | {name: (0, arrays[name][1])}))
    wrong = {"rows": 2**31, "columns": 0, "levels": 40, "above": 16, "left": -1, "threads": 0, "items": -3}
    for name, value in wrong.items():
        with pytest.raises(ValueError, match=f"{name}: expected"):
            _cpu.shrink_wavelets(**(sizes | {name: value}), **arrays)
    with pytest.raises(ValueError, match="values of a row of blocks: expected 1073741824 at most"):
        _cpu.shrink_wavelets(**(sizes | {"columns": 2**23}), **arrays)
    counts = {"correlations": 108, "row_phases": 24, "waves": 10, "reference": 6, "maps": 120, "eigenvalues": 20}
    espirit = _cpu.EspiritProblem(coils=3, rows=4, columns=5, reach=1, sets=1, crop=0.5, soft=False, threads=1)
    memory = {name: torch.zeros(count) for name, count in counts.items()}
    given: dict[str, Any] = {name: array(one) for name, one in memory.items()}
    _cpu.espirit_maps(espirit, **given)
    for name in counts:
        with pytest.raises(ValueError, match=f"{name}: expected {counts[name]} values, got 1"):
            _cpu.espirit_maps(espirit, **(given | {name: array(torch.zeros(1))}))


def test_slots_that_point_past_the_lines_are_lines_of_zeros() -> None:
    """Packed k-space is the caller's: what it says of where lines are is not believed."""
    host: ModuleType = pytest.importorskip("ugodit.kernels._cuda_host")
    maps = _cuda_ops.pack_maps(P.maps, False, module=host)
    kspace = _cuda_ops.pack_kspace(P.kspace, False, module=host)
    weights = torch.ones_like(P.weights)
    expected = kspace.clone()
    expected[:, :4] = -1
    kspace[0, :4] = torch.tensor([12.0, 1e30, float("nan"), float("inf")])
    kspace[1, :4] = torch.tensor([-2.0, -1e30, float("-inf"), 1e9])
    got, truth = (_cuda_ops.sense_residual(P.image, maps, one, weights, 3, module=host) for one in (kspace, expected))
    assert all(map(torch.equal, got, truth))
