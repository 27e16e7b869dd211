"""Threads beside busy processes: wall and processor seconds of kernels and of fits, for each number of threads.

    python benchmarks/bench_threads.py [--loads 0 1 2 8] [--out benchmarks/results/threads.json]

Each number is measured in a process of its own, which has set its threads as the commands do: `1`, `2` by --threads,
`default` without (the environment's OMP_NUM_THREADS is taken away). `2, libgomp's waiting`: waiting threads spin as
long as libgomp lets them by itself. A load is so many processes that never wait. The ways take turns, and medians are
kept. Other rows that the file has stay in it. `threads`: how many each round had.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from busy import busy_processes

from ugodit.commands.options import set_threads

RESULTS = Path(__file__).resolve().parent / "results/threads.json"
LIBGOMP = {"GOMP_SPINCOUNT": "300000"}
WAYS: dict[str, tuple[int | None, dict[str, str]]] = {
    "1": (1, {}),
    "2": (2, {}),
    "2, libgomp's waiting": (2, LIBGOMP),
    "default": (None, {}),
}
WORKS = ("residual 15x640x368", "solve 15x640x368", "step of fast 8x320x256", "step of fast 8x128x128")


def prepared(work: str) -> Callable[[], object]:
    """What is timed; its first call may take longer."""
    from sense_peers import our_residual, our_solve
    from sense_scan import make_scan

    what, _, size = work.rpartition(" ")
    coils, rows, columns = map(int, size.split("x"))
    scan = make_scan((coils, rows, columns))
    if what == "residual":
        return our_residual(scan)
    if what == "solve":
        return our_solve(scan, 10)
    from ugodit.operators.scale import normalize
    from ugodit.operators.sense import SenseOperator
    from ugodit.priors.adaptation import adapt, from_scratch
    from ugodit.priors.presets import preset

    chosen = preset("fast")
    operator, _ = normalize(SenseOperator.from_kspace(scan.kspace, scan.maps, scan.mask))

    def steps() -> Any:
        while True:
            yield from adapt(operator, from_scratch(operator, chosen.network, chosen.alone_model, chosen.alone))

    fit = steps()
    return lambda: next(fit)


def measure(work: str, threads: int | None, seconds: float) -> dict[str, float]:
    """In a fresh process: milliseconds of a call by the clock and of processor, over so many seconds; threads."""
    set_threads(argparse.Namespace(threads=threads, json=True))
    import torch

    run = prepared(work)
    run()
    run()
    began, used, calls = time.perf_counter(), time.process_time(), 0
    while not calls or (time.perf_counter() - began < seconds and calls < 25):  # 25: less than a fit's steps
        run()
        calls += 1
    wall, processor = time.perf_counter() - began, time.process_time() - used
    return {
        "wall_ms": 1e3 * wall / calls,
        "processor_ms": 1e3 * processor / calls,
        "threads": torch.get_num_threads(),
    }


def in_a_process(work: str, threads: int | None, environment: dict[str, str], seconds: float) -> dict[str, float]:
    """`measure` there."""
    decided = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    inherited = {name: value for name, value in os.environ.items() if name not in decided}
    command = [sys.executable, __file__, "--one", work, str(threads or 0), str(seconds)]
    done = subprocess.run(command, env={**inherited, **environment}, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def compared(work: str, load: int, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """A row for each way."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with busy_processes(load):
        for _ in range(rounds):
            for way, (threads, environment) in WAYS.items():
                found[way].append(in_a_process(work, threads, environment, seconds))
    return [
        {
            "load": load,
            "work": work,
            "way": way,
            **{name: round(statistics.median(one[name] for one in all_), 2) for name in ("wall_ms", "processor_ms")},
            "threads": ", ".join(str(int(one["threads"])) for one in all_),
        }
        for way, all_ in found.items()
    ]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loads", type=int, nargs="+", default=[0, 1, 2, 8], help="numbers of busy processes")
    parser.add_argument("--works", nargs="+", choices=WORKS, default=WORKS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--one", nargs=3, metavar=("WORK", "THREADS", "SECONDS"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.one:
        work, threads, seconds = options.one
        print(json.dumps(measure(work, int(threads) or None, float(seconds))))
        return 0
    import torch
    from records import environment

    rows = json.loads(options.out.read_text())["rows"] if options.out.exists() else []
    for load in options.loads:
        for work in options.works:
            new = compared(work, load, options.rounds, options.seconds)
            for row in new:
                print(
                    "{load} busy  {work:24} {way:22} {wall_ms:9.2f} ms {processor_ms:9.2f} ms of processor".format(
                        **row
                    )
                )
            rows = [row for row in rows if (row["load"], row["work"]) != (load, work)] + new
            record = {"environment": environment(torch.device("cpu")), "rows": rows}
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(record, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
