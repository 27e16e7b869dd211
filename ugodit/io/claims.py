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
import secrets
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ugodit.errors import OutputError

LEASE = 60.0
"""Seconds after which a process that did not renew itself counts as dead."""
RENEWALS = 6
"""How often a process renews itself within a lease."""

OWNER, CLAIM = ".owner", ".claim-"


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
        for generation in range(last + 1):
            with contextlib.suppress(OSError):
                self._claim(name, generation).unlink(missing_ok=True)

    def others(self) -> list[str]:
        """What every other process that lives here is about."""
        abouts = []
        for path in self._files(OWNER):
            owner = path.name.removesuffix(OWNER)
            if owner != self.name and self._is_alive(owner):
                abouts.append(str((_read_json(path) or {"about": self.about}).get("about")))
        return abouts

    def clear(self) -> None:
        """Remove what dead processes left, if no other lives here: claims, registrations and half-written files."""
        # Listed before others are looked for: what belongs to one who comes right now is not among it.
        found = self._files("")
        if self.others():
            return
        for path in found:
            left = path.name.endswith((OWNER, ".partial")) or CLAIM in path.name
            if left and path != self._owner(self.name) and not (CLAIM in path.name and self._is_held(path)):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def _last_generation(self, name: str) -> int:
        """The highest that anybody made of this claim; -1 for none."""
        pairs = [path.name.rpartition(CLAIM) for path in self._files("")]
        return max((int(number) for claimed, _, number in pairs if claimed == name and number.isdecimal()), default=-1)

    def _is_held(self, claim: Path) -> bool:
        owner = _read_text(claim)
        return self._is_alive(owner) if owner else self._is_recent(claim)  # not written yet, or never

    def _is_alive(self, owner: str) -> bool:
        process = _read_json(self._owner(owner))
        if process is None:  # not there, or not written yet
            return self._is_recent(self._owner(owner))
        here = _this_process()
        if all(process.get(key) == here[key] for key in ("boot", "pids")):
            return _start_of(process.get("pid")) == process.get("started")
        return self._is_recent(self._owner(owner))

    def _is_recent(self, path: Path) -> bool:
        """Whether the file was touched within a lease, by the file system's time: machines' clocks need not agree."""
        mine = self._owner(self.name)
        try:
            os.utime(mine)
            return mine.stat().st_mtime - path.stat().st_mtime < self.lease
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
        _create(self._owner(self.name), json.dumps({**_this_process(), "about": self.about}).encode())

    def _owner(self, name: str) -> Path:
        return self.folder / f"{name}{OWNER}"

    def _claim(self, name: str, generation: int) -> Path:
        return self.folder / f"{name}{CLAIM}{generation}"

    def _files(self, ending: str) -> list[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if path.name.endswith(ending))
        except OSError:
            return []


def this_machine() -> str:
    """What tells machines, and containers whose processes are numbered apart, from one another."""
    return f"{_boot()} {_pid_namespace()}"


def _this_process() -> dict[str, Any]:
    """What tells whether a process is on this machine, and which it is: numbers of processes are used again."""
    return {"boot": _boot(), "pids": _pid_namespace(), "pid": os.getpid(), "started": _start_of(os.getpid())}


def _boot() -> str:
    return _read_text(Path("/proc/sys/kernel/random/boot_id")) or socket.gethostname()


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _start_of(pid: Any) -> str | None:
    """When a process of this machine began, in the kernel's units; "" where that is not told, None for no process."""
    if not isinstance(pid, int) or pid <= 0:
        return None
    stat = _read_text(Path(f"/proc/{pid}/stat"))
    if stat:
        state, *fields = stat.rpartition(")")[2].split()
        return None if state in "ZX" else fields[18]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return ""


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


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _unwritable(folder: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(f"{folder}: cannot be written ({reason}); free some space or choose another folder")
