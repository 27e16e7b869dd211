"""Where the CUDA kernels can be tested: on a GPU, or with their bodies run by this processor."""

import os
from types import ModuleType

import pytest
import torch


@pytest.fixture
def gpu() -> torch.device:
    """The first CUDA device. Without one the test skips, and fails where UGODIT_REQUIRE_GPU=1 promised one."""
    if not torch.cuda.is_available():
        reason = "torch finds no CUDA device"
        if os.environ.get("UGODIT_REQUIRE_GPU") == "1":
            pytest.fail(f"UGODIT_REQUIRE_GPU=1, but {reason}")
        pytest.skip(reason)
    return torch.device("cuda", 0)


@pytest.fixture(scope="session")
def host() -> ModuleType:
    """ugodit.kernels._cuda_host: the CUDA kernels' bodies, thread after thread on this processor."""
    try:
        from ugodit.kernels import _cuda_host
    except ImportError:
        pytest.skip("ugodit.kernels._cuda_host is not built: configure with -DUGODIT_CUDA_HOST_TESTS=on")
    return _cuda_host
