"""The SENSE kernels against PyTorch, sigpy, mrpro and BART.

    python -m pytest benchmarks/bench_sense.py --benchmark-only --benchmark-group-by=group
    python benchmarks/bench_sense.py [--out benchmarks/results/sense.json]      interleaved medians, ratios, roofline

Everyone's results are compared before anything is timed. Who is not installed is left out. Nothing here fails because
of a time.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sense_peers import (
    Bart,
    Residual,
    Solve,
    mrpro_objective,
    mrpro_residual,
    mrpro_solve,
    our_outer_cg,
    our_residual,
    our_solve,
    sigpy_residual,
    sigpy_solve,
    torch_residual,
)
from sense_scan import Scan, Size, Unavailable, interleaved, label, make_scan, relative
from torch import Tensor

from ugodit.kernels import _cpu

LARGE, SMALL = (15, 640, 368), (8, 256, 256)
ITERATIONS = 10
BART_ITERATIONS = 30
RESIDUALS: dict[str, Callable[[Scan], Residual]] = {
    "ours": our_residual,
    "torch autograd": torch_residual,
    "sigpy": sigpy_residual,
    "mrpro": mrpro_residual,
    "mrpro objective": mrpro_objective,
}
TEXTBOOK = "our CG over sense_residual"
SOLVES: dict[str, Callable[[Scan, int], Solve]] = {
    "ours": our_solve,
    TEXTBOOK: our_outer_cg,
    "sigpy SenseRecon": sigpy_solve,
    "mrpro cg": mrpro_solve,
}


def check_residual(name: str, scan: Scan, result: tuple[Tensor, Tensor]) -> None:
    loss, gradient = our_residual(scan)()
    # Some of the others sum millions of squares in float32.
    assert relative(loss.reshape(()), result[0].reshape(())) < 1e-4, name
    assert relative(gradient, result[1]) < 1e-5, name


def check_solve(name: str, scan: Scan, solution: Tensor) -> None:
    """The same iterates where the algorithm is the same; ours, whose rows have steps of their own, come nearer."""
    textbook = our_outer_cg(scan, ITERATIONS)()
    if name != "ours":
        assert relative(solution, textbook) < 1e-3, name
        return
    limit = our_solve(scan, 100)()
    assert relative(our_outer_cg(scan, 100)(), limit) < 1e-3
    assert relative(solution, limit) <= 1.01 * relative(textbook, limit)
    assert scan.error_energy(solution) <= scan.error_energy(textbook) * (1 - 1e-6) + 1e-6


def check_bart(name: str, scan: Scan, solution: Tensor) -> None:
    # Both have nearly converged after 30 iterations, each in its own way.
    assert relative(solution, our_solve(scan, BART_ITERATIONS)()) < 1e-2, name


def skip_unless(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Unavailable as error:
        pytest.skip(str(error))


# ---- pytest --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", RESIDUALS)
@pytest.mark.parametrize("size", [LARGE, SMALL], ids=label)
def test_residual(benchmark, size: Size, way: str) -> None:  # type: ignore[no-untyped-def]
    benchmark.group = f"residual {label(size)}"
    scan = make_scan(size)
    run = skip_unless(lambda: RESIDUALS[way](scan))
    check_residual(way, scan, run())
    benchmark.pedantic(run, rounds=15, warmup_rounds=2)


@pytest.mark.parametrize("way", SOLVES)
@pytest.mark.parametrize("size", [LARGE, SMALL], ids=label)
def test_solve(benchmark, size: Size, way: str) -> None:  # type: ignore[no-untyped-def]
    benchmark.group = f"{ITERATIONS} iterations {label(size)}"
    scan = make_scan(size)
    run = skip_unless(lambda: SOLVES[way](scan, ITERATIONS))
    check_solve(way, scan, run())
    benchmark.pedantic(run, rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("way", ["ours", "BART process"])
def test_solve_beside_bart(benchmark, tmp_path: Path, way: str) -> None:  # type: ignore[no-untyped-def]
    benchmark.group = f"{BART_ITERATIONS} iterations {label(LARGE)}"
    scan = make_scan(LARGE)
    run = our_solve(scan, BART_ITERATIONS) if way == "ours" else Bart(scan, BART_ITERATIONS, tmp_path)
    check_bart(way, scan, skip_unless(run))
    benchmark.pedantic(run, rounds=3, warmup_rounds=1)
    if isinstance(run, Bart):
        benchmark.extra_info["seconds that BART reports"] = statistics.median(run.reported)


# ---- the record ----------------------------------------------------------------------------------------------------


def compared(
    makers: dict[str, Callable[[], Callable[[], Any]]], check: Callable[[str, Any], None], rounds: int
) -> dict[str, float]:
    """Interleaved median seconds of those that are installed, after their results were compared."""
    functions = {}
    for name, make in makers.items():
        try:
            functions[name] = make()
            check(name, functions[name]())
        except Unavailable as error:
            functions.pop(name, None)
            print(f"{name}: left out, {error}")
    return interleaved(functions, rounds)


def measure_residual(size: Size) -> dict[str, float]:
    scan = make_scan(size)
    makers = {name: lambda make=make: make(scan) for name, make in RESIDUALS.items()}
    return compared(makers, lambda name, result: check_residual(name, scan, result), 15)


def measure_solve(size: Size) -> dict[str, float]:
    scan = make_scan(size)
    makers = {name: lambda make=make: make(scan, ITERATIONS) for name, make in SOLVES.items()}
    return compared(makers, lambda name, result: check_solve(name, scan, result), 5)


def measure_bart(size: Size) -> dict[str, float]:
    """Ours; BART's process, which also reads and writes files; BART as it reports itself."""
    scan = make_scan(size)
    with tempfile.TemporaryDirectory() as folder:
        bart = Bart(scan, BART_ITERATIONS, Path(folder))
        makers = {"ours": lambda: our_solve(scan, BART_ITERATIONS), "BART process": lambda: bart}
        times = compared(makers, lambda name, result: check_bart(name, scan, result), 3)
    return times | ({"BART pics": statistics.median(bart.reported)} if bart.reported else {})


