"""The SENSE kernels against PyTorch, sigpy, mrpro and BART: one process, interleaved medians, equal results first.

    python -m pytest benchmarks/bench_sense.py --benchmark-enable      # with the targets asserted
    python benchmarks/bench_sense.py [--out benchmarks/results/sense.json]

Every competitor works on the full centred k-space, as its users have it; ours on hybrid space, to which the data are
brought once. The k-space is that of a random image and random smooth maps, 4x equispaced with 8 % central lines.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ugodit import kernels
from ugodit.data.geometry import centred_fft, centred_ifft
from ugodit.kernels import _cpu

MU = 0.05
LARGE, SMALL = (15, 640, 368), (8, 256, 256)
# Smallest ratio, other / ours, that counts as a pass.
RESIDUAL_TARGETS = {
    LARGE: {"torch autograd": 12, "sigpy": 15, "mrpro": 25, "mrpro objective": 25},
    SMALL: {"torch autograd": 8, "sigpy": 8, "mrpro": 8, "mrpro objective": 8},
}
SOLVE_TARGETS = {"sigpy SenseRecon": 15, "mrpro cg": 20, "our CG over sense_residual": 1.3}
BART_TARGET = 4


@dataclass(frozen=True)
class Scan:
    maps: Tensor  # (1, C, H, W)
    kspace: Tensor  # full k-space, zero where not measured
    image: Tensor  # (1, 2, H, W): where the loss is evaluated
    mask: Tensor  # (1, W) float32
    packed_maps: Tensor
    packed_kspace: Tensor

    @property
    def coils(self) -> int:
        return self.maps.shape[1]


def make_scan(coils: int, height: int, width: int) -> Scan:
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    angle = torch.arange(coils) * (2 * torch.pi / coils)
    distance = (x - angle.cos()[:, None, None]) ** 2 + (y - angle.sin()[:, None, None]) ** 2
    maps = torch.polar(torch.exp(-distance), angle[:, None, None] + 2 * x)[None]
    maps = maps / maps.abs().pow(2).sum(dim=1, keepdim=True).sqrt()
    mask = torch.zeros(1, width)
    mask[:, width // 2 % 4 :: 4] = 1
    central = round(0.08 * width)
    mask[:, (width - central + 1) // 2 : (width - central + 1) // 2 + central] = 1
    truth = torch.randn(1, 1, height, width, dtype=torch.complex64, generator=generator)
    noise = torch.randn(1, coils, height, width, dtype=torch.complex64, generator=generator)
    kspace = mask[:, None, None] * (centred_fft(maps * truth, (-2, -1)) + 0.1 * noise)
    image = torch.randn(1, 2, height, width, generator=generator)
    hybrid = centred_ifft(kspace, (-2,))
    return Scan(maps, kspace, image, mask, kernels.pack_maps(maps), kernels.pack_kspace(hybrid))


def interleaved(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each, all called once a round: whatever disturbs the machine disturbs them alike."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(rounds):
        for name, function in functions.items():
            begin = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in times.items()}


def relative(a: Tensor, b: Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


def channels(image: Tensor) -> Tensor:
    return torch.stack([image.real, image.imag], dim=1)


# ---- loss and gradient ---------------------------------------------------------------------------------------------

Residual = Callable[[], tuple[Tensor, Tensor]]


def our_residual(scan: Scan) -> Residual:
    return lambda: kernels.sense_residual(scan.image, scan.packed_maps, scan.packed_kspace, scan.mask, scan.coils)


def torch_residual(scan: Scan) -> Residual:
    def run() -> tuple[Tensor, Tensor]:
        image = scan.image.clone().requires_grad_()
        coil_images = scan.maps * torch.complex(image[:, 0], image[:, 1])[:, None]
        residual = scan.mask[:, None, None] * centred_fft(coil_images, (-2, -1)) - scan.kspace
        loss = torch.view_as_real(residual).square().sum()
        return loss.detach(), torch.autograd.grad(loss, image)[0] / 2

    return run


def sigpy_residual(scan: Scan) -> Residual:
    mri = pytest.importorskip("sigpy.mri")
    maps, mask, kspace = scan.maps[0].numpy(), scan.mask.numpy(), scan.kspace[0].numpy()
    image = torch.complex(scan.image[:, 0], scan.image[:, 1])[0].numpy()
    operator = mri.linop.Sense(maps, weights=np.broadcast_to(mask, maps.shape[1:]))
    adjoint = operator.H

    def run() -> tuple[Tensor, Tensor]:
        residual = operator(image) - kspace
        gradient = torch.from_numpy(adjoint(residual))[None]
        return torch.tensor(np.vdot(residual, residual).real), channels(gradient)

    return run


def mrpro_operator(scan: Scan) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Masked forward and adjoint on (coils z y x) arrays."""
    operators = pytest.importorskip("mrpro").operators
    fourier, sensitivity = operators.FastFourierOp(dim=(-2, -1)), operators.SensitivityOp(scan.maps[:, :, None])
    mask = scan.mask[:, None, None, None]

    def forward(image: Tensor) -> Tensor:
        return mask * fourier(*sensitivity(image))[0]

    def adjoint(kspace: Tensor) -> Tensor:
        return sensitivity.adjoint(*fourier.adjoint(mask * kspace))[0]

    return forward, adjoint


