"""Sizes past what the kernels count with are refused with one clear error, at every entry and at once.

A crash or a hang here ends the whole run.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.kernels.problems import problem
from ugodit import kernels
from ugodit.kernels import _cpu
from ugodit.kernels.wavelets import shrink_wavelets

P = problem(2, 3, 5, 12)
MAPS, KSPACE = kernels.pack_maps(P.maps), kernels.pack_kspace(P.kspace)
MU = torch.tensor([0.1, 0.2])
OPS = torch.ops.ugodit
SIZES = {"items": 2, "coils": 3, "height": 5, "width": 12}
HUGE = [2**30 + 1, 2**31 - 1, 2**31, 2**32 + 12, 2**62, 2**63 - 1]


def many(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """As many values as one likes, in the memory of one."""
    return torch.zeros((), dtype=dtype).expand(shape)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("value", [*HUGE, 0, -1, -(2**31), -(2**63)])
def test_no_problem_of_such_a_size(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected 1 to "):
        _cpu.Problem(**(SIZES | {name: value}), both=False, threads=1)
    if name != "items":
        layout = {size: count for size, count in SIZES.items() if size != "items"}
        with pytest.raises(ValueError, match=f"{name}: expected 1 to "):
            _cpu.layout(**(layout | {name: value}), both=True)


@pytest.mark.parametrize(
    "sizes",
    [
        {"items": 2**30, "height": 2**30},
        {"items": 2**20, "height": 2**20},
        {"items": 2**16, "height": 2**16},
        {"coils": 2**30, "width": 2**20},
        {"items": 2**30, "coils": 2**30, "height": 2**30, "width": 2**20},
        {"coils": 2**30, "height": 2**26},
    ],
    ids=str,
)
@pytest.mark.parametrize("both", [False, True])
def test_no_problem_of_sizes_whose_product_is_past_what_is_counted(sizes: dict[str, int], both: bool) -> None:
    with pytest.raises(ValueError, match=r"expected .* at most, got .* x |expected 1 to 1048576, got"):
        _cpu.Problem(**(SIZES | sizes), both=both, threads=1)


@pytest.mark.parametrize("length", [2**20 + 1, 2**25, 10**9])
def test_transforms_that_are_too_long(length: int) -> None:
    with pytest.raises(ValueError, match="width: expected 1 to 1048576"):
        kernels.pack_maps(many(1, 1, 1, length, dtype=torch.complex64))
    with pytest.raises(ValueError, match="height: expected 1 to 1048576"):
        kernels.pack_kspace(many(1, 1, length, 8, dtype=torch.complex64), "both")


def test_a_prime_that_would_take_minutes() -> None:
    """The table of Bluestein's algorithm takes the square of the length."""
    for length in (32771, 1000003, 2 * 500009):
        with pytest.raises(ValueError, match=f"no transform of length {length}: it has a prime factor above 32768"):
            kernels.pack_maps(torch.zeros(1, 1, 1, length, dtype=torch.complex64))


def test_arguments_of_such_a_size_are_refused_at_the_ops() -> None:
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: kernels.pack_maps(many(2**31, 1, 2**10, 8, dtype=torch.complex64)), "maps: expected sizes up to"),
        (lambda: kernels.pack_kspace(many(1, 2**31, 1, 8, dtype=torch.complex64)), "kspace: expected sizes up to"),
        (
            lambda: kernels.sense_forward(many(2**31, 2, 1, 8), MAPS, P.weights[:1, :8], 3),
            "image: expected sizes up to",
        ),
        (lambda: kernels.sense_forward(P.image, MAPS, P.weights, 2**31), "coils: expected 1 to"),
        (lambda: kernels.sense_forward(P.image, MAPS, P.weights, 2**70), "coils: expected 1 to"),
        (lambda: OPS.sense_forward(P.image, MAPS, P.weights, 2**62), "coils: expected 1 to"),
        (lambda: kernels.sense_solve(P.image, P.image, MAPS, P.weights, MU, 3, 2**31), "iterations: expected 0 to"),
        (lambda: kernels.sense_solve(P.image, P.image, MAPS, P.weights, MU, 3, 2**70), "iterations: expected 0 to"),
        (lambda: shrink_wavelets(many(2**31, 2, 1, 1), many(2**31), (0, 0)), "image: expected sizes up to"),
    ]
    for call, message in calls:
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coils": 0}, "coils: expected 1 to 4096"),
        ({"coils": 2**31}, "coils: expected 1 to 4096"),
        ({"rows": -1}, "rows: expected 1 to"),
        ({"columns": 2**62}, "columns: expected 1 to"),
        ({"reach": -1}, "reach: expected 0 to 4096"),
        ({"sets": 4}, "sets: expected 1 to 3"),
        ({"sets": 0}, "sets: expected 1 to 3"),
        ({"coils": 4096, "reach": 4096}, "coefficients of a row"),
        ({"rows": 2**30, "columns": 2**30}, "values of the maps"),
    ],
    ids=str,
)
def test_no_calibration_of_such_a_size(changes: dict[str, int], message: str) -> None:
    sizes = {"coils": 3, "rows": 5, "columns": 12, "reach": 1, "sets": 1} | changes
    with pytest.raises(ValueError, match=message):
        _cpu.EspiritProblem(**sizes, crop=0.5, soft=False, threads=1)
    host: ModuleType = pytest.importorskip("ugodit.kernels._cuda_host")
    with pytest.raises(ValueError, match=message):
        host.EspiritProblem(**sizes, crop=0.5, soft=False, device=0, stream=0)


def test_a_number_of_threads_that_is_none() -> None:
    for threads in (0, -1, -(2**31)):
        with pytest.raises(ValueError, match="threads: expected 1 to"):
            _cpu.Problem(**SIZES, both=False, threads=threads)
        with pytest.raises(ValueError, match="threads: expected 1 to"):
            _cpu.multiply_adds(1, threads)
    _cpu.Problem(**SIZES, both=False, threads=2**40)  # as many as there can be


def test_launches_on_a_gpu_that_are_too_large() -> None:
    host: ModuleType = pytest.importorskip("ugodit.kernels._cuda_host")
    sizes = {"items": 2, "coils": 3, "rows": 5, "width": 12}
    others: dict[str, Any] = {"half": False, "one_map": False, "one_weight": False, "device": 0, "stream": 0}
    addresses = {"table": 0, "maps": 0, "weights": 0}
    for name in sizes:
        for value in (*HUGE, 0, -1):
            with pytest.raises(ValueError, match=f"{name}: expected 1 to"):
                host.Problem(**(sizes | {name: value}), **others, **addresses)
    for changes in ({"items": 2**30, "rows": 4}, {"coils": 2**30}, {"items": 2**15, "rows": 2**15, "coils": 2**12}):
        with pytest.raises(ValueError, match=r"expected .* at most, got .* x "):
            host.Problem(**(sizes | changes), **others, **addresses)
    # Nor is anything launched on arrays that are not there.
    nothing = host.Problem(**sizes, **others, **addresses)
    for call in (
        lambda: host.sense_residual(nothing, 0, 0, 0, 0, 0, 0),
        lambda: host.sense_forward(nothing, 0, 0),
        lambda: host.sense_adjoint(nothing, 0, 0),
        lambda: host.sense_solve(nothing, 0, 0, 0, 1, 0.0, 0, 0),
    ):
        with pytest.raises(ValueError, match="expected the address of an array, got 0"):
            call()
