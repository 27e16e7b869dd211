"""How many threads a command takes: on made-up machines, and beside real busy processes."""

import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from busy import busy_processes

from ugodit.commands.options import set_threads
from ugodit.commands.threads import SPINS, FreeCores, default_threads, granted_cpus, sleep_soon

TICKS = os.sysconf("SC_CLK_TCK")
LIBGOMP = any(Path(torch.__file__).with_name("lib").glob("libgomp*"))
shared = pytest.mark.skipif(granted_cpus() is not None, reason="this process was given CPUs, busy or not")
TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "OMP_NUM_THREADS": "1"}


def write(root: Path, files: dict[str, str]) -> Path:
    """Files below a folder that stands for the machine's root."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def version_1(folder: str, quota: int) -> dict[str, str]:
    return {f"{folder}/cpu.cfs_quota_us": str(quota), f"{folder}/cpu.cfs_period_us": "100000"}


def watched(root: Path, idle: float, used: float, cores: int = 2) -> FreeCores:
    """Has watched for a second in which the first two cores were nobody's for `idle` seconds, ours for `used`."""

    def stat(idle: float) -> dict[str, str]:
        first = round(idle * TICKS)
        return {"proc/stat": f"cpu  9 9 9 9 9 9\ncpu0 5 0 5 {first - 20} 20 0\ncpu1 5 0 5 500 0 0\ncpu9 1 0 1 1 1 0"}

    now = [(100.0, 7.0)]
    free = FreeCores(write(root, stat(40.0)), set(range(cores)), lambda: now[-1])
    now.append((101.0, 7.0 + used))
    write(root, stat(40.0 + idle))
    return free


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


def test_cores_are_those_that_the_process_may_run_on() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from ugodit.commands.threads import FreeCores; print(len(FreeCores().cores), FreeCores().count())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]


def test_busy_cores_are_seen() -> None:
    with busy_processes(len(os.sched_getaffinity(0))):
        free = FreeCores()
        time.sleep(1)
        assert free.count() == 1


QUOTAS = {
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
    "nonsense": ({"proc/self/cgroup": "0::/\nwhat", "sys/fs/cgroup/cpu.max": "many"}, None),
}


