"""What the loop over a volume's slices asks of the place where finished slices are kept, and such a place in memory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from ugodit.reconstruction.finished_slice import FinishedSlice

OWN_PRIOR, OWN_CHECKPOINT = "own_prior.safetensors", "own_prior.checkpoint"
"""Files for `path_of`: what a volume that is its own group keeps. Names that nobody else's files have are removed."""


class Store(Protocol):
    """What the loop over a volume's slices asks of a store, inside of a `with` block."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def has(self, index: int, together: Iterable[int]) -> bool:
        """Whether this slice is finished, as one of a batch of these."""

    def write(self, finished: FinishedSlice) -> None:
        """Keep a slice. OutputError where that fails."""

    def read(self, index: int) -> FinishedSlice:
        """A slice that is kept. InputError where it is gone or damaged."""

    def path_of(self, name: str) -> Path | None:
        """Where a file that all slices need is kept beside them; None where nothing is on disk."""

    def claim(self, work: str) -> bool:
        """Whether this process may do some work now: nobody else is doing it."""

    def release(self, work: str) -> None:
        """Let others do it, where this process has it."""

    def workers(self) -> int:
        """How many processes work here, this one among them."""


class MemoryStore:
    """For a caller who takes the result from memory: nothing is on disk, and nobody else works here."""

    def __init__(self) -> None:
        self._slices: dict[int, FinishedSlice] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def has(self, index: int, together: Iterable[int]) -> bool:
        return index in self._slices

    def write(self, finished: FinishedSlice) -> None:
        self._slices[finished.index] = finished

    def read(self, index: int) -> FinishedSlice:
        return self._slices[index]

    def path_of(self, name: str) -> Path | None:
        return None

    def claim(self, work: str) -> bool:
        return True

    def release(self, work: str) -> None:
        pass

    def workers(self) -> int:
        return 1
