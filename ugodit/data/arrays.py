"""Arrays of other libraries (NumPy, CuPy, JAX ...) as tensors that share their memory."""

from typing import Any

import torch
from torch import Tensor


def as_tensor(name: str, array: Any) -> Tensor:
    """The array as a tensor on its own device, without a copy; a tensor is returned as it is.

    `array`: a tensor, or any object with the DLPack protocol (__dlpack__ and __dlpack_device__). On CUDA the protocol
    makes torch's current stream wait for what the other library has under way. Changes of one show in the other.
    Raises TypeError, naming the argument, where the array cannot be shared: no DLPack, read-only memory, a dtype that
    torch lacks.
    """
    if isinstance(array, Tensor):
        return array
    if not hasattr(array, "__dlpack__"):
        raise TypeError(f"{name}: expected a tensor or an array with the DLPack protocol, got {type(array).__name__}")
    if min(getattr(array, "strides", None) or (0,)) < 0:
        # torch's reader of DLPack ends the whole process over one.
        raise TypeError(f"{name}: expected an array without negative strides (a flipped view), got one; pass a copy")
    try:
        return torch.from_dlpack(array)
    except (BufferError, RuntimeError, TypeError) as error:
        kind = f"{type(array).__module__}.{type(array).__name__}"
        reason = str(error).partition("\n")[0]
        raise TypeError(f"{name}: expected an array that torch can share, got {kind}: {reason}; pass a copy") from error
