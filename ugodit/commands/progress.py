"""Progress for people on a terminal, plain lines in a log, nothing for machines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ugodit.fit.fit import Step

LOG_INTERVAL = 15.0
"""Seconds between two lines where there is no terminal."""


def follow(steps: Iterable[Step], total: int, label: str, *, quiet: bool = False) -> Iterator[Step]:
    """Pass the steps on and show on standard error how far they are."""
    if quiet:
        yield from steps
        return
    console = Console(stderr=True)
    if console.is_terminal:
        yield from _bar(steps, total, label, console)
        return
    last = time.monotonic()
    for step in steps:
        now = time.monotonic()
        if now - last > LOG_INTERVAL or step.stopped:
            last = now
            print(_line(step, total, label), file=sys.stderr, flush=True)
        yield step


def _bar(steps: Iterable[Step], total: int, label: str, console: Console) -> Iterator[Step]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} steps, loss {task.fields[loss]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    shown = 0.0
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(label, total=total, loss="-")
        for step in steps:
            if time.monotonic() - shown > 0.2 or step.stopped:
                shown = time.monotonic()
                # Reading the loss waits for a GPU; five times a second is seldom enough.
                progress.update(task, completed=step.iteration, loss=f"{step.loss:.4g}")
            yield step
    console.print(_line(step, total, label), highlight=False)


def _line(step: Step, total: int, label: str) -> str:
    text = f"{label}: step {step.iteration}/{total}, loss {step.loss:.4g}, {step.seconds:.0f} s"
    if step.held_out is not None:
        text += f", held-out {step.held_out:.4g}"
    return f"{text} ({step.stopped})" if step.stopped else text
