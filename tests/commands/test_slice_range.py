"""--slices: every range that can be written, and nothing else."""

import argparse

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ugodit.commands.options import slice_range
from ugodit.data.scan import Scan
from ugodit.data.volume import ScanVolume, select
from ugodit.errors import InputError

ENDS = st.none() | st.integers(0, 10**6)


def word(end: int | None) -> str:
    return "" if end is None else str(end)


@given(ENDS, ENDS)
def test_two_ends_are_the_slice_of_python(start: int | None, stop: int | None) -> None:
    assert slice_range(f"{word(start)}:{word(stop)}") == slice(start, stop)


@given(st.integers(0, 10**6))
def test_one_number_is_that_slice_alone(index: int) -> None:
    assert range(index + 1)[slice_range(str(index))] == range(index, index + 1)


@given(st.text("0123456789:-+. a", max_size=8) | st.text(max_size=8))
def test_any_text_is_a_range_or_refused_in_one_line(text: str) -> None:
    try:
        found = slice_range(text)
    except argparse.ArgumentTypeError as error:
        assert repr(text) in str(error)  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert found.step is None
        assert all(end is None or end >= 0 for end in (found.start, found.stop))
        assert text == ":" or any(letter.isdigit() for letter in text)


@given(ENDS, ENDS, st.integers(1, 50))
def test_the_chosen_slices_are_in_the_volume(start: int | None, stop: int | None, count: int) -> None:
    scan = Scan("volume", 0, torch.ones(1, 1, 1, dtype=torch.complex64), None, (1, 1), None)
    volume, wanted = ScanVolume([scan] * count), slice(start, stop)
    expected = list(range(count))[wanted]
    if expected:
        assert list(select(volume, wanted).indices) == expected
        return
    with pytest.raises(InputError, match="volume has slices 0 to"):
        select(volume, wanted)
