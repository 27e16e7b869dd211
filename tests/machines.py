"""Made-up machines: folders that stand for a machine's root."""

import os
from pathlib import Path

from ugodit.commands.cpus import FreeCores

TICKS = os.sysconf("SC_CLK_TCK")


def write(root: Path, files: dict[str, str]) -> Path:
    """Files below the root."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((text + "\n").encode(errors="surrogateescape"))
    return root


def version_1(folder: str, quota: int) -> dict[str, str]:
    """A cgroup's limit of so many microseconds in each tenth of a second."""
    return {f"{folder}/cpu.cfs_quota_us": str(quota), f"{folder}/cpu.cfs_period_us": "100000"}


def watched(root: Path, idle: float, used: float, cpus: int = 2) -> FreeCores:
    """Has watched for a second in which the CPUs were nobody's for `idle` seconds, ours for `used`."""

    def stat(idle: float) -> dict[str, str]:
        first = round(idle * TICKS)
        rest = "".join(f"\ncpu{cpu} 5 0 5 500 0 0" for cpu in range(1, cpus))
        return {"proc/stat": f"cpu  9 9 9 9 9 9\ncpu0 5 0 5 {first - 20} 20 0{rest}\ncpu{cpus} 1 0 1 1 1 0"}

    now = [(100.0, 7.0)]
    free = FreeCores(write(root, stat(40.0)), set(range(cpus)), lambda: now[-1])
    now.append((101.0, 7.0 + used))
    write(root, stat(40.0 + idle))
    return free
