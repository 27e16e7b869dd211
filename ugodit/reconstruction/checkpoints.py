"""Keeping the state of a training every few steps, and finding it again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from ugodit.errors import InputError, OutputError, named
from ugodit.fit.checkpoint import MAX_BYTES, LoopState
from ugodit.fit.fit import Step
from ugodit.io.files import read_bytes
from ugodit.reconstruction.distributed import Group
from ugodit.reconstruction.observer import Observer

EVERY = 50
"""Steps between two checkpoints."""


class Checkpoints:
    """The file of a training's state."""

    def __init__(self, path: Path | None, key: str, every: int, group: Group, observer: Observer) -> None:
        """path: None to keep none. key: a digest of all that the weights depend on. every: steps; 0 to write none."""
        self.path, self.key, self.every = path, key, every
        self.group, self.observer = group, observer
        self.at = 0
        """The step that the file is of."""

    def find(self, resume: bool) -> LoopState | None:
        """The state to go on from; None to begin anew, and why is said where a file was there."""
        if self.path is None:
            return None
        content = self.group.gather(self._content(self.path) if self.group.rank == 0 else b"")[0]
        if not content:
            if resume:
                self._say(f"{self.path}: there is no checkpoint to go on from; beginning anew")
            return None
        try:
            # One process reads it for all: the others might find another file, or none.
            with named(str(self.path)):
                state, key = LoopState.from_bytes(content)
        except InputError as error:
            self._say(f"{error}; beginning anew")
            return None
        if key != self.key:
            self._say(f"{self.path}: is of other scans or settings; beginning anew")
            return None
        if not resume:
            self._say(f"{self.path}: --resume would go on from step {state.iteration}; beginning anew")
            return None
        self._say(f"going on from step {state.iteration}")
        self.at = state.iteration
        return state

    def kept(self, steps: Iterable[Step]) -> Iterator[Step]:
        """Pass the steps on, and keep the state now and then."""
        for step in steps:
            yield step
            if self.path is not None and self.every and step.iteration % self.every == 0 and not step.stopped:
                self._keep(self.path, step)

    def _content(self, path: Path) -> bytes:
        if not path.exists():
            return b""
        try:
            return read_bytes(path, "a checkpoint", MAX_BYTES)
        except InputError as error:
            return str(error).encode()  # no checkpoint, which is said

    def _keep(self, path: Path, step: Step) -> None:
        state = step.state()
        if self.group.ranks > 1:
            state = LoopState.of_ranks(self.group.gather(state.to_bytes()))
        if self.group.rank:
            return
        try:
            state.save(path, self.key)
            self.at = step.iteration
        except OutputError as error:  # No reason to lose what was trained so far.
            self._say(f"{error}; going on without a checkpoint of step {step.iteration}")

    def say_how_to_go_on(self) -> None:
        """After an interruption, which may have come while the file was written: the file itself is asked."""
        if self.path is None or self.group.rank:
            return
        with suppress(InputError):  # none, or none of this training
            state, key = LoopState.load(self.path)
            if key == self.key:
                self._say(f"{self.path} is of step {state.iteration}; --resume goes on from there")

    def _say(self, text: str) -> None:
        if self.group.rank == 0:
            self.observer.message(text)