def mrpro_residual(scan: Scan) -> Residual:
    forward, adjoint = mrpro_operator(scan)
    image = torch.complex(scan.image[:, 0], scan.image[:, 1])[:, None, None]
    kspace = scan.kspace[:, :, None]

    def run() -> tuple[Tensor, Tensor]:
        residual = forward(image) - kspace
        loss = torch.view_as_real(residual).square().sum()
        return loss, channels(adjoint(residual)[:, 0, 0])

    return run


def mrpro_objective(scan: Scan) -> Residual:
    """As mrpro's users write it: a functional composed with the operators, and backward()."""
    operators = pytest.importorskip("mrpro").operators
    masking = operators.CartesianMaskingOp(scan.mask[:, None, None, None])
    fourier, sensitivity = operators.FastFourierOp(dim=(-2, -1)), operators.SensitivityOp(scan.maps[:, :, None])
    distance = operators.functionals.L2NormSquared(scan.kspace[:, :, None])
    objective = distance @ masking @ fourier @ sensitivity
    image = torch.complex(scan.image[:, 0], scan.image[:, 1])[:, None, None]

    def run() -> tuple[Tensor, Tensor]:
        leaf = image.clone().requires_grad_()
        (loss,) = objective(leaf)
        loss.backward()
        return loss.detach(), channels(leaf.grad[:, 0, 0]) / 2

    return run


def measure_residual(size: tuple[int, int, int], rounds: int = 15) -> dict[str, float]:
    scan = make_scan(*size)
    functions: dict[str, Residual] = {
        "ours": our_residual(scan),
        "torch autograd": torch_residual(scan),
        "sigpy": sigpy_residual(scan),
        "mrpro": mrpro_residual(scan),
        "mrpro objective": mrpro_objective(scan),
    }
    loss, gradient = functions["ours"]()
    for name, function in functions.items():
        other_loss, other_gradient = function()
        # Some of the others sum millions of squares in float32.
        assert relative(loss.reshape(()), other_loss.reshape(())) < 1e-4, name
        assert relative(gradient, other_gradient) < 1e-5, name
    return interleaved(functions, rounds)


# ---- ten conjugate gradient iterations -----------------------------------------------------------------------------


def our_solve(scan: Scan, rhs: Tensor, iterations: int) -> Callable[[], Tensor]:
    start, mu = torch.zeros_like(rhs), torch.tensor([MU])
    return lambda: kernels.sense_solve(rhs, start, scan.packed_maps, scan.mask, mu, scan.coils, iterations)[0]


def our_outer_cg(scan: Scan, rhs: Tensor, iterations: int) -> Callable[[], Tensor]:
    """The textbook's loop, with one fused call an iteration."""

    def normal(x: Tensor) -> Tensor:
        return kernels.sense_residual(x, scan.packed_maps, None, scan.mask, scan.coils)[1].add_(x, alpha=MU)

    def run() -> Tensor:
        solution, residual = torch.zeros_like(rhs), rhs.clone()
        direction, energy = residual.clone(), residual.flatten().dot(residual.flatten())
        for _ in range(iterations):
            applied = normal(direction)
            step = energy / direction.flatten().dot(applied.flatten())
            solution.add_(step * direction)
            residual.sub_(step * applied)
            renewed = residual.flatten().dot(residual.flatten())
            direction.mul_(renewed / energy).add_(residual)
            energy = renewed
        return solution

    return run


