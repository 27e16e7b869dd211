"""Times the CUDA kernels on a GPU against PyTorch, sigpy on CuPy, and the bytes that have to move.

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
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ugodit.kernels import _cuda_ops, _torch_ops, reference  # noqa: E402

SIZES = ((16, 15, 640, 368), (16, 8, 256, 256))
DRY_SIZES = ((2, 3, 4, 20),)
ITERATIONS = 10
# Both sides round in float32: 2e-6 of the norm each, and the sums of PyTorch's autograd a little more.
AGREEMENT = 1e-5

Numbers = dict[str, Any]


class Clock:
    """Milliseconds of one call."""

    def __init__(self, device: torch.device):
        self.device = device

    def __call__(self, function: Callable[[], Any], calls: int = 5, repeats: int = 9) -> float:
        if self.device.type == "cpu":
            begin = time.perf_counter()
            function()
            return 1e3 * (time.perf_counter() - begin)
        for _ in range(3):
            function()
        times = []
        for _ in range(repeats):
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            for _ in range(calls):
                function()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end) / calls)
        return statistics.median(times)


class Case:
    """One size: images, maps, hybrid and full k-space, weights, and their packed forms."""

    def __init__(self, size: tuple[int, int, int, int], device: torch.device, module: Any):
        self.batch, self.coils, self.height, self.width = self.size = size
        generator = torch.Generator(device).manual_seed(0)

        def normal(*shape: int, dtype: torch.dtype = torch.complex64) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=dtype, device=device)

        self.image = normal(self.batch, 2, self.height, self.width, dtype=torch.float32)
        maps = normal(*size)
        self.maps = maps / maps.abs().square().sum(dim=1, keepdim=True).sqrt()
        # Every fourth line and a fully sampled centre of 8 per cent of the lines, thinned to a quarter in all.
        line = torch.arange(self.width)
        centre = (line - self.width // 2).abs() < 0.04 * self.width
        chosen = centre | (line % 5 == 1)
        self.lines = int(chosen.sum())
        self.weights = chosen.float()[None].to(device)
        self.kspace = normal(*size) * self.weights  # hybrid space
        self.full = reference.centred_fft(self.kspace, (-2,))
        self.mu = torch.full((self.batch,), 0.05, device=device)
        self.zeros = torch.zeros_like(self.image)
        self.module = module
        self.packed_maps = _cuda_ops.pack_maps(self.maps, False, module=module)
        self.packed_half = _cuda_ops.pack_maps(self.maps, False, half=True, module=module)
        self.packed_kspace = _cuda_ops.pack_kspace(self.kspace, False, module=module)
        self.plain_maps = _torch_ops.pack_maps(self.maps, False)
        self.plain_kspace = _torch_ops.pack_kspace(self.kspace, False)

    def residual(self, maps: Tensor | None = None, **wish: Any) -> tuple[Tensor, Tensor]:
        maps = self.packed_maps if maps is None else maps
        return _cuda_ops.sense_residual(
            self.image, maps, self.packed_kspace, self.weights, self.coils, module=self.module, **wish
        )

    def solve(self, **wish: Any) -> Tensor:
        return _cuda_ops.sense_solve(
            self.image,
            self.zeros,
            self.packed_maps,
            self.weights,
            self.mu,
            self.coils,
            ITERATIONS,
            0.0,
            module=self.module,
            **wish,
        )[0]

    def centred_autograd(self) -> tuple[Tensor, Tensor]:
        """What one writes first: 2-D centred FFT, mask, squared error, backward."""
        image = self.image.clone().requires_grad_()
        coil_images = self.maps * torch.complex(image[:, 0], image[:, 1])[:, None]
        error = self.weights[:, None, None] * reference.centred_fft(coil_images, (-2, -1)) - self.full
        loss = (error.real**2 + error.imag**2).sum(dim=(1, 2, 3))
        (gradient,) = torch.autograd.grad(loss.sum(), image)
        return loss.detach(), gradient / 2

    def hybrid(self) -> tuple[Tensor, Tensor]:
        """The best that PyTorch does: hybrid space, shifts folded away, the adjoint written out."""
        return _torch_ops.sense_residual(self.image, self.plain_maps, self.plain_kspace, self.weights, self.coils)

    def hybrid_solve(self) -> Tensor:
        return _torch_ops.sense_solve(
            self.image, self.zeros, self.plain_maps, self.weights, self.mu, self.coils, ITERATIONS, 0.0
        )[0]

    def centred_solve(self) -> Tensor:
        """The same steps, row by row, with the centred FFT of the reference."""
        return reference.sense_solve(
            self.image, self.zeros, self.maps, self.weights, self.mu, iterations=ITERATIONS, tolerance=0.0
        )[0]

    def floor_bytes(self) -> int:
        rows = self.batch * self.height
        return 8 * rows * (self.coils * (self.width + self.lines) + 2 * self.width)


def agree(name: str, got: Tensor, expected: Tensor) -> None:
    error = float((got.double() - expected.double()).norm() / expected.double().norm())
    if not error < AGREEMENT:
        raise SystemExit(f"{name}: relative difference {error:.1e}, expected below {AGREEMENT:.0e}: nothing is timed")


def sigpy_residual(case: Case) -> Callable[[], Any]:
    """Loss and gradient of one slice after another with sigpy's SENSE operator on CuPy. Raises ImportError without."""
    import cupy
    import sigpy.mri.linop

    def shared(tensor: Tensor) -> Any:
        return cupy.from_dlpack(tensor.resolve_conj().contiguous())

    mask = shared(case.weights[0]).reshape(1, 1, -1)
    operators = [sigpy.mri.linop.Sense(shared(maps), weights=mask) for maps in case.maps]
    images = [shared(torch.complex(image[0], image[1])) for image in case.image]
    data = [shared(kspace) for kspace in case.full]

    def run() -> tuple[Any, Any]:
        losses, gradients = [], []
        for operator, image, kspace in zip(operators, images, data, strict=True):
            residual = operator * image - kspace
            losses.append(cupy.sum(residual.real**2 + residual.imag**2))
            gradients.append(operator.H * residual)
        return losses, gradients

    gradient = torch.from_dlpack(run()[1][0])
    agree("sigpy's gradient", torch.stack([gradient.real, gradient.imag]), case.residual()[1][0])
    return run


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


def measure(case: Case, clock: Clock, bandwidth: float) -> Numbers:
    loss, gradient = case.residual()
    for name, other in (("centred autograd", case.centred_autograd), ("hybrid space", case.hybrid)):
        agree(f"{name}: gradient", other()[1], gradient)
        agree(f"{name}: loss", other()[0], loss)
    solution = case.solve()
    agree("hybrid solve", case.hybrid_solve(), solution)
    agree("centred solve", case.centred_solve(), solution)
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
