"""How many threads a command computes with, and how they wait for each other. Needs no torch.

By itself torch starts one thread a core of the machine, also where a container or a batch job may use only a few. Its
OpenMP runtime splits each operation evenly and then waits for the last thread: on a core that another program uses too,
that thread comes late, hundreds of times in a step, and the ones that wait spin for 10 ms before they sleep. So two
threads on two cores take two to four times as long as one where another program keeps one core busy. Therefore

- who was given CPUs (a quota, Slurm) or asks for a number (`--threads`, OMP_NUM_THREADS) gets that;
- else there is one thread for each core that other programs leave free, as seen once, while torch is being imported.
  The number does not change later, because the last bits of the results depend on it;
- waiting threads sleep after SPINS looks, which limits the harm of programs that start later. Sleeping at once, or
  after 0.1 ms, helps little more then, and on an idle machine makes the small operations of a network slower.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path, PurePosixPath

SPINS = 10_000
"""Looks of a waiting thread before it sleeps: some 0.3 ms. libgomp's own number is 300000."""

BUSY = 0.25
"""A core counts as free if others use less than this fraction of it: there are always some small services."""


class FreeCores:
    """How many of the cores that this process may run on others leave free, from its making to `count`.

    `cores`: those that it may run on. Ask before torch is imported: OMP_PROC_BIND then binds this thread to one.
    """

    def __init__(
        self,
        root: Path = Path("/"),
        cores: set[int] | None = None,
        clock: Callable[[], tuple[float, float]] = lambda: (time.perf_counter(), time.process_time()),
    ) -> None:
        """root: the folder that has proc. cores: default, all allowed. clock: seconds, and this process's CPU time."""
        self._root, self._clock = root, clock
        self.cores = os.sched_getaffinity(0) if cores is None else cores
        self._before = (*clock(), self._idle())

    def count(self) -> int:
        """At least 1; all cores where /proc/stat cannot be read."""
        began, used, idle = self._before
        (now, used_now), idle_now = self._clock(), self._idle()
        if idle is None or idle_now is None or now <= began:
            return len(self.cores)
        free = (idle_now - idle + used_now - used) / (now - began)
        return max(1, min(len(self.cores), int(free + BUSY)))

    def _idle(self) -> float | None:
        """Seconds that the cores have been idle, all together."""
        names = {f"cpu{core}" for core in self.cores}
        found = [line.split() for line in _lines(self._root / "proc/stat") if line.partition(" ")[0] in names]
        if not found:
            return None
        # user, nice, system, idle, waiting for a disk: the last two are nobody's.
        return sum(int(words[4]) + int(words[5]) for words in found) / os.sysconf("SC_CLK_TCK")


def default_threads(free: FreeCores, environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> int:
    """The number of threads where `--threads` does not say; see above. root: the folder that has proc and sys.

    A rank that torchrun started beside others has its share of the CPUs, at least one thread. There OMP_NUM_THREADS=1
    asks for nothing, since torchrun sets it itself; and free cores are not counted, since all ranks start at once.
    """
    together = "TORCHELASTIC_RUN_ID" in environment
    ranks = (_number(environment, "LOCAL_WORLD_SIZE") or 1) if together else 1
    wanted = _number(environment, "OMP_NUM_THREADS")
    if wanted == 1 and ranks > 1:
        wanted = None
    granted = granted_cpus(environment, root)
    if ranks == 1 and wanted is None and granted is None:
        return free.count()
    cpus = len(free.cores)
    share = max(1, min(cpus, granted or cpus) // ranks)
    return min(share, wanted or share)


def granted_cpus(environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> int | None:
    """The least of the quotas of this process's cgroups, rounded down to whole CPUs, and Slurm's CPUs for each task.

    None where nobody has set any. At least 1.
    """
    quotas = [_quota(folder) for folder in _cgroups(root)]
    said = [limit for limit in (*quotas, _number(environment, "SLURM_CPUS_PER_TASK")) if limit is not None]
    return min(said, default=None)


def sleep_soon(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let waiting threads sleep after SPINS looks. libgomp reads this when it is loaded, with torch.

    What the user has set, by either variable, stands.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", str(SPINS))


def _number(environment: Mapping[str, str], name: str) -> int | None:
    """A number from 1, or None; the first of a list such as OMP_NUM_THREADS=4,2."""
    first = environment.get(name, "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def _cgroups(root: Path) -> Iterator[Path]:
    """Folders that may limit this process's CPU time: its groups of version 2 and 1, and all that these are in.

    A container often sees its own group as the topmost, under a path that exists outside only: that is asked too.
    """
    for line in _lines(root / "proc/self/cgroup"):
        _, _, named = line.partition(":")
        controllers, _, path = named.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        group = PurePosixPath(path.lstrip("/"))
        for mount in ("cpu", "cpu,cpuacct", controllers) if controllers else ("", "unified"):
            yield from (root / "sys/fs/cgroup" / mount / folder for folder in (group, *group.parents))


def _quota(folder: Path) -> int | None:
    """Whole CPUs that a cgroup allows, at least one; None without a limit, and where there is no such group."""
    lines = _lines(folder / "cpu.max") or _lines(folder / "cpu.cfs_quota_us") + _lines(folder / "cpu.cfs_period_us")
    try:
        quota, period = map(int, " ".join(lines).split())
    except ValueError:  # missing, or "max"
        return None
    return max(1, quota // period) if quota > 0 and period > 0 else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