def sigpy_solve(scan: Scan, iterations: int) -> Callable[[], Tensor]:
    mri = pytest.importorskip("sigpy.mri")
    maps, kspace = scan.maps[0].numpy(), scan.kspace[0].numpy()
    weights = np.broadcast_to(scan.mask.numpy(), maps.shape[1:])

    def run() -> Tensor:
        app = mri.app.SenseRecon(kspace, maps, lamda=MU, weights=weights, max_iter=iterations, tol=0, show_pbar=False)
        return channels(torch.from_numpy(app.run())[None])

    return run


def mrpro_solve(scan: Scan, iterations: int) -> Callable[[], Tensor]:
    forward, adjoint = mrpro_operator(scan)
    cg = pytest.importorskip("mrpro").algorithms.optimizers.cg
    rhs = adjoint(scan.kspace[:, :, None])

    def normal(x: Tensor) -> tuple[Tensor]:
        return (adjoint(forward(x)) + MU * x,)

    return lambda: channels(
        cg(normal, rhs, initial_value=torch.zeros_like(rhs), max_iterations=iterations, tolerance=0)[0][:, 0, 0]
    )


def right_hand_side(scan: Scan) -> Tensor:
    zero = torch.zeros_like(scan.image)
    return -kernels.sense_residual(zero, scan.packed_maps, scan.packed_kspace, scan.mask, scan.coils)[1]


def error_energy(scan: Scan, rhs: Tensor, x: Tensor) -> float:
    """x^H (A^H A + mu) x / 2 - Re rhs^H x: what conjugate gradients minimise."""
    loss = kernels.sense_residual(x, scan.packed_maps, None, scan.mask, scan.coils)[0].double()
    return ((loss + MU * x.double().square().sum()) / 2 - (rhs.double() * x.double()).sum()).item()


def measure_solve(size: tuple[int, int, int], iterations: int = 10, rounds: int = 5) -> dict[str, float]:
    scan = make_scan(*size)
    rhs = right_hand_side(scan)
    functions: dict[str, Callable[[], Tensor]] = {
        "ours": our_solve(scan, rhs, iterations),
        "our CG over sense_residual": our_outer_cg(scan, rhs, iterations),
        "sigpy SenseRecon": sigpy_solve(scan, iterations),
        "mrpro cg": mrpro_solve(scan, iterations),
    }
    # The same iterates where the algorithm is the same; where each row has its own steps, at least as near the minimum.
    textbook = functions["our CG over sense_residual"]()
    for name in ("sigpy SenseRecon", "mrpro cg"):
        assert relative(functions[name](), textbook) < 1e-3, name
    limit = our_solve(scan, rhs, 100)()
    assert relative(our_outer_cg(scan, rhs, 100)(), limit) < 1e-3
    assert relative(functions["ours"](), limit) <= 1.01 * relative(textbook, limit)
    assert error_energy(scan, rhs, functions["ours"]()) <= error_energy(scan, rhs, textbook) * (1 - 1e-6) + 1e-6
    return interleaved(functions, rounds)


# ---- BART ----------------------------------------------------------------------------------------------------------


def write_cfl(path: str, array: np.ndarray) -> None:
    Path(path + ".hdr").write_text("# Dimensions\n" + " ".join(map(str, array.shape)) + "\n")
    array.astype(np.complex64).ravel(order="F").tofile(path + ".cfl")


def read_cfl(path: str) -> np.ndarray:
    shape = [int(size) for size in Path(path + ".hdr").read_text().split("\n")[1].split()]
    return np.fromfile(path + ".cfl", np.complex64).reshape(shape, order="F")


