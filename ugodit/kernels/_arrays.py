"""Tensors as the compiled CPU kernels take them: an address, and how many float32 values lie there."""

import torch
from torch import Tensor

Array = tuple[int, int]
NONE: Array = (0, 0)
"""An array that is not given."""


def plain(tensor: Tensor) -> Tensor:
    """The same values, contiguous in memory and without lazy conjugation or negation."""
    if tensor.is_conj():
        tensor = tensor.resolve_conj()
    if tensor.is_neg():
        tensor = tensor.resolve_neg()
    return tensor.contiguous()


def array(tensor: Tensor) -> Array:
    """Of a plain float32 or complex64 tensor, whose memory must outlive the call."""
    count = tensor.numel()
    return tensor.data_ptr(), 2 * count if tensor.dtype == torch.complex64 else count
