"""Times the CUDA kernels on a GPU against PyTorch, sigpy on CuPy, and the bytes that have to move.

    python -m pytest benchmarks/bench_sense_gpu.py --benchmark-only --benchmark-group-by=group
    python benchmarks/bench_sense_gpu.py [--out FILE] [--sweep]
    python benchmarks/bench_sense_gpu.py --device cpu      a dry run of every line: tiny sizes, host kernels, no numbers

Cases: 16 slices of 15 x 640 x 368 and of 8 x 256 x 256 at 4x, loss and gradient, and a 10-iteration solve. What is
compared first has to agree. Times are medians over repeats of CUDA events round several calls, after a warm-up; inputs
are hundreds of MB, far more than any cache. The floor is the bytes of maps, measured data, image and gradient, each
moved once, over the bandwidth of a large device copy (read and written bytes counted) measured in the same run.
"""

import argparse
import json
import platform
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import gpu_script  # noqa: E402
from sense_gpu_case import ITERATIONS, Case, Clock, Size, agree, sigpy_residual  # noqa: E402

from ugodit.kernels import _cuda_ops  # noqa: E402

SIZES: tuple[Size, ...] = ((16, 15, 640, 368), (16, 8, 256, 256))
DRY_SIZES: tuple[Size, ...] = ((2, 3, 4, 20),)

Numbers = dict[str, Any]

RESIDUALS: dict[str, Callable[[Case], Callable[[], Any]]] = {
    "ours": lambda case: case.residual,
    "ours, half maps": lambda case: lambda: case.residual(case.packed_half),
    "PyTorch, centred autograd": lambda case: case.centred_autograd,
    "PyTorch, hybrid space": lambda case: case.hybrid,
    "sigpy on CuPy": sigpy_residual,
}
SOLVES: dict[str, Callable[[Case], Callable[[], Any]]] = {
    "ours": lambda case: case.solve,
    "PyTorch, centred": lambda case: case.centred_solve,
    "PyTorch, hybrid space": lambda case: case.hybrid_solve,
}


def gpu_case(size: Size) -> Case:
    """The case on the GPU, after all ways were found to agree; skips the test without a GPU."""
    case = Case(size, gpu_script.gpu_or_skip(), _cuda_ops.extension())
    check(case)
    return case


@pytest.mark.parametrize("way", RESIDUALS)
@pytest.mark.parametrize("size", SIZES, ids=gpu_script.label)
def test_residual_on_a_gpu(benchmark, size: Size, way: str) -> None:  # type: ignore[no-untyped-def]
    benchmark.group = f"residual on a GPU {gpu_script.label(size)}"
    case = gpu_case(size)
    try:
        run = RESIDUALS[way](case)
    except ImportError as error:
        pytest.skip(f"{way}: {error}")
    benchmark.pedantic(gpu_script.waiting(run), rounds=20, warmup_rounds=3)


@pytest.mark.parametrize("way", SOLVES)
@pytest.mark.parametrize("size", SIZES, ids=gpu_script.label)
def test_solve_on_a_gpu(benchmark, size: Size, way: str) -> None:  # type: ignore[no-untyped-def]
    benchmark.group = f"{ITERATIONS} iterations on a GPU {gpu_script.label(size)}"
    benchmark.pedantic(gpu_script.waiting(SOLVES[way](gpu_case(size))), rounds=10, warmup_rounds=2)


def copy_bandwidth(device: torch.device, clock: Clock) -> float:
    """Bytes per second of a device-to-device copy, read plus written."""
    count = 2**29 if device.type == "cuda" else 2**20
    source = torch.randn(count, device=device)
    target = torch.empty_like(source)
    return 2 * 4 * count / (1e-3 * clock(lambda: target.copy_(source)))


