"""Fixtures and rules for every test."""

import contextlib
import os
import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from ugodit.errors import NotBuiltError

with contextlib.suppress(ImportError):  # the tests for a GPU run without hypothesis too
    from hypothesis import settings

    # The same examples every time, however slow the machine: a failure is the change's, not the day's.
    settings.register_profile("ugodit", derandomize=True, deadline=None)
    settings.load_profile("ugodit")


def pytest_configure() -> None:
    """Without the compiled kernels every test would fail: one line says what to do instead."""
    try:
        import ugodit.kernels  # noqa: F401
    except NotBuiltError as error:
        raise pytest.UsageError(str(error)) from None
    # Commands in processes of their own have as many threads as this one, whatever else runs: bits depend on it.
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))


@pytest.fixture(autouse=True)
def _isolate_random_state() -> Iterator[None]:
    """Every test starts from the same seeds and leaves no random state or default behind for the next."""
    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()  # noqa: NPY002
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.random.set_rng_state(states[2])
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked gpu skips without one; on a machine that promises one (UGODIT_REQUIRE_GPU=1) it fails instead."""
    if item.get_closest_marker("gpu") is None or torch.cuda.is_available():
        return
    if os.environ.get("UGODIT_REQUIRE_GPU") == "1":
        pytest.fail("UGODIT_REQUIRE_GPU=1, but torch finds no CUDA device")
    pytest.skip("needs a CUDA device")
