"""Checks of kernel arguments, shared by the devices: each names the parameter, what was expected and what was given."""

import torch
from torch import Tensor

LARGEST = 2**30
"""Of every size and count: the compiled loops count in 32 bits (csrc/sizes.h)."""
MOST_VALUES = 2**40
"""Of one array: a tensor may have more than there is memory for, as `expand` makes it."""


def tensor(name: str, value: object, dtype: torch.dtype) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a {dtype} tensor, got {type(value).__name__}")
    if value.dtype != dtype:
        raise TypeError(f"{name}: expected dtype {dtype}, got {value.dtype}")


def floats(**values: object) -> None:
    """Checks that all are float32 tensors."""
    for name, value in values.items():
        tensor(name, value, torch.float32)


def devices(device_of: str, **values: Tensor | None) -> None:
    """Checks that all are on the device of the one named `device_of`: each device's implementation does, and the ops'
    shapes, since torch calls one of them for tensors of several devices."""
    first = values[device_of]
    assert first is not None
    device = first.device
    for name, value in values.items():
        if value is not None and value.device != device:
            raise ValueError(f"{name}: expected device {device}, as of {device_of}, got {value.device}")


def constants(**values: Tensor | None) -> None:
    """Refuses what no gradient is computed for, where one is asked for."""
    for name, value in values.items():
        if value is not None and value.requires_grad and torch.is_grad_enabled():
            raise ValueError(
                f"{name}: expected a tensor that does not require grad, as there is no gradient for it: detach it first"
            )


def image(name: str, value: Tensor) -> tuple[int, int, int]:
    """Checks (B, 2, H, W) float32 and returns B, H, W."""
    tensor(name, value, torch.float32)
    shape = value.shape
    if len(shape) != 4 or shape[1] != 2 or shape.numel() == 0:
        raise ValueError(f"{name}: expected shape (B, 2, H, W), none of them 0, got {tuple(shape)}")
    sizes(name, shape)
    return shape[0], shape[2], shape[3]


def sizes(name: str, shape: torch.Size) -> None:
    if max(shape) > LARGEST or shape.numel() > MOST_VALUES:
        raise ValueError(f"{name}: expected sizes up to {LARGEST} and {MOST_VALUES} values in all, got {tuple(shape)}")


def coils(value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"coils: expected an int, got {type(value).__name__}")
    if not 1 <= value <= LARGEST:
        raise ValueError(f"coils: expected 1 to {LARGEST}, got {value}")


def weights(value: Tensor, batch: int, height: int, width: int) -> bool:
    """Checks the weights; True if they vary along both axes."""
    tensor("weights", value, torch.float32)
    shape = tuple(value.shape)
    if shape not in ((1, width), (batch, width), (1, height, width), (batch, height, width)):
        raise ValueError(
            f"weights: expected shape ({batch} or 1, {width}) for a mask along the width or "
            f"({batch} or 1, {height}, {width}) for one along both axes, got {shape}"
        )
    return len(shape) == 3


def packed(name: str, value: Tensor, batch: int, shape: tuple[int, ...]) -> None:
    """Checks a packed array whose shape without the batch axis is `shape`."""
    tensor(name, value, torch.float32)
    given = tuple(value.shape)
    if given[1:] != shape or given[0] not in (1, batch):
        raise ValueError(
            f"{name}: expected what pack_{name} makes of this image size, number of coils and kind of mask, "
            f"({batch} or 1, {', '.join(map(str, shape))}), got {given}"
        )


def coil_array(name: str, value: object, dtype: torch.dtype = torch.complex64) -> tuple[int, int, int, int]:
    """Checks a complex (B, C, H, W) array, or (B, C, H, W, 2) for float32, and returns B, C, H, W."""
    tensor(name, value, dtype)
    assert isinstance(value, Tensor)
    shape = value.shape
    real = dtype == torch.float32
    if len(shape) != 4 + real or shape.numel() == 0 or (real and shape[4] != 2):
        raise ValueError(f"{name}: expected shape (B, C, H, W{', 2' if real else ''}), none 0, got {tuple(shape)}")
    sizes(name, shape)
    return shape[0], shape[1], shape[2], shape[3]


def masked_along(value: str) -> bool:
    """True for masks along both axes."""
    if value not in ("width", "both"):
        raise ValueError(f'masked_along: expected "width" or "both", got {value!r}')
    return value == "both"


def solver(mu: Tensor, batch: int, iterations: int, tolerance: float) -> None:
    tensor("mu", mu, torch.float32)
    if mu.shape != (batch,):
        raise ValueError(f"mu: expected shape ({batch},), one value an item, got {tuple(mu.shape)}")
    steps(iterations, tolerance)


def steps(iterations: int, tolerance: float) -> None:
    if not 0 <= iterations <= LARGEST:
        raise ValueError(f"iterations: expected 0 to {LARGEST}, got {iterations}")
    if not 0 <= tolerance < float("inf"):
        raise ValueError(f"tolerance: expected a finite value of at least 0, got {tolerance}")
