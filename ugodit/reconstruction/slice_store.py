"""Where finished slices are kept until their volume's file is written: in memory, or on disk, safe whatever happens.

A store on disk is a folder. It belongs to no process: any number may work on the same volume, each on the slices that
it claims, and whoever comes after one that died finds its finished slices and goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ugodit.errors import InputError
from ugodit.io.atomic import write_file
from ugodit.io.claims import LEASE, Claims
from ugodit.reconstruction.finished_slice import FinishedSlice

SLICES = "slice_*.h5"
PUT_TO_USE = ".written"
"""Ending of the notes on slices that are in the volume's file, and no longer here."""


class SliceStore:
    """Finished slices in a folder, a file each.

    Slices that were made with other settings, or from measurements that have changed since, do not count.
    """

    SETTINGS = "settings.json"

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        *,
        source: str = "",
        digest: Callable[[int], str] | None = None,
        with_maps: bool = False,
        lease: float = LEASE,
    ) -> None:
        """
        Args:
            folder: is made, and removed when nothing is left in it.
            settings: everything that a slice's image depends on beside its measurements, as values that JSON knows.
            source: the file of the measurements, in its present state.
            digest: finds a slice's `Scan.digest()` anew, for slices that came from another source.
            with_maps: slices without their maps do not count.
            lease: seconds after which a process on another machine that shows no sign of life counts as dead.
        """
        self.folder, self.settings, self.source = folder, dict(settings), source
        self.key = digest_of(settings)
        self.message = ""
        """What was found in the folder, as a sentence for people."""
        self._digest, self._with_maps = digest, with_maps
        self._sound: dict[int, tuple[int, ...]] = {}
        self._claims = Claims(folder, self.key, lease=lease)

    def __enter__(self) -> Self:
        self._claims.__enter__()
        try:
            self._claims.clear()
            if not self._claims.others():
                for path in self.folder.glob(f"*{PUT_TO_USE}"):
                    path.unlink(missing_ok=True)
            if any(about != self.key for about in self._claims.others()):
                raise InputError(
                    f"{self.folder}: another process is at work on this volume with other settings; wait for it, or "
                    "choose another folder"
                )
            self._drop_others()
            # Written first of all: a folder that cannot be written to is found before anything is fitted.
            write_file(self.folder / self.SETTINGS, json.dumps(self.settings, sort_keys=True, indent=1).encode())
        except BaseException:
            self._claims.__exit__(None, None, None)
            self._remove_if_empty()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._claims.clear()
        self._claims.__exit__(kind, error, trace)
        self._remove_if_empty()

    def has(self, index: int, together: Iterable[int]) -> bool:
        if index not in self._sound:
            if not self._path(index).exists():
                return index in self._put_to_use()
            try:
                found, key = FinishedSlice.load(self._path(index))
            except InputError:
                return False  # Damaged: it is made anew.
            if key != self.key or (self._with_maps and found.maps is None) or not self._is_of_source(found):
                return False
            self._sound[index] = found.together
        return self._sound[index] == tuple(together)

    def write(self, finished: FinishedSlice) -> None:
        finished.save(self._path(finished.index), self.key)
        self._sound[finished.index] = finished.together

    def read(self, index: int) -> FinishedSlice:
        return FinishedSlice.load(self._path(index))[0]

    def is_there(self, index: int) -> bool:
        """Whether a finished slice is still in the store: another process may have written it to the volume's file."""
        return self._path(index).exists()

    def remove(self, indices: Sequence[int]) -> None:
        """Remove slices that are in the volume's file by now. Other processes here still take them for finished."""
        note = self.folder / f"{secrets.token_hex(4)}{PUT_TO_USE}"
        write_file(note, json.dumps({"key": self.key, "source": self.source, "slices": list(indices)}).encode())
        for index in indices:
            _unlink(self._path(index))
        if not any(self.folder.glob(SLICES)):
            self._remove_shared()

    def remove_left_over(self, indices: Sequence[int]) -> None:
        """Remove what a process left that died when these slices were in the volume's file, but still here too.

        The store is not opened. What has other settings stays, and what other processes work on.
        """
        if self.folder.is_dir() and _read(self.folder / self.SETTINGS) in (None, self.settings):
            with contextlib.suppress(InputError), self:
                if self.is_alone():
                    self.remove([index for index in indices if self.is_there(index)])

    def _remove_shared(self) -> None:
        """Remove what slices needed."""
        for path in self.folder.glob("prior.*"):
            _unlink(path)

    def _put_to_use(self) -> set[int]:
        """The slices that processes which are here, or were when this one came, wrote to the volume's file."""
        found: set[int] = set()
        for path in self.folder.glob(f"*{PUT_TO_USE}"):
            note = _read(path)
            if isinstance(note, dict) and (note.get("key"), note.get("source")) == (self.key, self.source):
                found.update(note["slices"])
        return found

    def path_of(self, name: str) -> Path | None:
        return self.folder / name

    def claim(self, work: str) -> bool:
        return self._claims.take(work)

    def release(self, work: str) -> None:
        self._claims.release(work)

    def workers(self) -> int:
        return 1 + len(self._claims.others())

    def is_alone(self) -> bool:
        """Whether no other process works here."""
        return self.workers() == 1

    def _path(self, index: int) -> Path:
        return self.folder / SLICES.replace("*", f"{index:04d}")

    def _is_of_source(self, found: FinishedSlice) -> bool:
        if self.source and found.source == self.source:
            return True
        return self._digest is not None and self._digest(found.index) == found.digest

    def _drop_others(self) -> None:
        """Remove what was made with other settings, and say so; else say how much is there."""
        files = sorted(self.folder.glob(SLICES))
        before = _read(self.folder / self.SETTINGS)
        if before is not None and before != self.settings:
            self._remove_shared()
        other = []
        for path in files:
            with contextlib.suppress(InputError):  # what cannot be read now is made anew, and written over
                if FinishedSlice.load(path)[1] != self.key:
                    other.append(path)
        if other:
            names = [name for name in self.settings if (before or {}).get(name) != self.settings[name]]
            changed = f" ({', '.join(names)})" if before and names else ""
            self.message = f"starting anew: slices of an earlier run ({len(other)}) have other settings{changed}"
            for path in other:
                _unlink(path)
        elif files:
            self.message = f"going on where an earlier run stopped: slices that are there: {len(files)}"

    def _remove_if_empty(self) -> None:
        """Remove the folder, unless there are slices in it, or other processes at work."""
        with contextlib.suppress(OSError):
            left = list(self.folder.iterdir())
            notes = [path for path in left if path.name == self.SETTINGS or path.name.endswith(PUT_TO_USE)]
            if len(notes) == len(left):
                for path in notes:
                    path.unlink(missing_ok=True)
                self.folder.rmdir()


def digest_of(settings: Mapping[str, Any]) -> str:
    """sha256 (hexadecimal) of settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> Any:
    """JSON in a file; None where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
