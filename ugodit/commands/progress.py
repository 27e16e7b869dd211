"""Progress for people on a terminal, plain lines in a log, nothing for machines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from ugodit.fit.fit import Step
from ugodit.reconstruction.finished_slice import FinishedSlice
from ugodit.reconstruction.observer import Observer

LOG_INTERVAL = 15.0
"""Seconds between two lines of a fit where there is no terminal."""
SHOWN_INTERVAL = 0.2
"""Seconds between two looks at a fit where there is one: reading the loss waits for a GPU."""


class ProgressObserver(Observer):
    """Shows on standard error how far fits and volumes are, and prints messages there.

    One bar for a volume: slices that are done, with the fit in hand as a part of one; for training, steps.
    """

    def __init__(self, *, quiet: bool = False, json_lines: bool = False) -> None:
        """quiet: messages only. json_lines: every finished slice as a line of JSON on standard output."""
        super().__init__()
        self.quiet, self.json_lines = quiet, json_lines
        self._bar: _Bar | None = None
        self.end()
        self._volume, self._wanted, self._finished = "", 0, 0
        self._began, self._first = 0.0, 0

    def message(self, text: str) -> None:
        if self._bar is not None:
            self._bar.print(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def begin(self, volume: str, slices: int) -> None:
        self._volume, self._wanted, self._finished, self._first = volume, slices, 0, -1
        self._began = time.monotonic()
        if not self.quiet and Console(stderr=True).is_terminal:
            self._bar = _Bar(volume, slices)

    def progress(self, finished: int) -> None:
        if self._first < 0:
            self._first = finished
        self._finished = finished
        if self._bar is not None:
            self._bar.show(finished, self._pace())

    def finished(self, finished: FinishedSlice) -> None:
        self._finished += 1
        if self.json_lines:
            line = {
                "volume": self._volume,
                "slice": finished.index,
                "seconds": finished.seconds,
                "prior_mode": finished.prior_mode,
                "stopped": finished.stopped,
            }
            # One write a line, whatever the buffering: several processes may share the output.
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
        elif self._bar is not None:
            self._bar.show(self._finished, self._pace())
        elif not self.quiet:
            self.message(
                f"{self._volume} slice {finished.index}: {finished.seconds:.3g} s, {finished.stopped}; "
                f"{self._finished} of {self._wanted} done{self._pace()}"
            )

    def end(self) -> None:
        if self._bar is not None:
            self._bar.end()
            self._bar = None

    def follow(self, steps: Iterable[Step], label: str) -> Step:
        if not self.quiet:
            steps = self._in_volume(steps, label) if self._wanted else _shown(steps, label)
        return super().follow(steps, label)

    def _in_volume(self, steps: Iterable[Step], label: str) -> Iterator[Step]:
        """Steps of a slice of a volume."""
        if self._bar is None:
            yield from _logged(steps, label, with_last=False)
            return
        shown = 0.0
        for step in steps:
            if time.monotonic() - shown > SHOWN_INTERVAL:
                shown = time.monotonic()
                self._bar.show(self._finished + step.iteration / step.total, self._pace(), _state(step, label))
            yield step

    def _pace(self) -> str:
        """How long a slice takes, and how long the rest will, by what was done since this process began."""
        done = self._finished - max(self._first, 0)
        if done <= 0:
            return ""
        pace = (time.monotonic() - self._began) / done
        left = pace * (self._wanted - self._finished)
        return f", {pace:.3g} s a slice, {_duration(left)} left" if left else f", {pace:.3g} s a slice"


class _Bar:
    """Slices of a volume on a terminal."""

    def __init__(self, volume: str, slices: int) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[done]}/{task.total} slices{task.fields[pace]}{task.fields[fit]}"),
        )
        self._progress = Progress(*columns, console=Console(stderr=True), transient=False)
        self._task: TaskID = self._progress.add_task(volume, total=slices, done=0, pace="", fit="")
        self._progress.start()

    def show(self, finished: float, pace: str, fit: str = "") -> None:
        fit = f" | {fit}" if fit else ""
        self._progress.update(self._task, completed=finished, done=int(finished), pace=pace, fit=fit)

    def print(self, text: str) -> None:
        self._progress.console.print(text, highlight=False, markup=False)

    def end(self) -> None:
        self._progress.stop()


def _shown(steps: Iterable[Step], label: str) -> Iterator[Step]:
    """Pass the steps on and show how far they are."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield from _logged(steps, label)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[fit]}"))
    shown = 0.0
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(label, total=None, fit="")
        for step in steps:
            if time.monotonic() - shown > SHOWN_INTERVAL or step.stopped:
                shown = time.monotonic()
                left = _duration(step.seconds / step.iteration * (step.total - step.iteration))
                fit = f"{_state(step, '')}, {left} left"
                progress.update(task, total=step.total, completed=step.iteration, fit=fit)
            yield step
    console.print(_state(step, label), highlight=False, markup=False)


def _logged(steps: Iterable[Step], label: str, *, with_last: bool = True) -> Iterator[Step]:
    """Pass the steps on and print a line now and then."""
    last = time.monotonic()
    for step in steps:
        now = time.monotonic()
        if now - last > LOG_INTERVAL or (step.stopped and with_last):
            last = now
            print(_state(step, label), file=sys.stderr, flush=True)
        yield step


def _state(step: Step, label: str) -> str:
    text = f"{label}: " if label else ""
    text += f"step {step.iteration}/{step.total}, loss {step.loss:.4g}, {step.seconds:.0f} s"
    if step.held_out is not None:
        text += f", held-out {step.held_out:.4g}"
    return f"{text} ({step.stopped})" if step.stopped else text


def _duration(seconds: float) -> str:
    """'8 s', '3 min 20 s', '2 h 5 min'"""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
