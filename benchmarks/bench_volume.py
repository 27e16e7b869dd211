"""A whole volume through `ugodit reconstruct`: seconds, peak memory, bytes read, for one process and for two.

    python benchmarks/bench_volume.py --slices 12 36 --coils 15 --rows 640 --columns 368

The volume is simulated (`ugodit.simulation`: drawn knees, a subject for every six slices) and undersampled to 4x in its
file, as a scanner gives it: so nothing is compared with a fully sampled target. Each configuration, processes x threads
of each, begins with an empty folder; its processes start together and share the volume. Seconds are of the whole
command, from before Python starts until the last process has ended; peak memory is VmHWM, of the larger process where
there are two. Where others use the machine, processor time is the number to trust. Bytes are all that the processes
read (rchar), less what the same command reads for one slice, so that Python's own modules do not count. Runs are added
to those that the file holds already; each names the load of the machine before it.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from records import environment

from ugodit.data.sampling import Sampling
from ugodit.io.atomic import write_file
from ugodit.io.fastmri import write_volume
from ugodit.simulation import phantom

HERE = Path(__file__).resolve().parent
CONFIGURATIONS = ("1x1", "1x2", "2x1")
SUBJECT = 6
"""Slices of one drawn subject."""
NODES = (1, 2, 4, 8, 18, 36)
CHILD = """
import json, sys, time
from ugodit.commands import reconstruct
status = reconstruct.main(sys.argv[2:])
def read(path):
    return dict(line.split(":", 1) for line in open(path).read().splitlines())
