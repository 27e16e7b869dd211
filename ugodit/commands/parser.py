"""What every command shares: how it reads its words, and how it ends.

Exit codes: 0 done, 2 the user's input is at fault (one line), 130 interrupted (Ctrl-C), 143 told to end (SIGTERM).
"""

import argparse
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from ugodit.commands.streams import cannot_be_written, give_up_output, prepare_streams
from ugodit.errors import LINE_LENGTH, InputError, NotBuiltError, Terminated, one_line
from ugodit.fit.config_fields import did_you_mean
from ugodit.io.files import check_path

EARLIER_OPTIONS = {"--unadapted": "--zero-shot", "--start": "--decoder"}
"""Options that had another name in ugodit 0.1.0, and are still taken by it."""

OPTION_OF = {
    "kind": "--mask",
    "acceleration": "--acceleration",
    "center_fraction": "--center-fraction",
    "sampling": "--acceleration",
    "slices": "--slices",
    "seed": "--seed",
    "device": "--device",
    "preset": "--preset",
    "prior": "--prior",
    "decoder": "--decoder",
    "zero_shot": "--zero-shot",
    "uncertainty": "--uncertainty",
    "batch": "--batch",
    "prewhiten": "--prewhiten",
    "compress": "--compress",
    "maps": "--maps",
    "maps_cache_size": "--maps-cache-size",
    "learning_rate": "learning_rate (--config)",
    "anatomy": "--anatomy",
    "shape": "--size",
    "coils": "--coils",
    "snr_db": "--snr",
    "oversampling": "--oversampling",
}
"""The option that a parameter of the library is set by; errors name parameters in `backticks`."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is an InputError: one line, like every other, instead of a page of usage."""

    def __init__(self, **options: Any) -> None:
        # An abbreviated --config would be missed by the parser that looks for it first.
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; `{self.prog} --help` lists the options")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does it, with earlier names of options, and a guess at what a misspelt one was to be."""
        words = [self._today(word) for word in (sys.argv[1:] if args is None else args)]
        found, unknown = self.parse_known_args(words, namespace)
        if unknown:
            known = [option for action in self._actions for option in action.option_strings]
            guess = did_you_mean(unknown[0].partition("=")[0], known)
            self.error(
                f"{unknown[0]}: unknown option{guess}" if unknown[0].startswith("-") else f"{unknown[0]}: not expected"
            )
        for value in vars(found).values():
            for path in value if isinstance(value, list) else [value]:
                if isinstance(path, Path):
                    check_path(path)
        return found

    def _today(self, word: str) -> str:
        name, equals, value = word.partition("=")
        option = EARLIER_OPTIONS.get(name)
        if option is None or not any(option in action.option_strings for action in self._actions):
            return word
        print(f"{name} is called {option} now", file=sys.stderr)
        return option + equals + value

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = None if action.choices is None else list(action.choices)
        if choices is not None and value not in choices:
            guess = did_you_mean(str(value), map(str, choices))
            raise argparse.ArgumentError(
                action, f"expected one of {', '.join(map(str, choices))}, got {value!r}{guess}"
            )


def run(command: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None = None) -> int:
    """Call `command(argv)` and return the exit status, with an InputError turned into one line on standard error.

    A programmer's error passes through with its traceback: hiding it would help nobody. A command module is then

        def main(argv: Sequence[str] | None = None) -> int:
            return run(_main, argv)
    """
    global _began
    _began = time.perf_counter()
    prepare_streams()
    os.environ.pop("MPLBACKEND", None)  # figures are drawn into files, and matplotlib would fail on a wrong one
    try:
        with _terminable():
            status = command(argv)
            sys.stdout.flush()
            return status
    except InputError as error:
        complain(error)
        return 2
    except NotBuiltError as error:
        print(f"ugodit: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read the output has had enough.
        give_up_output()
        return 0
    except OSError as error:
        if not cannot_be_written(error):
            raise
        give_up_output()
        complain(InputError(f"standard output: cannot be written ({error.strerror}); send it elsewhere"))
        return 2
    except Terminated:
        print("ugodit: told to end", file=sys.stderr)
        return 143
    except KeyboardInterrupt:
        print("ugodit: interrupted", file=sys.stderr)
        return 130


def complain(error: InputError) -> None:
    """The one line that says what is wrong."""
    with suppress(OSError):  # the exit code says it then
        print("ugodit: error: " + one_line(in_options(str(error)), LINE_LENGTH - 15), file=sys.stderr)


def check_seed(seed: int) -> None:
    """InputError for a seed that generators do not take."""
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed: expected 0 to 2^32 - 1, got {seed}")


_began = time.perf_counter()


def seconds_so_far() -> float:
    """Since the command began."""
    return time.perf_counter() - _began


@contextmanager
def _terminable() -> Iterator[None]:
    """Turn SIGTERM into `Terminated`, so that what is in hand is put down in an orderly way."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, end)
    except ValueError:  # Only the main thread may; elsewhere the program that calls us decides.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def in_options(text: str) -> str:
    """An error of the library with the command's options in place of the parameters that it names."""
    # Datasets and attributes of files are named in backticks too.
    return re.sub(r"(?<!dataset )(?<!attribute )`(\w+)`", lambda match: OPTION_OF.get(match[1], match[0]), text)
