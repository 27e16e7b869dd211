"""What a process may use and what others leave, on made-up machines, and beside real busy processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from busy import busy_processes
from machines import version_1, watched, write

from ugodit.commands.cpus import FreeCores, cores, launcher_had, quota


@pytest.mark.parametrize(
    ("idle", "used", "expected"),
    [
        (1.0, 1.0, 2),  # nobody else
        (1.2, 0.6, 2),  # some small service; we waited for the disk
        (0.1, 1.0, 1),  # one busy process
        (0.6, 0.9, 1),  # one that is busy half of the time
        (0.0, 0.2, 1),  # eight
        (2.5, 0.0, 2),  # never more than there are
    ],
)
def test_cores_that_others_leave(tmp_path: Path, idle: float, used: float, expected: int) -> None:
    assert watched(tmp_path, idle, used).count() == expected


def test_without_proc_all_cores_are_taken(tmp_path: Path) -> None:
    assert FreeCores(tmp_path, {0, 1, 2}).count() == 3


@pytest.mark.parametrize(("idle", "expected"), [(3.0, 2), (2.0, 1), (0.0, 1)])
def test_two_hardware_threads_are_one_core(tmp_path: Path, idle: float, expected: int) -> None:
    """Four CPUs on two cores. Another program is on a core of its own."""
    topology = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    write(tmp_path, {topology.format(cpu): f"{cpu % 2},{cpu % 2 + 2}" for cpu in range(4)})
    assert [cores(cpus, tmp_path) for cpus in ({0, 1, 2, 3}, {0, 2}, {1, 2}, {3})] == [2, 1, 2, 1]
    free = watched(tmp_path, idle, 1.0, cpus=4)
    assert (free.cores, free.count()) == (2, expected)


def test_cores_are_those_that_the_process_may_run_on() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from ugodit.commands.cpus import FreeCores; print(FreeCores().cores, FreeCores().count())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]


@pytest.mark.slow
def test_busy_cores_are_seen() -> None:
    with busy_processes(len(os.sched_getaffinity(0))):
        free = FreeCores()
        time.sleep(1)
        assert free.count() == 1


QUOTAS: dict[str, tuple[dict[str, str], int | None]] = {
    "no cgroups": ({}, None),
    "version 2 without a limit": ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, None),
    "version 2": ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "290000 100000"}, 2),
    "less than a CPU": ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
    "the group above": (
        {
            "proc/self/cgroup": "0::/user/job",
            "sys/fs/cgroup/user/cpu.max": "300000 100000",
            "sys/fs/cgroup/user/job/cpu.max": "800000 100000",
        },
        3,
    ),
    "version 1": (
        {"proc/self/cgroup": "4:memory:/a\n1:cpu:/job\n0::/", **version_1("sys/fs/cgroup/cpu/job", 400000)},
        4,
    ),
    "version 1 without a limit": ({"proc/self/cgroup": "1:cpu:/", **version_1("sys/fs/cgroup/cpu", -1)}, None),
    "another controller": ({"proc/self/cgroup": "1:cpuset:/", **version_1("sys/fs/cgroup/cpuset", 100000)}, None),
    "a container, by its path outside": (
        {"proc/self/cgroup": "3:cpu,cpuacct:/docker/5f", **version_1("sys/fs/cgroup/cpu,cpuacct", 150000)},
        1,
    ),
    "bytes that are no text": ({"proc/self/cgroup": "0::/j\udcffb", "sys/fs/cgroup/cpu.max": "500000 100000"}, 5),
    "nonsense": ({"proc/self/cgroup": "0::/\nwhat", "sys/fs/cgroup/cpu.max": "many"}, None),
}


@pytest.mark.parametrize(("files", "expected"), QUOTAS.values(), ids=QUOTAS)
def test_quotas(tmp_path: Path, files: dict[str, str], expected: int | None) -> None:
    assert quota(write(tmp_path, files)) == expected


LAUNCHED = {
    "proc/self/status": "Name:\tpython\nPPid:\t7",
    "proc/7/status": "PPid:\t5",  # a script that torchrun started, which started this process
    "proc/7/environ": "TORCHELASTIC_RUN_ID=a\0OMP_NUM_THREADS=1\0",
    "proc/5/status": "PPid:\t1",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({**LAUNCHED, "proc/5/environ": "HOME=/\0OMP_NUM_THREADS=1\0PATH=/bin\0"}, True),
        ({**LAUNCHED, "proc/5/environ": "HOME=/\0MY_OMP_NUM_THREADS=1\0"}, False),
        ({"proc/self/status": "PPid:\t5", "proc/5/environ": "OMP_NUM_THREADS=1\0"}, True),
        ({"proc/self/status": "PPid:\t1"}, False),  # another user's
        ({"proc/self/status": "PPid:\t0"}, False),
        ({"proc/self/status": "PPid:\tself", "proc/self/environ": "TORCHELASTIC_RUN_ID=a\0"}, False),  # for ever
        ({}, False),
    ],
)
def test_what_torchrun_was_started_with(tmp_path: Path, files: dict[str, str], expected: bool) -> None:
    assert launcher_had("OMP_NUM_THREADS", write(tmp_path, files)) == expected
