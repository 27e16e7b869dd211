"""What is asked of a file before it is opened: that it is one, and no larger than it may be."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from ugodit.errors import InputError

MAX_PARTS = 200
MAX_JSON_BYTES = 1 << 20


def check_path(path: Path) -> None:
    """InputError for a path that cannot name a file, or whose text would garble a terminal or a log.

    Nothing need be there yet. Names that are not UTF-8, control characters, and what the system refuses to look at:
    names that are too long, folders without permission.
    """
    text = str(path)
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError(f"{path}: expected a path in UTF-8, got other bytes; rename the file or folder")
    if not text.isprintable():
        raise InputError(f"{path}: expected a path of printable characters, got others; rename the file or folder")
    if len(path.parts) > MAX_PARTS:
        raise InputError(f"{path}: expected at most {MAX_PARTS} folders within one another, got {len(path.parts)}")
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise InputError(f"{path}: cannot be reached ({_reason(error)}); choose another path") from error


def require_regular_file(path: Path, expected: str) -> int:
    """The size in bytes of a file that may be opened: a FIFO would block for ever, a device need never end.

    expected: what it should be, for the error. InputError where it is missing, or no regular file.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: there is no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({_reason(error)})") from error
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path}: expected {expected}, got a folder or a device")
    return found.st_size


def read_bytes(path: Path, expected: str, limit: int) -> bytes:
    """The whole content of a regular file of at most `limit` bytes. InputError where it is no such file."""
    require_regular_file(path, expected)
    try:
        # Not blocking, and asked again once it is open: what the name stands for may have changed in between.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise InputError(f"{path}: expected {expected}, got a folder or a device")
            size = found.st_size
            content = file.read(size + 1) if size <= limit else b""  # which is allocated before it is read
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({_reason(error)})") from error
    if max(size, len(content)) > limit:
        raise InputError(f"{path}: expected {expected} of at most {limit} bytes, got more")
    return content


def read_json(path: Path) -> Any:
    """The value in a small file of ours; None where there is no such file, or where it is damaged."""
    try:
        return json.loads(read_bytes(path, "JSON", MAX_JSON_BYTES))
    except (InputError, ValueError, RecursionError):
        return None


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
