"""Arrays of other libraries, shared without a copy."""

import numpy as np
import pytest
import torch

from ugodit.data.arrays import as_tensor


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_numpy_shares_its_memory(dtype: type) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    tensor = as_tensor("maps", array)
    assert tensor.data_ptr() == array.ctypes.data
    array[1, 2] = 70
    assert tensor[1, 2] == 70
    strided = as_tensor("maps", array[:, ::2])
    assert strided.shape == (2, 2)
    assert strided.data_ptr() == array.ctypes.data


def test_a_tensor_is_returned_as_it_is() -> None:
    tensor = torch.zeros(3)
    assert as_tensor("maps", tensor) is tensor


def test_what_cannot_be_shared_is_named() -> None:
    with pytest.raises(TypeError, match=r"^maps: expected a tensor or an array with the DLPack protocol, got list$"):
        as_tensor("maps", [1.0])
    with pytest.raises(TypeError, match=r"maps: expected an array that torch can share, got numpy\.ndarray"):
        as_tensor("maps", np.array(["text"]))


@pytest.mark.gpu
def test_cupy_shares_its_memory(gpu: torch.device) -> None:
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    array = cupy.arange(6, dtype=cupy.complex64).reshape(2, 3)
    tensor = as_tensor("maps", array)
    assert tensor.device == gpu
    assert tensor.data_ptr() == array.data.ptr
    tensor[1, 2] = 70
    torch.cuda.synchronize(gpu)
    assert array[1, 2] == 70
