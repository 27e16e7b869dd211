"""Files that are either whole or not there."""

import contextlib
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from ugodit.errors import OutputError
from ugodit.io.processes import this_machine

_HOST = hashlib.sha256(this_machine().encode()).hexdigest()[:8]
PARTIAL = re.compile(r"\..*\.(?:([0-9a-f]{8})-(\d+)-)?[0-9a-f]{8}\.partial")
"""Machine and process are missing in an earlier version's."""
_ABANDONED = 24 * 3600.0
"""Seconds after which a temporary file of another machine counts as left over."""


def write_file(path: str | os.PathLike[str], content: bytes | memoryview) -> None:
    """Write `content` to `path` so that no reader, crash or full disk ever sees a part of it.

    The bytes go to a temporary name in the same folder (a rename is atomic only within a file system), are synced, and
    are renamed over `path`. Raises OutputError, with nothing left behind, where the disk is full, the folder is missing
    or read only, or the like. A process that is killed meanwhile leaves its temporary file: see `remove_left_over`.
    """
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The empty file that is to be written in place of `path`: renamed over it at the end of the block.

    For what is too large to be in memory as a whole; otherwise as `write_file`.
    """
    path = Path(path)
    partial = _partial(path)
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
    probe = _partial(path)
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


def _partial(path: Path) -> Path:
    """A temporary name beside it."""
    # A long name is cut: with what is added it would be longer than the file system takes.
    name = os.fsencode(path.name)[:100].decode("utf-8", "ignore")
    return path.with_name(f".{name}.{_HOST}-{os.getpid()}-{secrets.token_hex(4)}.partial")


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


def remove_left_over(folder: Path) -> None:
    """Remove temporary files of `write_file` whose process is dead, where that is possible.

    A process of this machine is asked for; what comes from another, or an earlier version, must be a day old.
    """
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            match = PARTIAL.fullmatch(path.name)
            if match is not None and not path.is_symlink():
                with contextlib.suppress(OSError):
                    old = time.time() - path.stat().st_mtime > _ABANDONED
                    if old if match[1] != _HOST else not _alive(int(match[2])):
                        path.unlink()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # somebody else's
    return True
