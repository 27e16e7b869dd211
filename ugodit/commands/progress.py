"""Progress for people on a terminal, plain lines in a log, nothing for machines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ugodit.fit.fit import Step
from ugodit.reconstruction.observer import Observer

LOG_INTERVAL = 15.0
"""Seconds between two lines where there is no terminal."""


class ProgressObserver(Observer):
    """Shows on standard error how far every fit is, and prints messages there."""

    def __init__(self, *, quiet: bool = False) -> None:
        """quiet: messages only."""
        super().__init__()
        self.quiet = quiet

    def message(self, text: str) -> None:
        print(text, file=sys.stderr)

    def follow(self, steps: Iterable[Step], label: str) -> Step:
        return super().follow(steps if self.quiet else _shown(steps, label), label)


def _shown(steps: Iterable[Step], label: str) -> Iterator[Step]:
    """Pass the steps on and show how far they are."""
    console = Console(stderr=True)
    if console.is_terminal:
        yield from _bar(steps, label, console)
        return
    last = time.monotonic()
    for step in steps:
        now = time.monotonic()
        if now - last > LOG_INTERVAL or step.stopped:
            last = now
            print(_line(step, label), file=sys.stderr, flush=True)
        yield step


def _bar(steps: Iterable[Step], label: str, console: Console) -> Iterator[Step]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} steps, loss {task.fields[loss]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    shown = 0.0
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(label, total=None, loss="-")
        for step in steps:
            if time.monotonic() - shown > 0.2 or step.stopped:
                shown = time.monotonic()
                # Reading the loss waits for a GPU; five times a second is seldom enough.
                progress.update(task, total=step.total, completed=step.iteration, loss=f"{step.loss:.4g}")
            yield step
    console.print(_line(step, label), highlight=False)


def _line(step: Step, label: str) -> str:
    text = f"{label}: step {step.iteration}/{step.total}, loss {step.loss:.4g}, {step.seconds:.0f} s"
    if step.held_out is not None:
        text += f", held-out {step.held_out:.4g}"
    return f"{text} ({step.stopped})" if step.stopped else text
