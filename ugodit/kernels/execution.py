"""What else the last bits of a result depend on: a record of it for a result's file, which decides nothing."""

from __future__ import annotations

from pathlib import Path

import torch

from ugodit.kernels import _cpu

_OPENMP = ("libgomp", "libiomp", "libomp")


def execution_record(device: torch.device | None = None) -> dict[str, str | int]:
    """How this process computes: two runs that agree in it, and in what they are asked, give the same bits.

    threads: torch's; instruction_set: of the kernels here; torch_instruction_set: of torch's own; openmp: the runtime
    whose threads both use, by its file's name, "none" where there is none or it cannot be told; torch: its version. The
    kernels' results depend on none of the threads, but torch's convolutions and sums do. On a CUDA device also gpu, its
    name, and cudnn, the version of the library.
    """
    record: dict[str, str | int] = {
        "threads": torch.get_num_threads(),
        "instruction_set": _cpu.selected_variant(),
        "torch_instruction_set": torch.backends.cpu.get_cpu_capability(),
        "openmp": _openmp_runtime(),
        "torch": str(torch.__version__),
    }
    if device is not None and device.type == "cuda":
        record["gpu"] = torch.cuda.get_device_name(device)
        record["cudnn"] = torch.backends.cudnn.version() or 0
    return record


def _openmp_runtime(maps: Path = Path("/proc/self/maps")) -> str:
    """The OpenMP libraries that this process has loaded, several joined by commas."""
    try:
        lines = maps.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # another system than Linux
        return "none"
    files = {Path(line.split(maxsplit=5)[5]).name for line in lines if line.count("/")}
    return ", ".join(sorted(name for name in files if name.startswith(_OPENMP))) or "none"
