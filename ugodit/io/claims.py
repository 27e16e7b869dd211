"""Who does what, among processes that share nothing but a folder: claims that one process holds, and lose if it dies.

Every process registers itself in the folder and renews that as long as it lives. A claim is a file that only one
process can create; it counts as long as its owner lives. On the same machine a dead owner is noticed at once, elsewhere
(on a network file system) when it has not renewed itself for the length of a lease. Nothing here needs locks, which
network file systems may not have.

A process that was only taken for dead (stopped for longer than a lease, say) goes on with a claim that is another's by
now: the same work is done twice. Whoever uses claims must make sure that this does no harm, by writing results that are
the same whoever writes them, whole.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from ugodit.errors import InputError, OutputError
from ugodit.io.atomic import PARTIAL
from ugodit.io.files import read_bytes, read_json
from ugodit.io.processes import start_of, this_process

LEASE = 60.0
"""Seconds after which a process that did not renew itself counts as dead."""
RENEWALS = 6
"""How often a process renews itself within a lease."""

OWNER, CLAIM = ".owner", ".claim-"
_PROCESS = re.compile(r"[^/\0]+-[0-9]+-[0-9a-f]{6}")
"""A process's name: machine, number, and what tells it from others with that number."""
_CLAIM = re.compile(r"(.+)\.claim-([0-9]+)", re.DOTALL)


class Claims:
    """The claims of this process in a folder, which is made if it is not there; used in a `with` block.

    about: what all processes must agree on; `others` lets one see who does not.
    """

    def __init__(self, folder: Path, about: str = "", *, lease: float = LEASE) -> None:
        self.folder, self.about, self.lease = folder, about, lease
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}".replace("/", "_")
        self._held: dict[str, int] = {}
        self._ended = threading.Event()
        self._renewing = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Self:
        for attempt in range(10):
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._register()
                break
            except FileNotFoundError as error:  # the last process that used the folder removed it just now
                if attempt == 9:
                    raise _unwritable(self.folder, error) from error
            except OSError as error:
                raise _unwritable(self.folder, error) from error
        self._renewing.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for name in list(self._held):
            self.release(name)
        with contextlib.suppress(OSError):
            self._owner(self.name).unlink(missing_ok=True)

    def take(self, name: str) -> bool:
        """Claim `name`; False where another process, which lives, has it. One's own claim may be taken again."""
        if name in self._held:
            return True
        last = self._last_generation(name)
        if last >= 0 and self._is_held(self._claim(name, last)):
            return False
        # Of all who found the last owner dead one creates the next generation. None is ever renamed or taken away, so
        # that nobody who looked a moment ago can take it from the new owner.
        try:
            _create(self._claim(name, last + 1), self.name.encode())
        except FileExistsError:
            return False
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        self._held[name] = last + 1
        return True

    def release(self, name: str) -> None:
        """Let others have it, if this process holds it."""
        last = self._held.pop(name, -1)
        # The newest last of all: without it an older one would count, and could be taken.
        for generation, path in sorted({*self._generations(name), (last, self._claim(name, last))}):
            if generation <= last:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def others(self) -> list[str]:
        """What every other process that lives here is about."""
        abouts = []
        for path in self._files(OWNER):
            owner = path.name.removesuffix(OWNER)
            if owner != self.name and self._is_alive(owner):
                process = read_json(path)
                abouts.append(str(process.get("about")) if isinstance(process, dict) else self.about)
        return abouts

    def clear(self) -> None:
        """Remove what dead processes left, if no other lives here: claims, registrations and half-written files."""
        # Listed before others are looked for: what belongs to one who comes right now is not among it.
        found = self._files("")
        if self.others():
            return
        for path in found:
            if path == self._owner(self.name) or not is_of_claims(path.name):
                continue
            if _CLAIM.fullmatch(path.name) is None or (_names_a_process(path) and not self._is_held(path)):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def _last_generation(self, name: str) -> int:
        """The highest that anybody made of this claim; -1 for none."""
        return max((generation for generation, _ in self._generations(name)), default=-1)

    def _generations(self, name: str) -> list[tuple[int, Path]]:
        matches = [(_CLAIM.fullmatch(path.name), path) for path in self._files("")]
        return [(int(match[2]), path) for match, path in matches if match is not None and match[1] == name]

    def _is_held(self, claim: Path) -> bool:
        owner = _read_claim(claim)
        # An empty one is not written yet, or never will be: where there are no hard links (`_create`).
        return self._is_alive(owner) if owner else owner == "" and self._is_recent(claim, self.lease / RENEWALS)

    def _is_alive(self, owner: str) -> bool:
        if _PROCESS.fullmatch(owner) is None:
            return False
        process = read_json(self._owner(owner))
        if not isinstance(process, dict):  # not there, or not written yet
            return self._is_recent(self._owner(owner), self.lease)
        here = this_process()
        if all(process.get(key) == here[key] for key in ("boot", "pids")):
            return start_of(process.get("pid")) == process.get("started")
        return self._is_recent(self._owner(owner), self.lease)

    def _is_recent(self, path: Path, seconds: float) -> bool:
        """Whether the file was touched so lately, by the file system's time: machines' clocks need not agree.

        What is to be touched in future was set to that, and would stay recent until then.
        """
        mine = self._owner(self.name)
        try:
            os.utime(mine)
            return -seconds < mine.stat().st_mtime - path.lstat().st_mtime < seconds
        except OSError:
            return False

    def _renew(self) -> None:
        while not self._ended.wait(self.lease / RENEWALS):
            with contextlib.suppress(OSError):
                try:
                    os.utime(self._owner(self.name))
                except FileNotFoundError:  # others took this process for dead, and cleared it away
                    self._register()

    def _register(self) -> None:
        _create(self._owner(self.name), json.dumps({**this_process(), "about": self.about}).encode())

    def _owner(self, name: str) -> Path:
        return self.folder / f"{name}{OWNER}"

    def _claim(self, name: str, generation: int) -> Path:
        return self.folder / f"{name}{CLAIM}{generation}"

    def _files(self, ending: str) -> list[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if path.name.endswith(ending))
        except OSError:
            return []


def is_of_claims(name: str) -> bool:
    """Whether a file's name is one that claims, or half-written files, have: all others are somebody else's."""
    if name.endswith(OWNER):
        return _PROCESS.fullmatch(name.removesuffix(OWNER)) is not None
    return (PARTIAL.fullmatch(name) or _CLAIM.fullmatch(name)) is not None


def _read_claim(path: Path) -> str | None:
    """The owner's name, "" where it cannot be read; None where there is no such file, or a folder, FIFO or device."""
    try:
        return read_bytes(path, "a claim", 1 << 12).decode("utf-8", "replace").strip()
    except InputError:
        return "" if path.is_file() else None


def _names_a_process(claim: Path) -> bool:
    """Whether a file that is named as a claim is one."""
    owner = _read_claim(claim)
    return owner == "" or (owner is not None and _PROCESS.fullmatch(owner) is not None)


def _create(path: Path, content: bytes) -> None:
    """Make a file that is not there yet. FileExistsError where it is; it is never seen empty."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        partial.write_bytes(content)
        try:
            os.link(partial, path)
        except FileExistsError:
            # A network file system may have done it and lost the answer.
            if partial.stat().st_nlink != 2:
                raise
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        with open(path, "xb") as file:  # no hard links here: an empty file may be seen for a moment
            file.write(content)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _unwritable(folder: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(f"{folder}: cannot be written ({reason}); free some space or choose another folder")
