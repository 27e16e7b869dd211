"""Lines of a JSONL file of runs: appended whole, read tolerantly, the latest of a key counts."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from ugodit.errors import InputError

Record = dict[str, Any]

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ugodit", "torch", "numpy", "scipy", "sigpy", "scikit-image")
KEY = ("suite", "case", "noise", "mask", "acceleration", "center_fraction", "label", "seed")
"""What names a run. Another configuration under the same key replaces the older run in tables."""


def digest(configuration: Mapping[str, Any]) -> str:
    """The first 16 hexadecimal digits of the sha256 of the configuration as JSON."""
    text = json.dumps(configuration, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def key_of(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """The run's name."""
    return tuple(record[name] for name in KEY)


def append(path: Path, record: Record) -> None:
    """Add one line and sync it. A line that an interruption left unfinished is closed first, so it spoils no other."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.exists() and path.stat().st_size > 0 and path.read_bytes()[-1:] != b"\n"
        with path.open("a", encoding="utf-8") as file:
            file.write(("\n" if unfinished else "") + json.dumps(record, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(f"--out: {path}: cannot be written ({error.strerror})") from error


def read(paths: Iterable[Path]) -> list[Record]:
    """Every whole line of the files; lines that an interruption cut short are left out, and said to be."""
    records = []
    for path in paths:
        if not path.exists():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                print(f"{path}, line {number}: not whole, left out", file=sys.stderr)
                continue
            records.append(record)
    return records


def latest(records: Iterable[Record]) -> list[Record]:
    """The youngest record of each key, whatever file it is in, in the order in which the keys first came."""
    found: dict[tuple[Any, ...], Record] = {}
    for record in records:
        key = key_of(record)
        if key not in found or record.get("date", "") >= found[key].get("date", ""):
            found[key] = record
    return list(found.values())


def done(records: Iterable[Record]) -> set[tuple[Any, ...]]:
    """(key, configuration hash) of every run that ended well: what need not be run again."""
    return {(key_of(record), record["configuration_hash"]) for record in records if "error" not in record}


def environment(device: torch.device) -> Record:
    """Where and with what a run is made, as values that JSON knows."""
    on_gpu = device.type == "cuda"
    return {
        "machine": processor(),
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def processor() -> str:
    """The CPU's name as the kernel knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str:
    """The commit of the working tree, with `+` where tracked files were changed since; `unknown` outside of git."""
    try:
        head, status = (
            subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
            for arguments in (("rev-parse", "--short=12", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if status else "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "source tree"
