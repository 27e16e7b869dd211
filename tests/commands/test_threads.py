"""How many threads a command takes: on made-up machines, and beside real busy processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from busy import busy_processes
from machines import watched, write

from ugodit.commands.cpus import FreeCores, quota
from ugodit.commands.threads import MILLISECONDS, SPINS, default_threads, sleep_soon, take_threads

LIBGOMP = any(Path(torch.__file__).with_name("lib").glob("libgomp*"))
TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "OMP_NUM_THREADS": "1"}
QUOTA = {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "300000 100000"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (5, 8)),  # free cores
        ({"OMP_NUM_THREADS": "3"}, (3, 3)),
        ({"OMP_NUM_THREADS": "6,2"}, (6, 6)),
        ({"OMP_NUM_THREADS": "64"}, (8, 8)),
        ({"OMP_NUM_THREADS": "0"}, (5, 8)),
        ({"SLURM_CPUS_PER_TASK": "7"}, (7, 7)),
        ({"SLURM_CPUS_PER_TASK": "seven"}, (5, 8)),
        ({"SLURM_CPUS_PER_TASK": "7", "OMP_NUM_THREADS": "4"}, (4, 4)),
        ({"SLURM_CPUS_PER_TASK": "4", "OMP_NUM_THREADS": "7"}, (4, 4)),
        ({"SLURM_CPUS_PER_TASK": "16"}, (8, 8)),
        ({**TORCHRUN, "LOCAL_WORLD_SIZE": "3"}, (2, 2)),
        ({**TORCHRUN, "LOCAL_WORLD_SIZE": "20"}, (1, 1)),
        ({**TORCHRUN, "LOCAL_WORLD_SIZE": "2", "SLURM_CPUS_PER_TASK": "6"}, (3, 3)),
        ({**TORCHRUN, "LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "3"}, (3, 3)),  # the user's
        ({**TORCHRUN, "LOCAL_WORLD_SIZE": "1"}, (1, 1)),  # the user's: torchrun sets it for several only
        ({"LOCAL_WORLD_SIZE": "2"}, (5, 8)),  # left over from something else
    ],
)
def test_default_threads(tmp_path: Path, environment: dict[str, str], expected: tuple[int, int]) -> None:
    free = watched(tmp_path, 4.5, 0.6, cpus=8)
    assert default_threads(free, environment, tmp_path) == expected


def test_a_quota_is_a_limit_and_no_promise(tmp_path: Path) -> None:
    assert default_threads(watched(write(tmp_path, QUOTA), 4.5, 0.6, cpus=8), {}, tmp_path) == (3, 3)
    assert default_threads(watched(tmp_path, 1.3, 0.9, cpus=8), {}, tmp_path) == (2, 3)
    two = {**TORCHRUN, "LOCAL_WORLD_SIZE": "2"}
    assert default_threads(watched(tmp_path, 4.5, 0.6, cpus=8), two, tmp_path) == (1, 1)


def test_one_thread_a_core_even_where_a_core_is_two_cpus(tmp_path: Path) -> None:
    siblings = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    write(tmp_path, {siblings.format(cpu): f"{cpu // 2}" for cpu in range(8)})
    free = watched(tmp_path, 7.0, 1.0, cpus=8)
    assert default_threads(free, {}, tmp_path) == (4, 4)
    assert default_threads(free, {"OMP_NUM_THREADS": "6"}, tmp_path) == (6, 6)


def test_one_thread_a_rank_where_the_user_said_so(tmp_path: Path) -> None:
    """Before torchrun, which would have set the same."""
    two = {**TORCHRUN, "LOCAL_WORLD_SIZE": "2"}
    free = watched(tmp_path, 4.5, 0.6, cpus=8)
    write(tmp_path, {"proc/self/status": "PPid:\t5", "proc/5/environ": "HOME=/\0"})
    assert default_threads(free, two, tmp_path) == (4, 4)
    write(tmp_path, {"proc/5/environ": "HOME=/\0OMP_NUM_THREADS=1\0"})
    assert default_threads(free, two, tmp_path) == (1, 1)


def test_what_the_user_set_about_waiting_stands() -> None:
    for environment in ({"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "7", "KMP_BLOCKTIME": "0"}):
        before = dict(environment)
        sleep_soon(environment)
        assert environment == before
    untouched: dict[str, str] = {}
    sleep_soon(untouched)
    assert untouched == {"GOMP_SPINCOUNT": str(SPINS), "KMP_BLOCKTIME": str(MILLISECONDS)}


def test_a_program_that_has_torch_keeps_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    torch.set_num_threads(3)
    take_threads()
    assert torch.get_num_threads() == 3
    assert "GOMP_SPINCOUNT" not in os.environ
    take_threads(2)
    assert torch.get_num_threads() == 2


# How a command begins; the rest is what the test wants of it.
COMMAND = """
import argparse, json, sys, time
from ugodit.commands import demo, evaluate, reconstruct, simulate, train
from ugodit.commands.options import set_threads
assert "torch" not in sys.modules
set_threads(argparse.Namespace(threads=int(sys.argv[1]) or None, json=False))
import torch
"""


def command(code: str, threads: int = 0, **environment: str) -> tuple[list[float], str]:
    """What `code` prints, in a process of its own that has set its threads as a command does; and its complaints."""
    ours = ("OMP_", "GOMP_", "KMP_", "SLURM_", "TORCHELASTIC_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND + code, str(threads)],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


COUNT = "print(json.dumps([torch.get_num_threads()]))"


def test_a_command_takes_what_is_asked_for() -> None:
    assert command(COUNT, 3, OMP_NUM_THREADS="1")[0] == [3]
    assert command(COUNT, OMP_NUM_THREADS="1") == ([1], "")


@pytest.mark.slow
def test_a_command_takes_what_is_free() -> None:
    cpus = len(os.sched_getaffinity(0))
    with busy_processes(cpus):
        found, log = command(COUNT)
    assert found == [1]
    assert ("other programs are busy: computing with 1 thread of " in log) == (min(cpus, quota() or cpus) > 1)


RANK = """
import json, os, sys
from pathlib import Path
from ugodit.commands.cpus import launcher_had
from ugodit.commands.threads import take_threads
take_threads()
import torch
found = [os.environ["OMP_NUM_THREADS"], launcher_had("OMP_NUM_THREADS"), torch.get_num_threads()]
Path(sys.argv[1], os.environ["RANK"]).write_text(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.parametrize("users", [False, True])
def test_ranks_share_the_cores_unless_the_user_wants_one_thread(tmp_path: Path, users: bool) -> None:
    script = tmp_path / "rank.py"
    script.write_text(RANK)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "SLURM_"))}
    share = max(1, min(FreeCores().cores, quota() or 1 << 20) // 2)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(
        [*launch, str(script), str(tmp_path)],
        env={**environment, **({"OMP_NUM_THREADS": "1"} if users else {}), "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        capture_output=True,
    )
    expected = ["1", users, 1 if users else share]
    assert [json.loads((tmp_path / rank).read_text()) for rank in "01"] == [expected] * 2


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


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2, 8])
def test_beside_busy_processes_the_default_is_no_slower_than_one_thread(processes: int) -> None:
    """Small operations: two threads on two cores, one of them busy, take more than twice as long as one."""
    with busy_processes(processes * max(1, len(os.sched_getaffinity(0)) // 2)):
        pairs = [[command(STEPS, threads)[0][0] for threads in (1, 0)] for _ in range(5)]
    one, default = (min(column) for column in zip(*pairs, strict=True))
    assert default < 1.5 * one, pairs
