"""Times ESPIRiT on a GPU: the sensitivity maps of a volume.

    python -m pytest benchmarks/bench_calibration_gpu.py --benchmark-only
    python benchmarks/bench_calibration_gpu.py [--out FILE]
    python benchmarks/bench_calibration_gpu.py --device cpu --small     a dry run: small sizes, no file

36 slices of 15 x 640 x 368, calibrated from 24 lines. The maps of the first and the last slice have to agree with the
CPU's where they are well determined. `kernels` is the CPU's part of the time: the calibration matrices' eigenvectors.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import gpu_script  # noqa: E402

from ugodit.calibration.espirit import _operators, estimate_maps_and_eigenvalues  # noqa: E402
from ugodit.calibration.region import calibration_data  # noqa: E402
from ugodit.data.geometry import centred_fft  # noqa: E402

RESULTS = "calibration_gpu.json"
SIZE = (36, 15, 640, 368)
SMALL = (3, 4, 32, 40)
LINES = 24
# The same algorithm in float32 with other contractions: roundings over the gap between eigenvalues, which is a tenth or
# more where the first is near one and the coils are as different as here.
AGREEMENT = 1e-3


def volume(size: tuple[int, int, int, int], device: torch.device) -> Tensor:
    """Discs that grow from slice to slice, textured, seen by coils on a circle; with noise."""
    slices, coils, height, width = size
    generator = torch.Generator(device).manual_seed(0)
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height, device=device), torch.linspace(-1, 1, width, device=device), indexing="ij"
    )
    angle = 2 * torch.pi * torch.arange(coils, device=device)[:, None, None] / coils
    dy, dx = y - 1.4 * angle.sin(), x - 1.4 * angle.cos()
    maps = torch.polar(1 / (dy**2 + dx**2 + 0.2), angle + torch.atan2(dy, dx))
    texture = 1 + 0.5 * torch.sin(30 * x + 12 * y) * torch.cos(25 * y)
    kspace = torch.empty(size, dtype=torch.complex64, device=device)
    for index in range(slices):
        radius = 0.6 + 0.3 * index / slices
        kspace[index] = centred_fft(maps * (texture * (x**2 + y**2 < radius**2)), (-2, -1))
        noise = torch.randn(size[1:], dtype=torch.complex64, device=device, generator=generator)
        kspace[index] += 0.02 * noise
    return kspace


def seconds(function: Any, device: torch.device, repeats: int) -> float:
    """Median after one call that is not counted."""
    times = []
    for _ in range(repeats + 1):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        begin = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def worst_difference(kspace: Tensor, maps: Tensor, lines: int) -> float:
    """From the CPU's maps, over the first and the last slice, where the eigenvalue is above 0.99."""
    worst = 0.0
    for index in (0, len(kspace) - 1):
        expected, values = estimate_maps_and_eigenvalues(kspace[index].cpu(), lines)
        difference = torch.linalg.vector_norm(maps[index].cpu() - expected, dim=0)
        worst = max(worst, float(difference[values > 0.99].max()))
    return worst


def test_maps_on_a_gpu(benchmark) -> None:  # type: ignore[no-untyped-def]
    benchmark.group = f"ESPIRiT maps on a GPU {gpu_script.label(SIZE)}"
    kspace = volume(SIZE, gpu_script.gpu_or_skip())
    assert worst_difference(kspace, estimate_maps_and_eigenvalues(kspace, LINES)[0], LINES) < AGREEMENT
    run = gpu_script.waiting(lambda: estimate_maps_and_eigenvalues(kspace, LINES))
    benchmark.pedantic(run, rounds=3, warmup_rounds=1)


def main(argv: list[str] | None = None) -> int:
    parser = gpu_script.parser(__doc__, RESULTS)
    options = parser.parse_args(argv)
    device, name = gpu_script.chosen_device(options.device)
    size = SMALL if options.small else SIZE
    kspace = volume(size, device)
    maps, _ = estimate_maps_and_eigenvalues(kspace, LINES)
    difference = worst_difference(kspace, maps, LINES)
    if not difference < AGREEMENT:
        raise SystemExit(f"maps differ from the CPU's by {difference:.1e}, expected below {AGREEMENT:.0e}: not timed")
    blocks = calibration_data(kspace, LINES, None)
    whole = seconds(lambda: estimate_maps_and_eigenvalues(kspace, LINES), device, 3)
    kernels = seconds(lambda: list(_operators(blocks, 6, 0.02, together=device.type != "cpu")), device, 3)
    result = {
        "date": date.today().isoformat(),
        "device": name,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cores": os.cpu_count(),
        "size": list(size),
        "seconds": whole,
        "seconds_of_kernels": kernels,
        "difference_from_cpu": difference,
    }
    print(f"{name}: {' x '.join(map(str, size))} in {whole:.3f} s, {kernels:.3f} s of them for the kernels on the CPU")
    print(gpu_script.write(result, options, device, RESULTS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
