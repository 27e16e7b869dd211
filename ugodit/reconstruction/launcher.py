"""What torchrun says of this process, in its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ugodit.errors import InputError

DIGITS = 9


def place_among_processes(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """(rank, ranks) of a process that torchrun started, (0, 1) of any other. InputError for variables that no torchrun
    sets."""
    if "TORCHELASTIC_RUN_ID" not in environment:
        return 0, 1
    rank, ranks = number(environment, "RANK", 0), number(environment, "WORLD_SIZE", 1)
    if rank >= ranks:
        raise InputError(f"RANK: expected a number below WORLD_SIZE, {ranks}, got {rank}; start it with torchrun")
    return rank, ranks


def number(environment: Mapping[str, str], name: str, default: int) -> int:
    """A whole number from 0. InputError for anything else."""
    text = environment.get(name, str(default)).strip()
    found = whole_number(text)
    if found is None:
        raise InputError(f"{name}: expected a whole number in the environment, got {text!r}; unset it")
    return found


def whole_number(text: str) -> int | None:
    """A whole number from 0 of nine digits at most; None for any other text."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= DIGITS else None
