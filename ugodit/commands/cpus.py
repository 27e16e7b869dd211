"""The CPUs that this process may use, and how many of them other programs leave free. Needs no torch.

`root` is the folder that has proc and sys: another than "/" in tests. What cannot be read limits nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

SMALL = 0.25
"""A core counts as free if others use less than this fraction of it: there are always some small services."""

_EARLIEST = 64
"""No process has more ancestors that are looked at."""


def cores(cpus: set[int], root: Path = Path("/")) -> int:
    """How many cores these CPUs are: the two hardware threads of one core do not compute faster than one."""
    topology = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    return len({" ".join(lines(root / topology.format(cpu))) or str(cpu) for cpu in cpus})


def quota(root: Path = Path("/")) -> int | None:
    """The least CPU quota of this process's cgroups, in whole CPUs rounded down, at least 1. None without any."""
    return min((found for folder in _cgroups(root) if (found := _quota(folder)) is not None), default=None)


class FreeCores:
    """How many of this process's cores others leave free, from its making to `count`.

    cpus: those that this process may run on. cores: how many cores these are. Make it before torch is imported:
    OMP_PROC_BIND then binds this thread to one.
    """

    def __init__(
        self,
        root: Path = Path("/"),
        cpus: set[int] | None = None,
        clock: Callable[[], tuple[float, float]] = lambda: (time.perf_counter(), time.process_time()),
    ) -> None:
        """cpus: default, all allowed. clock: seconds, and this process's CPU time."""
        self._root, self._clock = root, clock
        self.cpus = _allowed() if cpus is None else cpus
        self.cores = cores(self.cpus, root)
        self._before = (*clock(), self._idle())

    def count(self) -> int:
        """At least 1; all cores where /proc/stat cannot be read."""
        began, used, idle = self._before
        (now, used_now), idle_now = self._clock(), self._idle()
        if idle is None or idle_now is None or now <= began:
            return self.cores
        # Programs are put on cores of their own first, where two CPUs share one.
        others = len(self.cpus) - (idle_now - idle + used_now - used) / (now - began)
        return max(1, min(self.cores, int(self.cores - others + SMALL)))

    def _idle(self) -> float | None:
        """Seconds that the CPUs have been idle, all together."""
        names = {f"cpu{cpu}" for cpu in self.cpus}
        found = [line.split() for line in lines(self._root / "proc/stat") if line.partition(" ")[0] in names]
        if not found:
            return None
        # user, nice, system, idle, waiting for a disk: the last two are nobody's.
        return sum(int(words[4]) + int(words[5]) for words in found) / os.sysconf("SC_CLK_TCK")


def _allowed() -> set[int]:
    """This process's affinity; all CPUs on systems that have none."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def launcher_had(name: str, root: Path = Path("/")) -> bool:
    """Whether torchrun, which this process comes from, was itself started with this environment variable.

    Its agent is the nearest ancestor that was started without TORCHELASTIC_RUN_ID, which it gives to what it starts.
    What a program adds to its environment is not in /proc/PID/environ. False where that cannot be read.
    """
    process = "self"
    for _ in range(_EARLIEST):
        parents = [line.split()[1] for line in lines(root / f"proc/{process}/status") if line.startswith("PPid:")]
        if not parents or parents[0] == "0":
            return False
        process = parents[0]
        started_with = {one.partition("=")[0] for one in " ".join(lines(root / f"proc/{process}/environ")).split("\0")}
        if "TORCHELASTIC_RUN_ID" not in started_with:
            return name in started_with
    return False


def _cgroups(root: Path) -> Iterator[Path]:
    """Folders that may limit this process's CPU time: its groups of version 2 and 1, and all that these are in.

    A container often sees its own group as the topmost, under a path that exists outside only: that is asked too.
    """
    for line in lines(root / "proc/self/cgroup"):
        _, _, named = line.partition(":")
        controllers, _, path = named.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        group = PurePosixPath(path.lstrip("/"))
        for mount in ("cpu", "cpu,cpuacct", controllers) if controllers else ("", "unified"):
            yield from (root / "sys/fs/cgroup" / mount / folder for folder in (group, *group.parents))


def _quota(folder: Path) -> int | None:
    """Whole CPUs that a cgroup allows, at least one; None without a limit, and where there is no such group."""
    found = lines(folder / "cpu.max") or lines(folder / "cpu.cfs_quota_us") + lines(folder / "cpu.cfs_period_us")
    try:
        allowed, period = map(int, " ".join(found).split())
    except ValueError:  # missing, or "max"
        return None
    return max(1, allowed // period) if allowed > 0 and period > 0 else None


def lines(path: Path) -> list[str]:
    """Of a text file; none where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except (OSError, ValueError):  # ValueError: a name with a null byte
        return []
