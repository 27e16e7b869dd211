"""Which process on which machine this is, and whether another one of this machine lives still."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any


def this_machine() -> str:
    """What tells machines, and containers whose processes are numbered apart, from one another."""
    return f"{_boot()} {_pid_namespace()}"


def this_process() -> dict[str, Any]:
    """What tells whether a process is on this machine, and which it is: numbers of processes are used again."""
    return {"boot": _boot(), "pids": _pid_namespace(), "pid": os.getpid(), "started": start_of(os.getpid())}


def _boot() -> str:
    return _read_text(Path("/proc/sys/kernel/random/boot_id")) or socket.gethostname()


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def start_of(pid: Any) -> str | None:
    """When a process of this machine began, in the kernel's units; "" where that is not told, None for no process."""
    if not isinstance(pid, int) or not 0 < pid < 1 << 31:
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


def _read_text(path: Path) -> str:
    """Of the kernel's own files; "" where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
