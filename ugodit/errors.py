"""What ends a command in an orderly way: bad input (one line, exit code 2), and being told to stop (130, 143)."""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

LINE_LENGTH = 300
"""Characters of an error's line, at most."""


class InputError(ValueError):
    """What the user gave is at fault: a file, a dataset in it, a parameter.

    The message is one line that names the file and dataset (or the parameter, in `backticks`), what was expected, what
    was found and what to do. Commands put their options in place of parameters, print the line and exit with code 2;
    from Python it is an ordinary ValueError.
    """


class OutputError(InputError):
    """What is being written cannot be: a full disk, a folder that is gone or read only. Going on would be in vain."""


class ElsewhereError(InputError):
    """What is wrong is said by another of several processes: it is not to be said twice."""


class Terminated(KeyboardInterrupt):
    """The system asks the process to end (SIGTERM): as Ctrl-C, but commands exit with 143."""


class NotBuiltError(ImportError):
    """The compiled kernels are missing: what to do, in one line. Commands print it and exit with code 2."""


@contextmanager
def named(where: str, hint: str = "") -> Iterator[None]:
    """Put a file or parameter in front of what an InputError says, and a hint behind it."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{where}: {error}{hint}" if where else f"{error}{hint}") from error


def one_line(text: str, length: int = LINE_LENGTH) -> str:
    """A message as one line for a terminal or a log: without control characters, and its middle left out if too long.

    File names and what files hold come into messages as they are; escape sequences in them could rewrite a screen.
    """
    text = " ".join(text[: 100 * length].split())
    shown = "".join(_visible(character) for character in text)
    if len(shown) <= length:
        return shown
    before = (length - 5) // 2
    return f"{shown[:before]} ... {shown[len(shown) - (length - 5 - before) :]}"


def _visible(character: str) -> str:
    """Controls, surrogates of undecodable bytes, and marks that turn the direction of writing, as their escapes."""
    if unicodedata.category(character)[0] != "C":
        return character
    return f"\\x{ord(character):02x}" if character.isascii() else character.encode("ascii", "backslashreplace").decode()
