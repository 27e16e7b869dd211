"""What torchrun says of a process, and what others put there."""

import pytest

from ugodit.errors import InputError
from ugodit.reconstruction.launcher import place_among_processes

TORCHRUN = {"TORCHELASTIC_RUN_ID": "x"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (0, 1)),
        ({"RANK": "1", "WORLD_SIZE": "2"}, (0, 1)),  # another launcher's
        (TORCHRUN, (0, 1)),
        ({**TORCHRUN, "RANK": "1", "WORLD_SIZE": "2"}, (1, 2)),
    ],
)
def test_a_place(environment: dict[str, str], expected: tuple[int, int]) -> None:
    assert place_among_processes(environment) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"RANK": "abc"}, "RANK: expected a whole number"),
        ({"WORLD_SIZE": "-1"}, "WORLD_SIZE: expected a whole number"),
        ({"WORLD_SIZE": "9" * 5000}, "WORLD_SIZE: expected a whole number"),
        ({"WORLD_SIZE": "0"}, "RANK: expected a number below WORLD_SIZE, 0"),
        ({"RANK": "7", "WORLD_SIZE": "2"}, "RANK: expected a number below WORLD_SIZE, 2, got 7"),
    ],
)
def test_what_no_torchrun_sets(changes: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        place_among_processes({**TORCHRUN, **changes})
