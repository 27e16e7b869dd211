"""Keeping the state of a training every few steps, and finding it again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from itertools import chain
from pathlib import Path

import torch

from ugodit.errors import InputError, OutputError, named
from ugodit.fit.checkpoint import MAX_BYTES, LoopState
from ugodit.fit.fit import Step
from ugodit.io.files import read_bytes
from ugodit.networks import GroupNet
from ugodit.priors.presets import Preset
from ugodit.reconstruction.distributed import Group
from ugodit.reconstruction.observer import Observer

EVERY = 50
"""Steps between two checkpoints."""


def most_bytes(preset: Preset, sizes: Iterable[tuple[int, int]]) -> int:
    """The largest file that the state of a training on scans of such sizes (rows, columns) can have."""
    pixels = [rows * columns for rows, columns in sizes]
    with torch.device("meta"):
        group = GroupNet(preset.network, 1, seed=None)
    decoders = 1 if preset.train.shared_decoder else len(pixels)
    weights = sum(one.numel() for one in group.encoder.parameters())
    weights += decoders * sum(one.numel() for one in group.decoder.parameters())
    channels = max(preset.network.in_channels, preset.network.out_channels)
    # Weights, averages, best averages and Adam's moments; of images: input, output, averages, and an input that is
    # learned has moments too. Twice that, and what names and generators need.
    return 2 * 4 * (5 * weights + 8 * channels * sum(pixels)) + (1 << 16) * len(pixels) + (1 << 24)


class Checkpoints:
    """The file of a training's state."""

    def __init__(
        self,
        path: Path | None,
        key: str,
        every: int,
        group: Group,
        observer: Observer,
        *,
        limit: int = MAX_BYTES,
        steps: int | None = None,
    ) -> None:
        """
        Args:
            path: None to keep none.
            key: a digest of all that the weights depend on.
            every: steps; 0 to write none.
            group: the processes that train together.
            observer: is told what becomes of it.
            limit: bytes; a larger file is none of this training.
            steps: of the whole training, where that is known; a state after the last is none of it either.
        """
        self.path, self.key, self.every = path, key, every
        self.group, self.observer = group, observer
        self.limit, self.steps = limit, steps
        self.problem = ""
        """Why the file could not be read."""
        self.at = 0
        """The step that the file is of."""

    def find(self, resume: bool) -> LoopState | None:
        """The state to go on from; None to begin anew, and why is said where a file was there."""
        if self.path is None:
            return None
        content = self.group.gather(self._content(self.path) if self.group.rank == 0 else b"")[0]
        if not content:
            if resume and not self.problem:
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
        if self.steps is not None and state.iteration >= self.steps:
            self._say(f"{self.path}: is of step {state.iteration} of {self.steps}; beginning anew")
            return None
        if not resume:
            self._say(f"{self.path}: --resume would go on from step {state.iteration}; beginning anew")
            return None
        self._say(f"going on from step {state.iteration}")
        self.at = state.iteration
        return state

    def kept(self, steps: Iterable[Step]) -> Iterator[Step]:
        """Pass the steps on, and keep the state now and then."""
        following = iter(steps)
        # A state that is put back is found wrong, if it is, when the first step is asked for.
        with named(str(self.path), "; remove it to begin anew") if self.at else nullcontext():
            first = next(following, None)
        for step in chain([] if first is None else [first], following):
            yield step
            if self.path is not None and self.every and step.iteration % self.every == 0 and not step.stopped:
                self._keep(self.path, step)

    def _content(self, path: Path) -> bytes:
        if not path.exists():
            return b""
        try:
            return read_bytes(path, "a checkpoint", self.limit)
        except InputError as error:
            self.problem = str(error)
            self._say(f"{error}; beginning anew")
            return b""

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
            state, key = LoopState.load(self.path, self.limit)
            if key == self.key:
                self._say(f"{self.path} is of step {state.iteration}; --resume goes on from there")

    def _say(self, text: str) -> None:
        if self.group.rank == 0:
            self.observer.message(text)