memory = int(read("/proc/self/status")["VmHWM"].split()[0])
found = {"status": status, "peak_kb": memory, "read": int(read("/proc/self/io")["rchar"]), "cpu": time.process_time()}
json.dump(found, open(sys.argv[1], "w"))
"""


def simulated(path: Path, slices: int, coils: int, rows: int, columns: int) -> Path:
    """Write a volume whose readout is oversampled twice, with a mask of its own and no target."""
    parts = []
    for first in range(0, slices, SUBJECT):
        seed, wanted = first // SUBJECT, range(min(SUBJECT, slices - first))
        magnitude = phantom.draw("knee", (rows // 2, columns), wanted, seed)
        pixel = phantom.field_of_view("knee") / max(magnitude.shape[1:])
        plane = phantom.PLANES["knee"]
        made = phantom.simulate_volume(magnitude, coils, seed, oversampling=2, shading=0.5, pixel_mm=pixel, plane=plane)
        parts.append(made[0])
    kspace = np.concatenate(parts)
    mask = Sampling("equispaced", 4.0, 0.08, 0).mask((rows, columns))
    kspace *= mask
    target = np.zeros((slices, rows // 2, columns), np.float32)  # Its size is the reconstruction's.
    write_volume(path, kspace, target, attributes={"acquisition": "SIMULATED_KNEE"}, mask=mask)
    with h5py.File(path, "r+") as file:
        del file["reconstruction_rss"]
    return path


def measure(scan: Path, slices: int, processes: int, threads: int, preset: str) -> dict[str, Any]:
    """One run over the first slices, from an empty folder. SystemExit where a process fails."""
    with tempfile.TemporaryDirectory(dir=scan.parent) as folder:
        words = [str(scan), "--out", f"{folder}/out", "--preset", preset, "--threads", str(threads), "--json"]
        words += ["--slices", f"0:{slices}"]
        children, load = [], os.getloadavg()[0]
        began = time.perf_counter()
        for number in range(processes):
            command = [sys.executable, "-c", CHILD, f"{folder}/{number}.json", *words]
            environ = {**os.environ, "OMP_NUM_THREADS": str(threads)}
            children.append(subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True))
        texts = [child.communicate()[0] for child in children]
        seconds = time.perf_counter() - began
        found = [json.loads(Path(f"{folder}/{number}.json").read_text()) for number in range(processes)]
        if any(one["status"] for one in found):
            raise SystemExit(f"a command failed; its exit statuses: {[one['status'] for one in found]}")
        fitted = [json.loads(line) for text in texts for line in text.splitlines() if '"slice"' in line]
        with h5py.File(f"{folder}/out/{scan.stem}.h5") as file:
            each = file.attrs["seconds_per_slice"] + file.attrs["seconds_besides_per_slice"]
            recorded = float(each.sum() + file.attrs["seconds_before"] + file.attrs["seconds_files"])
    return {
        "slices": slices,
        "processes": processes,
        "threads": threads,
        "seconds": round(seconds, 2),
        "seconds_recorded": round(recorded, 2),
        "cpu_seconds": round(sum(one["cpu"] for one in found), 2),
        "cpu_seconds_of_busiest": round(max(one["cpu"] for one in found), 2),
        "slice_seconds": [round(float(one), 3) for one in each],
        "fitted": len(fitted),
        "peak_memory_mb": round(max(one["peak_kb"] for one in found) / 1024),
        "bytes_read": sum(one["read"] for one in found),
        "load_before": round(load, 2),
    }


def schedule(seconds: Sequence[float], workers: int) -> float:
    """When the last of the workers ends, who take slice after slice in order as they become free."""
    free = [0.0] * workers
    for one in seconds:
        heapq.heappush(free, heapq.heappop(free) + one)
    return max(free)


def model(run: dict[str, Any], workers_a_node: int) -> dict[str, dict[str, float]]:
    """What more nodes like this one would need: start and end as measured, slices dealt by their measured times."""
    measured = schedule(run["slice_seconds"], workers_a_node)
    besides = max(run["seconds"] - measured, 0.0)
    one = besides + measured
    return {
        f"{nodes} nodes": {
            "seconds": round(seconds := besides + schedule(run["slice_seconds"], nodes * workers_a_node), 1),
            "times as fast as one": round(one / seconds, 2),
        }
        for nodes in NODES
        if nodes * workers_a_node <= 2 * len(run["slice_seconds"])
    }


def table(run: dict[str, Any], of_slice: int, first: dict[str, Any] | None) -> dict[str, Any]:
    """The row of a run. first: the same command for one slice."""
    row = {name: value for name, value in run.items() if name not in ("slice_seconds", "bytes_read")}
    row["seconds_of_a_slice"] = round(float(np.median(run["slice_seconds"])), 2)
    if first is not None and run["slices"] > 1:
        # Each process reads Python's modules once.
        read = run["bytes_read"] - run["processes"] * first["bytes_read"]
        row["bytes_read_of_each_byte"] = round(read / ((run["slices"] - run["processes"]) * of_slice), 3)
    return row


def summary(runs: dict[str, dict[str, Any]], of_slice: int) -> dict[str, Any]:
    """Everything that is shown, from the runs by their names."""
    first = next((run for run in runs.values() if run["slices"] == 1), None)
    speed = {}
    for run in runs.values():
        alone = runs.get(name_of(run["slices"], 1, 1))
        if alone is not None and run is not alone and run["slices"] > 1:
            speed[name_of(run["slices"], run["processes"], run["threads"])] = {
                "times as fast as one process of one thread": round(alone["seconds"] / run["seconds"], 2),
                "by processor time of the busiest process": round(
                    alone["cpu_seconds_of_busiest"] * run["threads"] / run["cpu_seconds_of_busiest"], 2
                ),
            }
    shared = [run for run in runs.values() if (run["processes"], run["threads"]) == (2, 1) and run["slices"] > 1]
    longest = max(shared, key=lambda run: run["slices"], default=None)
    scaling = (
        {}
        if longest is None
        else {f"MODEL, not measured: {longest['slices']} slices on more nodes of 2 processes": model(longest, 2)}
    )
    return {"runs": {name: table(run, of_slice, first) for name, run in runs.items()}, "speed": speed, **scaling}


def name_of(slices: int, processes: int, threads: int) -> str:
    return f"{slices} slices, {processes} x {threads}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, nargs="+", default=[12, 36], help="of the volumes (default: %(default)s)")
    parser.add_argument("--coils", type=int, default=15)
    parser.add_argument("--rows", type=int, default=640)
    parser.add_argument("--columns", type=int, default=368)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--configurations", nargs="+", default=CONFIGURATIONS, help="processes x threads of each")
    parser.add_argument("--scan", type=Path, help="keep the simulated volume here, or take it from here")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "volume.json")
    options = parser.parse_args(argv)
    size = {"coils": options.coils, "rows": options.rows, "columns": options.columns, "preset": options.preset}
    before = json.loads(options.out.read_text()) if options.out.exists() else {}
    runs: dict[str, dict[str, Any]] = before.get("raw", {}) if before.get("size") == size else {}
    of_slice = 8 * options.coils * options.rows * options.columns
    with tempfile.TemporaryDirectory() as folder:
        scan = options.scan or Path(folder) / "volume.h5"
        if not scan.exists():
            simulated(scan, max(options.slices), options.coils, options.rows, options.columns)
        todo = [(1, 1, 1), *((s, *map(int, c.split("x"))) for s in options.slices for c in options.configurations)]
        for slices, processes, threads in todo:
            runs[name_of(slices, processes, threads)] = run = measure(scan, slices, processes, threads, options.preset)
            print(name_of(slices, processes, threads), json.dumps(table(run, of_slice, None)), flush=True)
            result = {
                "environment": environment(torch.device("cpu")),
                "size": size,
                **summary(runs, of_slice),
                "raw": runs,
            }
            write_file(options.out, (json.dumps(result, indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
