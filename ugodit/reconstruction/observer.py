"""Who is told what a reconstruction or a training is doing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from ugodit.fit.fit import Step
from ugodit.reconstruction.finished_slice import FinishedSlice

OnStep = Callable[[Step], object]
"""Called after every step of a fit. Where it returns True (Python's, NumPy's or torch's), the fit ends there and its
image is made; any other answer is none."""

_LOG = logging.getLogger("ugodit")


class Observer:
    """Hears of every fit, every step, and of what one may want to know. This one passes steps on, and logs the rest."""

    def __init__(self, on_step: OnStep | None = None) -> None:
        self.on_step = on_step

    def message(self, text: str) -> None:
        """A sentence for a person, such as why a prior was rejected."""
        _LOG.warning(text)

    def begin(self, volume: str, slices: int) -> None:
        """A volume begins, of which so many slices are wanted."""

    def progress(self, finished: int) -> None:
        """So many slices of the volume are finished by now, by whichever process."""

    def finished(self, finished: FinishedSlice) -> None:
        """This process has finished a slice, and it is safe."""

    def end(self) -> None:
        """Nothing more is to be shown of the volume."""

    def follow(self, steps: Iterable[Step], label: str) -> Step:
        """Run a fit to its end, or until a step is answered by True; the last step."""
        last: Step | None = None
        for last in steps:
            if self.on_step is not None and _is_true(self.on_step(last)):
                break
        if last is None:
            raise ValueError(f"{label}: expected at least one step")
        return last


def _is_true(answer: object) -> bool:
    kind = getattr(answer, "dtype", type(answer))
    return str(kind) in ("<class 'bool'>", "bool", "torch.bool") and bool(answer)
