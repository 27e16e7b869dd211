"""ESPIRiT: speed and memory beside sigpy and BART, agreement with both on real scans, and which maps reconstruct best.

    python benchmarks/bench_calibration.py --out benchmarks/results/calibration.json

BART (Debian package bart) is timed as users call it, files included, in a folder that --scratch names (default: in
memory). sigpy takes minutes. --skip-sigpy leaves it out.
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
import warnings
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch

from ugodit.calibration import estimate_maps, maps_from_block
from ugodit.calibration.region import calibration_data
from ugodit.data.masks import cartesian_mask
from ugodit.io.cfl import read_cfl, write_cfl
from ugodit.kernels import reference

SCANS = ["brain_eye_level_8ch_256x256", "brain_lowres_16ch_96x96", "brain_t1_a_8ch_230x180", "brain_t1_b_8ch_230x180"]
Pair = tuple[np.ndarray, np.ndarray]  # maps (C, H, W), eigenvalues (H, W)


def simulated(coils: int, height: int, width: int, noise: float = 0.02) -> np.ndarray:
    """A textured ellipse seen by coils on a circle, complex64 k-space."""
    generator = np.random.default_rng(0)
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    angle = 2 * np.pi * np.arange(coils)[:, None, None] / coils
    dy, dx = y - 1.4 * np.sin(angle), x - 1.4 * np.cos(angle)
    maps = np.exp(1j * (angle + np.arctan2(dy, dx))) / (dy**2 + dx**2 + 0.2)
    image = ((x / 0.7) ** 2 + (y / 0.45) ** 2 < 1) * (1 + 0.5 * np.sin(30 * x + 12 * y) * np.cos(25 * y))
    kspace = reference.centred_fft(torch.from_numpy(maps * image), (-2, -1)).numpy()
    kspace += noise * (generator.standard_normal(kspace.shape) + 1j * generator.standard_normal(kspace.shape))
    return kspace.astype(np.complex64)


def sigpy_espirit(kspace: np.ndarray, crop: float, threshold: float, iterations: int = 100) -> Pair:
    import sigpy.mri

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it divides 0 by 0 where maps are 0
        maps, values = sigpy.mri.app.EspiritCalib(
            kspace / abs(kspace).max(), calib_width=24, thresh=threshold, kernel_width=6, crop=crop,
            max_iter=iterations, output_eigenvalue=True, show_pbar=False,
        ).run()  # fmt: skip
    return maps, values[0]


def bart_espirit(kspace: np.ndarray, scratch: Path, *options: str) -> tuple[Pair, float]:
    coils, height, width = kspace.shape
    write_cfl(scratch / "kspace", np.moveaxis(kspace / abs(kspace).max(), 0, -1)[:, :, None])
    command = ["bart", "ecalib", "-r24", "-k6", "-t0.001", "-c0.8", "-m1", *options, "kspace", "maps", "values"]
    start = time.perf_counter()
    subprocess.run(command, cwd=scratch, check=True, capture_output=True)
    seconds = time.perf_counter() - start
    maps = np.array(read_cfl(scratch / "maps").reshape(height, width, coils).transpose(2, 0, 1))
    return (maps, np.array(read_cfl(scratch / "values").reshape(height, width).real)), seconds


def central_block(kspace: np.ndarray, along_readout: int | None = None) -> torch.Tensor:
    """The central 24 x 24 samples; or, as ecalib takes them, along the readout where most of the energy lies."""
    if along_readout is None:
        return calibration_data(torch.from_numpy(kspace)[None], 24, None)
    width = kspace.shape[-1]
    return torch.from_numpy(kspace[None, :, along_readout : along_readout + 24, width // 2 - 12 : width // 2 + 12])


def strongest_rows(kspace: np.ndarray) -> int:
    width = kspace.shape[-1]
    columns = kspace[:, :, width // 2 - 12 : width // 2 + 12].astype(np.complex128)
    energy = np.concatenate([[0], (abs(columns) ** 2).sum((0, 2)).cumsum()])
    return int((energy[24:] - energy[:-24]).argmax())


def agreement(kspace: np.ndarray, block: torch.Tensor, threshold: float, other: Pair, steps: float) -> dict[str, float]:
    """Largest differences between their maps and ours, common phase removed, inside both crops.

    Where two eigenvalues nearly coincide, `steps` power iterations have not converged; such pixels, where (second /
    first)^steps is above 1e-4, are counted and left out.
    """
    shape = (kspace.shape[-2], kspace.shape[-1])
    sets = min(2, kspace.shape[0])
    ours, values = maps_from_block(block, shape, kernel_width=6, threshold=threshold, crop=0.8, sets=sets)
    maps, first = ours[0, 0].numpy(), values[0, 0].numpy()
    second = values[0, 1].numpy() if sets == 2 else 0 * first
    converged = (second / first) ** steps < 1e-4
    theirs, their_values = other
    support, their_support = abs(maps).sum(0) > 0, abs(theirs).sum(0) > 0
    inside = support & their_support & converged
    phase = np.exp(1j * np.angle((theirs.conj() * maps).sum(0)))
    difference = np.linalg.norm(maps - theirs * phase, axis=0)
    return {
        "maps_max_difference": float(difference[inside].max()),
        "maps_median_difference": float(np.median(difference[inside])),
        "eigenvalues_max_difference": float(abs(first - their_values)[converged].max()),
        "support_differs_pixels": int((support != their_support)[converged].sum()),
        "inside_pixels": int(inside.sum()),
        "not_converged_pixels_left_out": int((~converged & support).sum()),
    }


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
    # the same work first: central 24 x 24 block, kernel 6, one set
    result: dict[str, object] = {"coils": coils, "rows": height, "columns": width, "acs_lines": 24}
    ours = timed(lambda: estimate_maps(tensor, 24, kernel_width=6, threshold=math.sqrt(0.001), crop=0.8), 6)[1:]
    result["ugodit_seconds"], result["ugodit_seconds_all"] = min(ours), ours
    exact, _ = bart_espirit(kspace, scratch, "-O")
    rows = strongest_rows(kspace)
    result["agreement_bart"] = agreement(kspace, central_block(kspace, rows), math.sqrt(0.001), exact, math.inf)
    bart = [bart_espirit(kspace, scratch)[1] for _ in range(3)]
    result["bart_seconds"], result["bart_seconds_all"] = min(bart), bart
    result["times_faster_than_bart"] = min(bart) / min(ours)
    if with_sigpy:
        start = time.perf_counter()
        maps = sigpy_espirit(kspace, 0.8, 0.02)
        result["sigpy_seconds"] = time.perf_counter() - start
        result["times_faster_than_sigpy"] = float(result["sigpy_seconds"]) / min(ours)  # type: ignore[arg-type]
        result["agreement_sigpy"] = agreement(kspace, central_block(kspace), 0.02, maps, 100)
    volume = tensor[None].expand(4, -1, -1, -1)
    result["ugodit_seconds_a_slice_in_a_batch_of_4"] = min(timed(lambda: estimate_maps(volume, 24), 2)) / 4
    result["peak_memory_over_maps"] = peak_memory(coils, height, width)
    return result


def reconstruct(kspace: np.ndarray, maps: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
    """CG-SENSE, 20 steps, mu 5e-3: magnitude (H, W)."""
    hybrid = reference.centred_ifft(torch.from_numpy(kspace / abs(kspace).max())[None], (-2,))
    weights = mask.float()[None]
    rhs = reference.sense_adjoint(torch.view_as_real(hybrid), maps[None], weights)
    image, _ = reference.sense_solve(
        rhs, torch.zeros_like(rhs), maps[None], weights, torch.tensor([5e-3]), None, 20, 0.0
    )
    return image[0].square().sum(0).sqrt().numpy()


def scores(kspace: np.ndarray, candidates: dict[str, torch.Tensor], seeds: range) -> dict[str, float]:
    """PSNR in dB against the root sum of squares of all data, mean over 4x random masks with 24 lines in the centre."""
    images = reference.centred_ifft(torch.from_numpy(kspace / abs(kspace).max()), (-2, -1))
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
    exact, _ = bart_espirit(kspace, scratch, "-O")
    block = central_block(kspace, strongest_rows(kspace))
    result: dict[str, object] = {"agreement_bart": agreement(kspace, block, math.sqrt(0.001), exact, math.inf)}
    candidates = {
        "ugodit": estimate_maps(tensor, 24),
        "ugodit at sigpy's threshold and crop": estimate_maps(tensor, 24, threshold=0.02, crop=0.95),
        "ugodit at BART's threshold and crop": estimate_maps(tensor, 24, threshold=math.sqrt(0.001), crop=0.8),
        "bart": torch.from_numpy(bart_espirit(kspace, scratch)[0][0]),
    }
    if with_sigpy:
        maps, values = sigpy_espirit(kspace, 0.8, 0.02, 300)
        result["agreement_sigpy"] = agreement(kspace, central_block(kspace), 0.02, (maps, values), 300)
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
