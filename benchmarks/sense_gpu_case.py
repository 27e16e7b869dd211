"""What bench_sense_gpu.py times: a batch of slices on a device, each way to its residual and solve, and a clock."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ugodit.data.geometry import centred_fft
from ugodit.kernels import _cuda_ops, _torch_ops, reference

ITERATIONS = 10
# Both sides round in float32: 2e-6 of the norm each, and the sums of PyTorch's autograd a little more.
AGREEMENT = 1e-5

Size = tuple[int, int, int, int]  # slices, coils, rows, columns


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

    def __init__(self, size: Size, device: torch.device, module: Any):
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
        self.full = centred_fft(self.kspace, (-2,))
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
        error = self.weights[:, None, None] * centred_fft(coil_images, (-2, -1)) - self.full
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