def sweep(case: Case, clock: Clock) -> list[Numbers]:
    """Other launch settings than the kernels choose for themselves; those that a device cannot run are left out."""
    rows = []
    for kernel, run, resident in (("residual", case.residual, (-1,)), ("solve", case.solve, (0, 1))):
        for flight in sorted({1, (case.coils + 3) // 4, (case.coils + 2) // 3, (case.coils + 1) // 2, case.coils}):
            for threads in (64, 96, 128, 192, 256):
                for stays in resident:
                    wish = {"flight": flight, "threads": threads, "resident": stays}
                    try:
                        milliseconds = clock(lambda run=run, wish=wish: run(**wish), calls=2, repeats=3)
                    except (ValueError, RuntimeError):
                        continue
                    rows.append({"kernel": kernel, **wish, "ms": milliseconds})
    return sorted(rows, key=lambda row: (row["kernel"], row["ms"]))


def check(case: Case) -> None:
    """PyTorch's ways compute what ours do; sigpy_residual compares sigpy's itself."""
    loss, gradient = case.residual()
    for name, other in (("centred autograd", case.centred_autograd), ("hybrid space", case.hybrid)):
        agree(f"{name}: gradient", other()[1], gradient)
        agree(f"{name}: loss", other()[0], loss)
    solution = case.solve()
    agree("hybrid solve", case.hybrid_solve(), solution)
    agree("centred solve", case.centred_solve(), solution)


def measure(case: Case, clock: Clock, bandwidth: float) -> Numbers:
    check(case)
    ours = clock(case.residual)
    floor = 1e3 * case.floor_bytes() / bandwidth
    numbers: Numbers = {
        "size": dict(zip(("slices", "coils", "rows", "columns"), case.size, strict=True)),
        "lines": case.lines,
        "residual_ms": {
            "ugodit": ours,
            "ugodit, half maps": clock(lambda: case.residual(case.packed_half)),
            "pytorch, centred autograd": clock(case.centred_autograd, calls=2),
            "pytorch, hybrid space": clock(case.hybrid, calls=2),
            "floor": floor,
        },
        "floor_bytes": case.floor_bytes(),
        "fraction_of_floor": floor / ours,
        "solve_ms": {
            "ugodit": clock(case.solve),
            "pytorch, centred": clock(case.centred_solve, calls=1, repeats=5),
            "pytorch, hybrid space": clock(case.hybrid_solve, calls=1, repeats=5),
        },
    }
    try:
        sigpy = sigpy_residual(case)
        torch.cuda.synchronize()
        numbers["residual_ms"]["sigpy on cupy"] = clock(sigpy, calls=1, repeats=5)
    except (ImportError, RuntimeError, AssertionError) as error:
        numbers["sigpy"] = f"not timed: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return numbers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/sense_gpu.json; a dry run writes nothing")
    parser.add_argument("--sweep", action="store_true", help="also time other launch settings")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda":
        module = _cuda_ops.extension()
        if module is None or not torch.cuda.is_available():
            raise SystemExit("needs a GPU and ugodit.kernels._cuda: build with -DUGODIT_CUDA=on")
        device, sizes = torch.device("cuda", torch.cuda.current_device()), SIZES
        properties = torch.cuda.get_device_properties(device)
        name = f"{properties.name}, {properties.multi_processor_count} multiprocessors"
    else:
        from ugodit.kernels import _cuda_host as module  # type: ignore[no-redef]

        sizes, name = DRY_SIZES, "dry run"
    torch.backends.cuda.matmul.allow_tf32 = False
    clock = Clock(device)
    bandwidth = copy_bandwidth(device, clock)
    result: Numbers = {
        "date": date.today().isoformat(),
        "device": name,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "copy_bytes_per_second": bandwidth,
        "iterations": ITERATIONS,
        "cases": [],
    }
    for size in sizes:
        case = Case(size, device, module)
        numbers = measure(case, clock, bandwidth)
        if options.sweep:
            numbers["sweep"] = sweep(case, clock)
        result["cases"].append(numbers)
        del case
    if device.type == "cpu":
        print("dry run: every line ran, on the host; times mean nothing and are not written")
        return 0
    out = options.out or ROOT / "benchmarks/results/sense_gpu.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{name}: copies at {bandwidth / 1e12:.2f} TB/s; written to {out}")
    for numbers in result["cases"]:
        print(" x ".join(map(str, numbers["size"].values())), f"({numbers['lines']} lines)")
        for kind in ("residual_ms", "solve_ms"):
            for who, milliseconds in numbers[kind].items():
                print(f"  {kind[:-3]:9}{who:28}{milliseconds:9.3f} ms{milliseconds / numbers[kind]['ugodit']:8.1f} x")
        print(f"  fraction of the floor's speed: {numbers['fraction_of_floor']:.2f}; {numbers.get('sigpy', '')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