def measure_bart(size: tuple[int, int, int], iterations: int = 30, rounds: int = 3) -> dict[str, float]:
    """Median seconds: ours; BART as it reports itself; BART's process, which also reads and writes files."""
    scan = make_scan(*size)
    ours = our_solve(scan, right_hand_side(scan), iterations)
    reported = []

    with tempfile.TemporaryDirectory() as folder:
        for name, array in (("kspace", scan.kspace), ("maps", scan.maps)):
            write_cfl(f"{folder}/{name}", array[0].permute(1, 2, 0)[:, :, None].numpy())

        def bart() -> None:
            # -w1: without it BART scales the data, and mu would mean something else. -d4 makes it print its time.
            command = ["bart", "pics", "-d4", "-l2", f"-r{MU}", f"-i{iterations}", "-w1", "kspace", "maps", "image"]
            try:
                done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
            except FileNotFoundError:
                pytest.skip("BART is not installed (Debian package bart)")
            found = re.search(r"Total Time:\s*([0-9.]+)", done.stdout + done.stderr)
            reported.append(float(found.group(1)) if found else float("nan"))

        bart()
        image = torch.from_numpy(read_cfl(f"{folder}/image")).reshape(size[1:])[None]
        # Both have nearly converged after 30 iterations, each in its own way.
        assert relative(channels(image), ours()) < 1e-2
        times = interleaved({"ours": ours, "BART process": bart}, rounds)
    return times | {"BART pics": statistics.median(reported)}


# ---- roofline ------------------------------------------------------------------------------------------------------


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


def roofline(size: tuple[int, int, int], seconds: float, roof: dict[str, float]) -> dict[str, float]:
    """Fractions of the roof that one sense_residual reaches, by what it must move and by what a full FFT would cost."""
    coils, height, width = size
    scan_bytes = 8 * height * width
    lines = make_scan(*size).mask.mean().item()
    moved = coils * scan_bytes * (1 + lines) + 2 * scan_bytes  # maps, measured k-space, image and gradient
    # Two FFTs by the usual count, two complex products and the coil sum; skipped outputs count as if computed.
    operations = coils * height * width * (2 * 5 * np.log2(width) + 2 * 6 + 2)
    return {
        "bandwidth fraction": moved / seconds / roof["bytes"],
        "peak fraction": float(operations) / seconds / roof["operations"],
    }


# ---- pytest --------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_surprises() -> None:
    """Everyone gets the same threads."""
    torch.set_num_threads(os.cpu_count() or 1)


def check_targets(times: dict[str, float], targets: dict[str, float]) -> None:
    ratios = {name: times[name] / times["ours"] for name in targets}
    assert all(ratios[name] >= target for name, target in targets.items()), (ratios, targets)


@pytest.mark.parametrize("size", [LARGE, SMALL], ids=str)
def test_residual(benchmark, size) -> None:  # type: ignore[no-untyped-def]
    times = measure_residual(size)
    benchmark.extra_info.update(times)
    benchmark.pedantic(our_residual(make_scan(*size)), rounds=20, warmup_rounds=2)
    check_targets(times, RESIDUAL_TARGETS[size])


def test_solve(benchmark) -> None:  # type: ignore[no-untyped-def]
    times = measure_solve(LARGE)
    benchmark.extra_info.update(times)
    scan = make_scan(*LARGE)
    benchmark.pedantic(our_solve(scan, right_hand_side(scan), 10), rounds=5, warmup_rounds=1)
    check_targets(times, SOLVE_TARGETS)


def test_bart(benchmark) -> None:  # type: ignore[no-untyped-def]
    times = measure_bart(LARGE)
    benchmark.extra_info.update(times)
    scan = make_scan(*LARGE)
    benchmark.pedantic(our_solve(scan, right_hand_side(scan), 30), rounds=3, warmup_rounds=1)
    check_targets(times, {"BART pics": BART_TARGET})


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
    for size in (LARGE, SMALL):
        label = "x".join(map(str, size))
        times = measure_residual(size)
        result[f"loss and gradient {label}, s"] = times
        result[f"loss and gradient {label}, ratio"] = {name: value / times["ours"] for name, value in times.items()}
        result[f"loss and gradient {label}, roofline"] = roofline(size, times["ours"], roof)
        print(label, json.dumps(result[f"loss and gradient {label}, ratio"]), flush=True)
        times = measure_solve(size)
        result[f"10 iterations {label}, s"] = times
        result[f"10 iterations {label}, ratio"] = {name: value / times["ours"] for name, value in times.items()}
        print(label, json.dumps(result[f"10 iterations {label}, ratio"]), flush=True)
    times = measure_bart(LARGE)
    label = "x".join(map(str, LARGE))
    result[f"30 iterations {label}, s"] = times
    result[f"30 iterations {label}, ratio"] = {name: value / times["ours"] for name, value in times.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
