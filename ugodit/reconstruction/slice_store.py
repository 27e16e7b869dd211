"""Where finished slices are kept until their volume's file is written: in memory, or on disk, safe whatever happens.

A store on disk is a folder. It belongs to no process: any number may work on the same volume, each on the slices that
it claims, and whoever comes after one that died finds its finished slices and goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ugodit.errors import InputError
from ugodit.io.atomic import write_file
from ugodit.io.claims import LEASE, Claims
from ugodit.io.files import read_json
from ugodit.reconstruction.finished_slice import FinishedSlice
from ugodit.reconstruction.store_files import (
    NOTE,
    SETTINGS,
    SHARED,
    SLICE,
    files_of,
    noted,
    remove_if_empty,
    slice_name,
    unlink,
    write_note,
)


class SliceStore:
    """Finished slices in a folder, a file each.

    Slices that were made with other settings, or from measurements that have changed since, do not count.
    """

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
        """Slices that count, and what they were fitted together with."""
        self._form: tuple[object, ...] | None = None
        """`FinishedSlice.form` of these."""
        self._claims = Claims(folder, self.key, lease=lease)

    def __enter__(self) -> Self:
        self._check_folder()
        self._claims.__enter__()
        try:
            self._clear()
            if any(about != self.key for about in self._claims.others()):
                raise InputError(
                    f"{self.folder}: another process is at work on this volume with other settings; wait for it, or "
                    "choose another folder"
                )
            self._drop_others()
            # Written first of all: a folder that cannot be written to is found before anything is fitted.
            write_file(self.folder / SETTINGS, json.dumps(self.settings, sort_keys=True, indent=1).encode())
        except BaseException:
            self._claims.__exit__(None, None, None)
            remove_if_empty(self.folder)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()
        self._claims.__exit__(kind, error, trace)
        remove_if_empty(self.folder)

    def _check_folder(self) -> None:
        """InputError for a folder that is somebody else's: files in it would be written over, and removed."""
        if self.folder.is_symlink():
            raise InputError(f"{self.folder}: is a symbolic link, which is not followed; remove it, or name its target")
        settings = read_json(self.folder / SETTINGS)
        if isinstance(settings, dict) and not settings.keys() & self.settings.keys():
            raise InputError(
                f"{self.folder / SETTINGS}: expected the settings of a reconstruction, got others; remove the folder "
                "or choose another"
            )

    def has(self, index: int, together: Iterable[int]) -> bool:
        if index not in self._sound:
            if not self._path(index).exists():
                return index in noted(self.folder, self.key, self.source)
            try:
                found, key = FinishedSlice.load(self._path(index))
            except InputError:
                return False  # Damaged: it is made anew.
            if key != self.key or (self._with_maps and found.maps is None):
                return False
            if found.index != index or not self._is_like_the_others(found) or not self._is_of_source(found):
                return False
            self._form = found.form
            self._sound[index] = found.together
        return self._sound[index] == tuple(together)

    def write(self, finished: FinishedSlice) -> None:
        finished.save(self._path(finished.index), self.key)
        if self._form != finished.form:  # What was just fitted is right.
            self._form = finished.form
            self._sound.clear()
        self._sound[finished.index] = finished.together

    def read(self, index: int) -> FinishedSlice:
        found, _ = FinishedSlice.load(self._path(index))
        if found.index != index:
            raise InputError(f"{self._path(index)}: expected slice {index}, got {found.index}; remove the file")
        return found

    def is_there(self, index: int) -> bool:
        """Whether a finished slice is still in the store: another process may have written it to the volume's file."""
        return self._path(index).exists()

    def remove(self, indices: Sequence[int]) -> None:
        """Remove slices that are in the volume's file by now. Other processes here still take them for finished."""
        write_note(self.folder, self.key, self.source, indices)
        for index in indices:
            unlink(self._path(index))
        if not files_of(self.folder, SLICE):
            self._remove_shared()

    def remove_left_over(self, indices: Sequence[int]) -> None:
        """Remove what a process left that died when these slices were in the volume's file, but still here too.

        The store is not opened. What has other settings stays, and what other processes work on.
        """
        if not self.folder.is_dir() or self.folder.is_symlink():
            return
        settings = read_json(self.folder / SETTINGS)
        if settings in (None, self.settings):
            with contextlib.suppress(InputError), self:
                if self.is_alone():
                    there = [index for index in indices if self.is_there(index)]
                    # Where nothing says whose the folder is, the slices must.
                    self.remove([index for index in there if settings is not None or self._is_own(index)])

    def _is_own(self, index: int) -> bool:
        try:
            return FinishedSlice.load(self._path(index))[1] == self.key
        except InputError:
            return False

    def _remove_shared(self) -> None:
        """Remove what slices needed."""
        for name in SHARED:
            unlink(self.folder / name)

    def _clear(self) -> None:
        """Remove what dead processes left, and notes that no other process needs."""
        self._claims.clear()
        if not self._claims.others():
            for path in files_of(self.folder, NOTE):
                unlink(path)

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
        return self.folder / slice_name(index)

    def _is_like_the_others(self, found: FinishedSlice) -> bool:
        """Whether it has what other slices of the volume have: a checksum tells only that a file is as it was made."""
        shape = tuple(self.settings.get("shape", found.mask.shape))
        return self._form in (None, found.form) and found.mask.shape in (shape[-1:], shape[-2:])

    def _is_of_source(self, found: FinishedSlice) -> bool:
        if self.source and found.source == self.source:
            return True
        return self._digest is not None and self._digest(found.index) == found.digest

    def _drop_others(self) -> None:
        """Remove what was made with other settings, and say so; else say how much is there."""
        files = files_of(self.folder, SLICE)
        before = read_json(self.folder / SETTINGS)
        before = before if isinstance(before, dict) else None
        if before is not None and before != self.settings:
            self._remove_shared()
        other: list[Path] = []
        forms: list[tuple[object, ...] | None] = []
        for path in files:
            with contextlib.suppress(InputError):  # made anew, and written over
                found, key = FinishedSlice.load(path)
                if key != self.key:
                    other.append(path)
                elif slice_name(found.index) == path.name and self._is_like_the_others(found):
                    forms.append(found.form)
        if forms:  # No one slice that is not like the others makes all of them count for nothing.
            self._form = max(forms, key=forms.count)
        good = forms.count(self._form)
        damaged = len(files) - len(other) - good
        if other:
            names = [name for name in self.settings if (before or {}).get(name) != self.settings[name]]
            changed = f" ({', '.join(names)})" if before and names else ""
            self.message = f"starting anew: slices of an earlier run ({len(other)}) have other settings{changed}"
            for path in other:
                unlink(path)
        elif good:
            self.message = f"going on where an earlier run stopped: slices that are there: {good}"
        if damaged:
            self.message += "; " * bool(self.message) + f"slices that are damaged, and do not count: {damaged}"


def digest_of(settings: Mapping[str, Any]) -> str:
    """sha256 (hexadecimal) of settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
