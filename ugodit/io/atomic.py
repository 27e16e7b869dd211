"""Files that are either whole or not there."""

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from ugodit.errors import OutputError


def write_file(path: str | os.PathLike[str], content: bytes | memoryview) -> None:
    """Write `content` to `path` so that no reader, crash or full disk ever sees a part of it.

    The bytes go to a temporary name in the same folder (a rename is atomic only within a file system), are synced, and
    are renamed over `path`. Raises OutputError, with nothing left behind, where the disk is full, the folder is missing
    or read only, or the like.
    """
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The empty file that is to be written in place of `path`: renamed over it at the end of the block.

    For what is too large to be in memory as a whole; otherwise as `write_file`.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        # os.open and not tempfile: the file gets the permissions of the user's umask, not 0600.
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield partial
        _sync(partial)
        os.replace(partial, path)
        with contextlib.suppress(OSError):  # Some network file systems cannot, and the file is whole all the same.
            _sync(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Find out before hours of work whether a file could be written there. OutputError where it could not."""
    path = Path(path)
    probe = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with open(probe, "xb") as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def remove_partial_files(folder: Path, name: str) -> None:
    """Remove what processes that died while they wrote NAME.h5, NAME_slice000_KEY.h5 and the like left in a folder."""
    pattern = re.compile(rf"\.{re.escape(name)}(_slice\w+)?\.\w+\.[0-9a-f]{{8}}\.partial")
    with contextlib.suppress(OSError):  # no such folder
        for path in [path for path in folder.iterdir() if pattern.fullmatch(path.name)]:
            path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until a file, or what a folder says of its files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(f"{path}: cannot be written ({reason}); free some space or choose another folder")
