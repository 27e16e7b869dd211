from collections.abc import Iterator

import pytest
import torch

from ugodit.kernels import _cpu


@pytest.fixture(params=_cpu.variants())
def variant(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every copy of the kernels that this processor can run, one test each."""
    before = _cpu.selected_variant()
    _cpu.select_variant(request.param)
    yield request.param
    _cpu.select_variant(before)


@pytest.fixture
def threads() -> Iterator[None]:
    """Restores torch's number of threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
