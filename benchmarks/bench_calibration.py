"""ESPIRiT: speed and memory beside sigpy and BART, agreement with both on real scans, and which maps reconstruct best.

    python -m pytest benchmarks/bench_calibration.py --benchmark-only --benchmark-group-by=group      speed alone
    python benchmarks/bench_calibration.py --out benchmarks/results/calibration.json

BART (Debian package bart) is timed as users call it, files included, in a folder that --scratch names (default: in
memory), and left out where it is not installed. sigpy takes minutes. --skip-sigpy leaves it out.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from calibration_peers import Pair, agreement, bart_espirit, central_block, sigpy_espirit, simulated, strongest_rows
from sense_scan import Size, Unavailable, label

from ugodit.calibration import estimate_maps
from ugodit.data.geometry import centred_ifft
from ugodit.data.masks import cartesian_mask
from ugodit.kernels import reference

SCANS = ["brain_eye_level_8ch_256x256", "brain_lowres_16ch_96x96", "brain_t1_a_8ch_230x180", "brain_t1_b_8ch_230x180"]

LARGE, SMALL = (15, 640, 368), (8, 256, 256)
BARTS_THRESHOLD, CROP = math.sqrt(0.001), 0.8
"""BART's -t is of squared singular values."""


def ours(kspace: torch.Tensor) -> torch.Tensor:
    """The work that the others are given: a central 24 x 24 block, kernel 6, one set."""
    return estimate_maps(kspace, 24, kernel_width=6, threshold=BARTS_THRESHOLD, crop=CROP)


def agreement_bart(kspace: np.ndarray, scratch: Path) -> dict[str, float]:
    """With ecalib -O, which computes eigenvectors where plain ecalib takes power iterations."""
    exact, _ = bart_espirit(kspace, scratch, "-O")
    return agreement(kspace, central_block(kspace, strongest_rows(kspace)), BARTS_THRESHOLD, exact, math.inf)


def agreement_sigpy(kspace: np.ndarray, maps: Pair, iterations: int = 100) -> dict[str, float]:
    return agreement(kspace, central_block(kspace), 0.02, maps, iterations)


# sigpy on the large size takes most of a minute a call: that is left to the record.
@pytest.mark.parametrize(
    ("size", "way"),
    [(LARGE, "ours"), (LARGE, "BART process"), (SMALL, "ours"), (SMALL, "BART process"), (SMALL, "sigpy")],
    ids=lambda value: value if isinstance(value, str) else label(value),
)
def test_maps(benchmark, tmp_path: Path, size: Size, way: str) -> None:  # type: ignore[no-untyped-def]
    benchmark.group = f"ESPIRiT maps {label(size)}"
    kspace = simulated(*size)
    if way == "ours":
        tensor = torch.from_numpy(kspace)
        benchmark.pedantic(lambda: ours(tensor), rounds=5, warmup_rounds=1)
        return
    try:
        agreed = (
            agreement_bart(kspace, tmp_path)
            if way == "BART process"
            else agreement_sigpy(kspace, sigpy_espirit(kspace, CROP, 0.02))
        )
    except Unavailable as error:
        pytest.skip(str(error))
    assert agreed["maps_max_difference"] < 1e-3
    assert agreed["support_differs_pixels"] == 0
    if way == "BART process":
        benchmark.pedantic(lambda: bart_espirit(kspace, tmp_path), rounds=3)
    else:
        benchmark.pedantic(lambda: sigpy_espirit(kspace, CROP, 0.02), rounds=1)


def timed(function: Callable[[], object], repeats: int) -> list[float]:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return seconds


