"""Standard output and error, whatever they are: closed, on a full disk, or in an encoding of few characters."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def prepare_streams() -> None:
    """Let nothing that is printed fail for its characters, or because the stream was closed from the beginning."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - it is to stay open
        elif isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")


def cannot_be_written(error: OSError) -> bool:
    """Whether an error is one of a stream, whose disk is full: a file's has its name."""
    return error.filename is None and error.errno in _FULL


def give_up_output() -> None:
    """Send what is left for standard output nowhere: Python would fail again when it flushes at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