@pytest.mark.parametrize(("files", "expected"), QUOTAS.values(), ids=QUOTAS)
def test_quotas(tmp_path: Path, files: dict[str, str], expected: int | None) -> None:
    root = write(tmp_path, files)
    assert granted_cpus({}, root) == expected
    assert granted_cpus({"SLURM_CPUS_PER_TASK": "2"}, root) == min(2, expected or 2)
    assert granted_cpus({"SLURM_CPUS_PER_TASK": "two"}, root) == expected


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, 5),  # free cores
        ({"OMP_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "6,2"}, 6),
        ({"OMP_NUM_THREADS": "64"}, 8),
        ({"OMP_NUM_THREADS": "0"}, 5),
        ({"SLURM_CPUS_PER_TASK": "7"}, 7),
        ({"SLURM_CPUS_PER_TASK": "7", "OMP_NUM_THREADS": "4"}, 4),
        ({"SLURM_CPUS_PER_TASK": "16"}, 8),
        ({**TORCHRUN, "LOCAL_WORLD_SIZE": "3"}, 2),
        ({**TORCHRUN, "LOCAL_WORLD_SIZE": "20"}, 1),
        ({**TORCHRUN, "LOCAL_WORLD_SIZE": "2", "SLURM_CPUS_PER_TASK": "6"}, 3),
        ({**TORCHRUN, "LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "3"}, 3),  # the user's
        ({**TORCHRUN, "LOCAL_WORLD_SIZE": "1"}, 1),  # the user's: torchrun sets it for several only
        ({"LOCAL_WORLD_SIZE": "2"}, 5),  # left over from something else
    ],
)
def test_default_threads(tmp_path: Path, environment: dict[str, str], expected: int) -> None:
    free = watched(tmp_path, 4.5, 0.6, cores=8)
    assert default_threads(free, environment, tmp_path) == expected


def test_what_the_user_set_about_waiting_stands() -> None:
    for environment in ({"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "7"}):
        before = dict(environment)
        sleep_soon(environment)
        assert environment == before
    untouched: dict[str, str] = {}
    sleep_soon(untouched)
    assert untouched == {"GOMP_SPINCOUNT": str(SPINS)}


def test_a_program_that_has_torch_keeps_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    torch.set_num_threads(3)
    set_threads(Namespace(threads=None, json=False))
    assert torch.get_num_threads() == 3
    assert "GOMP_SPINCOUNT" not in os.environ
    set_threads(Namespace(threads=2, json=False))
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("name", ["reconstruct", "train"])
def test_commands_set_threads_before_anything_brings_torch(name: str, tmp_path: Path) -> None:
    code = f"""
import sys
import ugodit.__main__, ugodit.commands.{name} as command
def stand_in(arguments):
    print("torch" in sys.modules)
    sys.exit(7)
command.set_threads = stand_in
ugodit.__main__.main(["{name}", {__file__!r}, "--out", {str(tmp_path / "out")!r}, "--preset", "balanced"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "False\n"), done.stderr


# How a command begins; the rest is what the test wants of it.
COMMAND = """
import argparse, json, sys, time
import ugodit.commands.reconstruct, ugodit.commands.train
from ugodit.commands.options import set_threads
assert "torch" not in sys.modules
set_threads(argparse.Namespace(threads=int(sys.argv[1]) or None, json=False))
import torch
"""


def command(code: str, threads: int = 0, **environment: str) -> tuple[list[float], str]:
    """What `code` prints, in a process of its own that has set its threads as a command does; and its complaints."""
    ours = {"OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "SLURM_CPUS_PER_TASK", "TORCHELASTIC_RUN_ID"}
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND + code, str(threads)],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@shared
def test_a_command_takes_what_is_asked_for_or_free() -> None:
    code = "print(json.dumps([torch.get_num_threads()]))"
    assert command(code, 3, OMP_NUM_THREADS="1")[0] == [3]
    cores = len(os.sched_getaffinity(0))
    with busy_processes(cores):
        found, log = command(code)
    assert found == [1]
    assert ("computing with 1 thread on" in log) == (cores > 1)


NAPS = """
x = torch.rand(1 << 18)
x.sin()
began = time.process_time()
for _ in range(30):
    x.sin()  # the second thread waits for more
    time.sleep(0.02)
print(json.dumps([time.process_time() - began]))
"""


@pytest.mark.skipif(not LIBGOMP, reason="another OpenMP runtime")
def test_waiting_threads_sleep_soon() -> None:
    """libgomp's own 300000 looks would cost some 10 ms of processor in each of 30 naps."""
    (used,), _ = command(NAPS, 2)
    assert used < 0.1


STEPS = """
convolution = torch.nn.Conv2d(16, 16, 3, padding=1)
image = torch.rand(1, 16, 96, 96)
def step():
    torch.nn.functional.leaky_relu(convolution(image)).square().mean().backward()
for _ in range(10):
    step()
began = time.perf_counter()
for _ in range(200):
    step()
print(json.dumps([time.perf_counter() - began]))
"""


@shared
@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2, 8])
def test_beside_busy_processes_the_default_is_no_slower_than_one_thread(processes: int) -> None:
    """Small operations: two threads on two cores, one of them busy, take two to four times as long as one."""
    with busy_processes(processes * max(1, len(os.sched_getaffinity(0)) // 2)):
        pairs = [[command(STEPS, threads)[0][0] for threads in (1, 0)] for _ in range(5)]
    one, default = (min(column) for column in zip(*pairs, strict=True))
    assert default < 1.5 * one, pairs
