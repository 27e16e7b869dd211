"""Every kernel once on small sizes that take every path: a program for compute-sanitizer.

python tests/cuda/small_case.py cuda        (or cpu: the host's run of the same bodies)
"""

import sys

import torch

from ugodit.kernels import _cuda_ops
from ugodit.kernels.calibration import espirit_maps_

# A fused turn, twiddles as a step of their own, a dense pass, Bluestein's algorithm, maps too large to stay.
SIZES = ((2, 5, 3, 46), (1, 3, 2, 289), (1, 3, 2, 74), (1, 3, 2, 332), (1, 15, 2, 1024))


def run(device: torch.device) -> None:
    """Raises SystemExit where a result is not finite."""
    module = _cuda_ops.extension()
    if device.type == "cpu":
        from ugodit.kernels import _cuda_host as module  # type: ignore[no-redef]
    torch.manual_seed(0)
    for batch, coils, height, width in SIZES:
        image = torch.randn(batch, 2, height, width).to(device)
        maps = torch.randn(batch, coils, height, width, dtype=torch.complex64).to(device)
        kspace = torch.randn(batch, coils, height, width, dtype=torch.complex64).to(device)
        weights = (torch.rand(batch, width) < 0.5).float().to(device)
        mu = torch.ones(batch, device=device)
        data = _cuda_ops.pack_kspace(kspace, False, module=module)
        for half in (False, True):
            packed = _cuda_ops.pack_maps(maps, False, half=half, module=module)
            outputs = [
                *_cuda_ops.sense_residual(image, packed, data, weights, coils, module=module),
                _cuda_ops.sense_forward(image, packed, weights, coils, module=module),
                _cuda_ops.sense_adjoint(torch.view_as_real(kspace), packed, weights, coils, module=module),
                *_cuda_ops.sense_solve(image, image, packed, weights, mu, coils, 2, 0.0, module=module),
            ]
            if not all(bool(output.isfinite().all()) for output in outputs):
                raise SystemExit(f"{coils} x {height} x {width}: a result is not finite")
    for coils, sets, shared in ((5, 2, 1), (5, 1, 0)):
        maps = torch.full((sets, coils, 7, 150), float("nan"), dtype=torch.complex64, device=device)
        eigenvalues = torch.full((sets, 7, 150), float("nan"), device=device)
        half = torch.randn(3, 3, coils, coils, dtype=torch.complex64)
        correlations = half + half.flip(0, 1).mT.conj()  # so that the operator is Hermitian
        reference = torch.ones(coils, dtype=torch.complex64)
        wish = {"blocks": 3, "shared": shared}
        espirit_maps_(maps, eigenvalues, correlations, reference, -100.0, module=module, **wish)
        if not bool(torch.view_as_real(maps).isfinite().all()) or not bool(eigenvalues.isfinite().all()):
            raise SystemExit(f"ESPIRiT of {coils} coils, {sets} sets: a result is not finite")
    print("every kernel ran, every result is finite")


if __name__ == "__main__":
    run(torch.device(sys.argv[1] if len(sys.argv) > 1 else "cuda"))
