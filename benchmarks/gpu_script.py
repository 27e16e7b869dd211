"""What the scripts that time a GPU share: their options, the device, and the file of results."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ugodit.kernels import _cuda_ops

RESULTS = Path(__file__).resolve().parent / "results"


def parser(description: str | None, results: str) -> argparse.ArgumentParser:
    """Of --device, --small and --out."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="a small size; nothing is written unless --out is given")
    parser.add_argument("--out", type=Path, help=f"default: benchmarks/results/{results}")
    return parser


def chosen_device(wanted: str) -> tuple[torch.device, str]:
    """The device and its name; ends the script where a GPU is wanted and there is none, or no kernels for it."""
    if wanted != "cuda":
        return torch.device(wanted), platform.processor() or platform.machine()
    if not torch.cuda.is_available() or _cuda_ops.extension() is None:
        raise SystemExit("needs a GPU and ugodit.kernels._cuda: build with -DUGODIT_CUDA=on")
    device = torch.device("cuda", torch.cuda.current_device())
    return device, torch.cuda.get_device_name(device)


def gpu_or_skip() -> torch.device:
    """For tests: the GPU, or a skip that says what is missing."""
    import pytest  # here, as the scripts do without

    try:
        return chosen_device("cuda")[0]
    except SystemExit as error:
        pytest.skip(str(error))


def waiting(function: Callable[[], Any]) -> Callable[[], None]:
    """The function, returning only once the GPU has done what it asked for."""

    def run() -> None:
        function()
        torch.cuda.synchronize()

    return run


def label(size: Sequence[int]) -> str:
    return "x".join(map(str, size))


def write(result: dict[str, Any], options: argparse.Namespace, device: torch.device, results: str) -> str:
    """Writes where the options say, or a full run on a GPU to the results; says what was done."""
    out: Path | None = options.out
    if out is None and not options.small and device.type == "cuda":
        out = RESULTS / results
    if out is None:
        return "nothing written"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    return f"written to {out}"