def peak_memory(coils: int, height: int, width: int) -> float:
    """Peak memory of one call over what was there before it, in units of the maps' size; in a process of its own."""
    program = """if True:
        import sys, torch
        from ugodit.calibration import estimate_maps

        def status(name):  # bytes
            lines = open("/proc/self/status").read().splitlines()
            return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])

        coils, height, width = map(int, sys.argv[1:])
        estimate_maps(torch.randn(2, 32, 32, dtype=torch.complex64), 24)  # loads LAPACK
        kspace = torch.randn(coils, height, width, dtype=torch.complex64)
        open("/proc/self/clear_refs", "w").write("5")  # the peak starts anew
        before = status("VmRSS")
        maps = estimate_maps(kspace, 24)
        print((status("VmHWM") - before) / (maps.numel() * 8))
    """
    command = [sys.executable, "-c", program, str(coils), str(height), str(width)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def speed(coils: int, height: int, width: int, scratch: Path, with_sigpy: bool) -> dict[str, object]:
    kspace = simulated(coils, height, width)
    tensor = torch.from_numpy(kspace)
    result: dict[str, object] = {"coils": coils, "rows": height, "columns": width, "acs_lines": 24}
    times = timed(lambda: ours(tensor), 6)[1:]
    result["ugodit_seconds"], result["ugodit_seconds_all"] = min(times), times
    try:
        result["agreement_bart"] = agreement_bart(kspace, scratch)
        bart = [bart_espirit(kspace, scratch)[1] for _ in range(3)]
        result["bart_seconds"], result["bart_seconds_all"] = min(bart), bart
        result["times_faster_than_bart"] = min(bart) / min(times)
    except Unavailable as error:
        print(f"BART: left out, {error}")
    if with_sigpy:
        start = time.perf_counter()
        maps = sigpy_espirit(kspace, CROP, 0.02)
        seconds = time.perf_counter() - start
        result["sigpy_seconds"], result["times_faster_than_sigpy"] = seconds, seconds / min(times)
        result["agreement_sigpy"] = agreement_sigpy(kspace, maps)
    volume = tensor[None].expand(4, -1, -1, -1)
    result["ugodit_seconds_a_slice_in_a_batch_of_4"] = min(timed(lambda: estimate_maps(volume, 24), 2)) / 4
    result["peak_memory_over_maps"] = peak_memory(coils, height, width)
    return result


def reconstruct(kspace: np.ndarray, maps: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
    """CG-SENSE, 20 steps, mu 5e-3: magnitude (H, W)."""
    hybrid = centred_ifft(torch.from_numpy(kspace / abs(kspace).max())[None], (-2,))
    weights = mask.float()[None]
    rhs = reference.sense_adjoint(torch.view_as_real(hybrid), maps[None], weights)
    image, _ = reference.sense_solve(
        rhs, torch.zeros_like(rhs), maps[None], weights, torch.tensor([5e-3]), None, 20, 0.0
    )
    return image[0].square().sum(0).sqrt().numpy()


def scores(kspace: np.ndarray, candidates: dict[str, torch.Tensor], seeds: range) -> dict[str, float]:
    """PSNR in dB against the root sum of squares of all data, mean over 4x random masks with 24 lines in the centre."""
    images = centred_ifft(torch.from_numpy(kspace / abs(kspace).max()), (-2, -1))
    target = images.abs().square().sum(0).sqrt().numpy()
    width = kspace.shape[-1]
    result = {}
    for name, maps in candidates.items():
        errors = []
        for seed in seeds:
            mask = torch.from_numpy(cartesian_mask("random", width, 4, 24 / width, seed))
            errors.append(((reconstruct(kspace, maps, mask) - target) ** 2).mean())
        result[name] = float(np.mean([10 * math.log10(target.max() ** 2 / error) for error in errors]))
    return result


def real_scan(path: Path, scratch: Path, with_sigpy: bool) -> dict[str, object]:
    with h5py.File(path) as file:
        kspace = file["kspace"][0]
    tensor = torch.from_numpy(kspace)
    result: dict[str, object] = {}
    candidates = {
        "ugodit": estimate_maps(tensor, 24),
        "ugodit at sigpy's threshold and crop": estimate_maps(tensor, 24, threshold=0.02, crop=0.95),
        "ugodit at BART's threshold and crop": estimate_maps(tensor, 24, threshold=BARTS_THRESHOLD, crop=CROP),
    }
    try:
        result["agreement_bart"] = agreement_bart(kspace, scratch)
        candidates["bart"] = torch.from_numpy(bart_espirit(kspace, scratch)[0][0])
    except Unavailable as error:
        print(f"BART: left out, {error}")
    if with_sigpy:
        maps, values = sigpy_espirit(kspace, CROP, 0.02, 300)
        result["agreement_sigpy"] = agreement_sigpy(kspace, (maps, values), 300)
        candidates["sigpy"] = torch.from_numpy(np.nan_to_num(maps * (values > 0.95)))
    result["psnr_db"] = scores(kspace, candidates, range(3))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("UGODIT_DATA", "../shared/data")))
    parser.add_argument("--scratch", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--skip-sigpy", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # BART's
    load = os.getloadavg()
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        scratch = Path(folder)
        result: dict[str, object] = {
            "machine": {"processor": _processor(), "cores": os.cpu_count(), "threads": arguments.threads, "load": load},
            "versions": {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()},
            "speed": speed(15, 640, 368, scratch, not arguments.skip_sigpy),
            "speed_32_coils": speed(32, 320, 320, scratch, False),
            "scans": {
                name: real_scan(arguments.data / "mri" / f"{name}.h5", scratch, not arguments.skip_sigpy)
                for name in SCANS
            },
        }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(arguments.out.read_text())


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
