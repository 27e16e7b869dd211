"""Files that are either whole or not there."""

import contextlib
import os
import secrets
from pathlib import Path

from ugodit.errors import InputError


def write_file(path: str | os.PathLike[str], content: bytes | memoryview) -> None:
    """Write `content` to `path` so that no reader, crash or full disk ever sees a part of it.

    The bytes go to a temporary name in the same folder (a rename is atomic only within a file system), are synced, and
    are renamed over `path`. Raises InputError, with nothing left behind, where the disk is full, the folder is missing
    or read only, or the like.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        # os.open and not tempfile: the file gets the permissions of the user's umask, not 0600.
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: cannot be written ({reason}); free some space or choose another folder") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; some network file systems cannot, and the file is whole there all the same."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
