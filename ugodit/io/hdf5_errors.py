"""What HDF5 and h5py raise, as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ugodit.errors import InputError


@contextmanager
def guarded(where: str) -> Iterator[None]:
    """InputError in place of whatever a damaged file makes HDF5, h5py or NumPy raise.

    That is nearly anything: OSError, RuntimeError, KeyError, ValueError, TypeError (of types NumPy lacks), SystemError,
    UnicodeDecodeError, OverflowError. Nothing but calls of these libraries belongs inside.
    """
    try:
        yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{where}: does not fit into memory") from error
    except Exception as error:
        raise InputError(f"{where}: cannot be read; the file is damaged: copy it again") from error
