"""Runs cases, each in a fork of this process that has imported everything: a crash or a hang ends the fork only.

Reads lines of JSON {"kind", "seed", "number", "folder"} and answers each with one: what went wrong, or "".
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from fuzz.cases import Run, build
from fuzz.seeds import fresh_copy, write_seeds

from ugodit.evaluation import pictures

HANG, WAIT = 60.0, 600.0
"""Seconds of computing, and on the clock: a machine may be busy with other things."""
IDLE = 0.5
"""Seconds of computing in `HANG` on the clock: less is a case that waits for something."""
GROWTH = 1.5e9
ROOM = 6 << 30
"""Of address space, beside what is there already."""


def _imported() -> None:
    """Everything that a command imports when it first needs it: a fork need not do it again."""
    import matplotlib.pyplot
    import rich.table
    import sigpy.mri.samp
    import skimage.metrics
    import torch

    torch.set_num_threads(1)
    assert all((matplotlib.pyplot, rich.table, sigpy.mri.samp, skimage.metrics))


def _child(case: dict[str, Any], folder: Path) -> None:
    """In the fork: never returns."""
    status = 70
    try:
        for descriptor, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(folder.with_suffix(f".{name}"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.chdir(folder)
        warnings.simplefilter("error", RuntimeWarning)
        sys.setrecursionlimit(1000)
        run = build(case["kind"], case["seed"], case["number"], folder)
        Path(f"{folder}.run").write_text(json.dumps([run.command, run.words, run.harmless]))
        if case["number"] % 8:  # pictures take half of the time, and are not what is damaged
            pictures.reconstruction_picture = lambda *_, **__: None
        status = importlib.import_module(f"ugodit.commands.{run.command}").main(run.words)
    except SystemExit as error:
        status = int(error.code or 0) if isinstance(error.code, int | None) else 1
    except BaseException:
        traceback.print_exc()
        status = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def run_case(case: dict[str, Any], seeds: Path) -> dict[str, Any]:
    """What became of one case."""
    folder = Path(case["folder"])
    fresh_copy(seeds, folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _child(case, folder)
    code, usage = None, None
    while code is None:
        found, state, usage = os.wait4(child, os.WNOHANG)
        if found:
            code = os.waitstatus_to_exitcode(state)
        elif _hangs(child, time.monotonic() - began):
            os.kill(child, signal.SIGKILL)
            _, state, usage = os.wait4(child, 0)
            code = 1000
        else:
            time.sleep(0.005)
    assert usage is not None
    log = folder.with_suffix(".stderr").read_text(errors="backslashreplace")
    described = Path(f"{folder}.run")
    run = Run(*json.loads(described.read_text())) if described.exists() else None
    try:
        wrong = judge(code, (usage.ru_maxrss - before) * 1024, log, folder, run, seeds)
    except (OSError, KeyError, ValueError, TypeError) as error:
        wrong = f"no image to look at: {error}"
    seconds = time.monotonic() - began
    words = " ".join(run.words)[:200] if run else ""
    shutil.rmtree(folder, ignore_errors=True)
    for suffix in (".stdout", ".stderr", ".run"):
        Path(f"{folder}{suffix}").unlink(missing_ok=True)
    return {
        "wrong": wrong,
        "code": code,
        "seconds": seconds,
        "words": words,
        "log": log[-3000:] if wrong else log[-300:],
    }


def _hangs(child: int, seconds: float) -> bool:
    """Whether a fork has computed for too long, or waits for what does not come."""
    if seconds < HANG:
        return False
    fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    computed = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return computed > HANG or seconds > WAIT or computed < IDLE


def judge(code: int, growth: float, log: str, folder: Path, run: Run | None, seeds: Path) -> str:
    """What is wrong with how a case ended; "" for nothing."""
    if code == 1000:
        return "a hang"
    if run is None:
        return "the case could not be built"
    if code < 0:
        return f"signal {-code}"
    if code not in (0, 2) or "Traceback" in log:
        return f"status {code}, with a traceback"
    if growth > GROWTH:
        return f"{growth / 1e9:.1f} GB of memory"
    left = [path.name for path in folder.rglob("*") if path.name.endswith(".partial")]
    if left:
        return f"left over: {left}"
    lines = log.splitlines()
    if any(not line.isprintable() for line in lines):
        return "control characters"
    if code == 2:
        complaints = [line for line in lines if line.startswith("ugodit: error: ")]
        if len(complaints) != 1 or lines[-1] != complaints[0] or len(complaints[0]) > 300:
            return "not one line of at most 300 characters"
        return "the seeds are in order, but were refused" if run.harmless else ""
    return _image(folder, run, seeds)


def _image(folder: Path, run: Run, seeds: Path) -> str:
    """Whether there is a finite image; for a case that does no harm, the same as without it."""
    if run.command != "reconstruct":
        return ""
    out = next((run.words[place + 1] for place, word in enumerate(run.words) if word == "--out"), "out")
    path = folder / out / f"{Path(run.words[0]).stem}.h5"
    if any(word.startswith("--out=") for word in run.words):
        return ""
    with h5py.File(path) as file:
        image = file["reconstruction"][()]
    if not np.isfinite(image).all() or not (image >= 0).all():
        return "an image that is not finite"
    if run.harmless:
        with h5py.File(seeds / "out" / "scan.h5") as file:
            expected = file["reconstruction"][()]
        if np.abs(image - expected).max() > 1e-3 * expected.max():
            return "another image than without the damage"
    return ""


def main() -> None:
    folder = Path(sys.argv[1])
    _imported()
    seeds = folder / "seeds"
    seeds.mkdir()
    write_seeds(seeds)  # which also does here, once, what a process does when it first fits and draws
    for line in sys.stdin:
        print(json.dumps(run_case(json.loads(line), seeds)), flush=True)


if __name__ == "__main__":
    main()
