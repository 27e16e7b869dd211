"""Weights of BKSE's blur model from the authors' files (GOPRO_woVAE.pth and the like)."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

from ugodit.errors import InputError
from ugodit.io.files import require_regular_file

MAX_BYTES = 1 << 30
"""Of a file of weights; the published ones have some 200 MB."""


def read_blur_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Names and float32 weights in a file that torch.save wrote, on the CPU. No code in it is run.

    Raises InputError for a file that is missing, too large, or holds anything but named tensors.
    """
    path = Path(path)
    expected = "a file of blur weights, as torch.save writes it"
    if require_regular_file(path, expected) > MAX_BYTES:
        raise InputError(f"{path}: expected {expected}, of at most {MAX_BYTES} bytes, got more")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch's unpickler and its reader of archives have many ways to fail
        raise InputError(f"{path}: expected {expected}, cannot read it; download the file again") from None
    if not isinstance(found, dict) or not found:
        raise InputError(f"{path}: expected named tensors, got {type(found).__name__}")
    for name, weight in found.items():
        if not isinstance(name, str) or not isinstance(weight, Tensor) or not weight.is_floating_point():
            raise InputError(f"{path}: {name}: expected a tensor of real numbers, got {type(weight).__name__}")
    return {name: weight.detach().float() for name, weight in found.items()}