def measure_roof() -> dict[str, float]:
    """Bytes a second of a copy far larger than any cache, and float operations a second of multiply-adds."""
    source = torch.ones(1 << 26)
    target = torch.empty_like(source)
    threads = torch.get_num_threads()
    rounds = 20_000_000
    operations = _cpu.multiply_adds(rounds, threads)
    times = interleaved(
        {"copy": lambda: target.copy_(source), "fma": lambda: _cpu.multiply_adds(rounds // 10, threads)}, 7
    )
    return {"bytes": 2 * source.nbytes / times["copy"], "operations": operations / 10 / times["fma"]}


def roofline(size: Size, seconds: float, roof: dict[str, float]) -> dict[str, float]:
    """Fractions of the roof that one sense_residual reaches, by what it must move and by what a full FFT would cost."""
    coils, height, width = size
    scan_bytes = 8 * height * width
    lines = make_scan(size).mask.mean().item()
    moved = coils * scan_bytes * (1 + lines) + 2 * scan_bytes  # maps, measured k-space, image and gradient
    # Two FFTs by the usual count, two complex products and the coil sum; skipped outputs count as if computed.
    operations = coils * height * width * (2 * 5 * np.log2(width) + 2 * 6 + 2)
    return {
        "bandwidth fraction": moved / seconds / roof["bytes"],
        "peak fraction": float(operations) / seconds / roof["operations"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "sense.json")
    out = parser.parse_args().out
    torch.set_num_threads(os.cpu_count() or 1)
    roof = measure_roof()
    result: dict[str, object] = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "instruction set": _cpu.selected_variant(),
            "load average": os.getloadavg()[0],
            "torch": torch.__version__,
            "copy, GB/s": roof["bytes"] / 1e9,
            "multiply-adds, GFLOP/s": roof["operations"] / 1e9,
        }
    }

    def record(task: str, times: dict[str, float]) -> None:
        result[f"{task}, s"] = times
        result[f"{task}, ratio"] = {name: value / times["ours"] for name, value in times.items()}
        print(task, json.dumps(result[f"{task}, ratio"]), flush=True)

    for size in (LARGE, SMALL):
        times = measure_residual(size)
        record(f"loss and gradient {label(size)}", times)
        result[f"loss and gradient {label(size)}, roofline"] = roofline(size, times["ours"], roof)
        record(f"{ITERATIONS} iterations {label(size)}", measure_solve(size))
    record(f"{BART_ITERATIONS} iterations {label(LARGE)}", measure_bart(LARGE))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
