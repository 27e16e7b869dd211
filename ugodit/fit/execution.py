"""How a step is executed: in which precision, compiled, replayed as a CUDA graph.

A step of a small network is hundreds of kernels of a few microseconds each: launching them one by one from Python takes
longer than running them. A graph launches all of them at once.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ugodit.errors import InputError
from ugodit.fit.fit_config import FitConfig
from ugodit.networks.unrolled import Unrolled

Precision = Literal["auto", "float32", "bfloat16"]

WARM_UP = 3
"""Calls that run as they are before one is captured: compilers, libraries' plans and Adam's state need them."""


class Replayed:
    """A function of no arguments that reads and writes fixed tensors, as a CUDA graph from the fourth call on.

    It is handed the same function at every call, and keeps none. The first calls are work like all others, on a stream
    of their own, as capture wants it. The function must launch the same kernels on the same memory in every call, and
    must not wait for the device. What it returns is overwritten by the next call.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.result: Tensor | None = None

    def __call__(self, work: Callable[[], Tensor]) -> Tensor:
        self.calls += 1
        with torch.cuda.device(self.device):
            if self.calls <= WARM_UP:
                current = torch.cuda.current_stream()
                self.stream.wait_stream(current)
                with torch.cuda.stream(self.stream):
                    result = work()
                current.wait_stream(self.stream)
                # Its memory belongs to the other stream, which must not hand it out while this one still reads it.
                result.record_stream(current)
                return result
            if self.graph is None:
                graph = torch.cuda.CUDAGraph()
                # thread_local: other threads of the caller may go on loading data.
                with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                    self.result = work()
                self.graph = graph
            self.graph.replay()
        assert self.result is not None
        return self.result


def directly(work: Callable[[], Tensor]) -> Tensor:
    """Where steps are not replayed: the function is called as it is."""
    return work()


def load_compiler() -> None:
    """Import torch's compiler, as torch does when the first optimiser is made, but on a thread of its own.

    The import leaves circles with every frame that it was called from: those of a fit hold its operators and its
    network until the garbage collector comes by.
    """
    if "torch._dynamo" not in sys.modules:
        importing = threading.Thread(target=import_module, args=("torch._dynamo",))
        importing.start()
        importing.join()


def autocast(z: Tensor, precision: Precision) -> torch.autocast:
    """The arithmetic of what is computed from z."""
    return torch.autocast(
        z.device.type, dtype=torch.bfloat16, enabled=chosen_precision(precision, z.device) == "bfloat16"
    )


def chosen_precision(precision: Precision, device: torch.device) -> str:
    """float32 or bfloat16: of "auto", bfloat16 where the device multiplies in it.

    Other processors convert back and forth: convolutions take three times as long there as in float32.
    """
    if precision != "auto":
        return precision
    native = torch.cuda.get_device_capability(device) >= (8, 0) if device.type == "cuda" else _multiplies_bfloat16()
    return "bfloat16" if native else "float32"


@lru_cache
def _multiplies_bfloat16() -> bool:
    """Whether this processor does (AVX512-BF16 or AMX)."""
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, lambda: False)()) for name in tests)


def in_precision(model: Unrolled, precision: Precision) -> Callable[[Tensor], Tensor]:
    """The model's network, evaluated in this arithmetic."""

    def evaluate(z: Tensor) -> Tensor:
        with autocast(z, precision):
            return model.network(z).float()

    return evaluate


def adam(parameters: Sequence[Tensor], rate: float, device: torch.device, *, capturable: bool) -> torch.optim.Adam:
    """Adam for parameters on this device; capturable: as a part of a CUDA graph."""
    on_gpu = device.type == "cuda"
    load_compiler()
    # On a GPU the rate is a tensor, which a captured graph reads anew in every step.
    chosen = torch.tensor(rate, device=device) if on_gpu else rate
    optimizer = torch.optim.Adam(parameters, lr=chosen, fused=on_gpu, capturable=capturable)
    # Its first steps do run without being captured: no need to warn of that.
    optimizer._warned_capturable_if_run_uncaptured = True
    return optimizer


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate; where it is a tensor, which a captured graph reads, in place."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def wants_compile(config: FitConfig, device: torch.device) -> bool:
    """Whether the network is compiled: as the configuration says; "auto" on CUDA, where Triton can work."""
    if config.compile == "auto":
        return device.type == "cuda" and _triton_works()
    return config.compile == "on"


def wants_graph(config: FitConfig, device: torch.device) -> bool:
    """Whether steps are replayed as a CUDA graph: as the configuration says; "auto" on CUDA. InputError elsewhere."""
    if config.cuda_graph == "on" and device.type != "cuda":
        raise InputError(f"cuda_graph: expected a CUDA device to be on, got {device.type}; set it to auto")
    return config.cuda_graph != "off" and device.type == "cuda"


def _triton_works() -> bool:
    """Triton builds its launchers with a C compiler against Python's headers; clusters often have neither."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    headers = Path(sysconfig.get_path("include"), "Python.h")
    return find_spec("triton") is not None and compiler is not None and headers.exists()
