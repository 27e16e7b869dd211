"""Registers, shared memory and spills of every CUDA kernel, from ptxas, into benchmarks/results/cuda_resources.json.

    python benchmarks/resources.py [--architectures 80 90] [--nvcc nvcc] [--out FILE]

Compiles csrc/cuda/*.cu for each architecture, side by side; needs nvcc, no GPU. Exits 1 where a kernel spills registers
or uses a stack. Shared memory is dynamic: what kernels._cuda_host (or _cuda) would ask for is recorded for
fastMRI's usual sizes where one of them is built.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Sources, their kernels' mangled names, and what they are called here.
SOURCES = {
    "sense": {"sense_apply": "sense_apply", "sense_solve": "sense_solve"},
    "calibration": {"espirit_kernelILb1E": "espirit", "espirit_kernelILb0E": "espirit, many coils"},
}
SIZES = ((15, 368), (16, 320), (8, 256), (15, 332), (15, 640))


def compile_for(source: str, architecture: str, nvcc: str, folder: Path) -> str:
    """What ptxas says about a source for one architecture. Raises SystemExit with its words where it fails."""
    target = f"arch=compute_{architecture},code=sm_{architecture}"
    command = [nvcc, "-std=c++17", "-O3", f"-I{ROOT / 'csrc'}", "-Xptxas=-v", "-gencode", target, "-c"]
    command += [str(ROOT / f"csrc/cuda/{source}.cu"), "-o", str(folder / f"{source}_{architecture}.o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"nvcc failed for {source}.cu, sm_{architecture}:\n{done.stderr}")
    return done.stdout + done.stderr


def parse(source: str, report: str) -> dict[str, dict[str, int]]:
    """Registers, stack and spill bytes of each kernel in a report of ptxas -v."""
    kernels = SOURCES[source]
    found: dict[str, dict[str, int]] = {}
    for entry in re.split(r"Compiling entry function ", report)[1:]:
        name = next((name for mangled, name in kernels.items() if mangled in entry.partition("\n")[0]), None)
        stack = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", entry)
        used = re.search(r"Used (\d+) registers", entry)
        if name is None or stack is None or used is None:
            raise SystemExit(f"cannot read what ptxas says:\n{entry}")
        found[name] = {
            "registers": int(used[1]),
            "stack_bytes": int(stack[1]),
            "spill_store_bytes": int(stack[2]),
            "spill_load_bytes": int(stack[3]),
        }
    if set(found) != set(kernels.values()):
        raise SystemExit(
            f"expected the kernels {', '.join(kernels.values())}, ptxas reported {', '.join(found) or 'none'}"
        )
    return found


def layouts() -> list[dict[str, Any]]:
    """Threads and shared memory of every kernel at fastMRI's sizes on 227 KB (sm_90) and 163 KB (sm_80) a block."""
    sys.path.insert(0, str(ROOT))
    try:
        from ugodit.kernels import _cuda_host as module
    except ImportError:
        try:
            from ugodit.kernels import _cuda as module
        except ImportError:
            return []
    rows = []
    for architecture, limit in (("80", 163), ("90", 227)):
        for coils, width in SIZES:
            for kernel in ("sense_residual", "sense_forward", "sense_adjoint", "sense_solve"):
                layout = module.describe(kernel, width, coils, shared_bytes=limit * 1024)
                rows.append({"architecture": architecture, "kernel": kernel, "coils": coils, "width": width, **layout})
    return rows


def blocks() -> list[dict[str, Any]]:
    """Blocks, shared memory and workspace of ESPIRiT's kernel for 640 rows of 368 on an H100."""
    try:
        from ugodit.kernels import _cuda_host as module
    except ImportError:
        return []
    rows = []
    for coils in (8, 15, 32, 64):
        sizes = {"coils": coils, "rows": 640, "columns": 368, "reach": 5, "sets": 1}
        plan = module.EspiritProblem(**sizes, crop=0.9, soft=False, device=0, stream=0)
        numbers = {name: getattr(plan, name) for name in ("blocks", "threads", "shared_bytes")}
        rows.append({"coils": coils, **numbers, "workspace_bytes": 4 * plan.workspace_floats})
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", nargs="+", default=["80", "90"])
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/cuda_resources.json")
    options = parser.parse_args()
    version = subprocess.run([options.nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        cases = [(source, architecture) for architecture in options.architectures for source in SOURCES]
        reports = list(pool.map(lambda case: compile_for(*case, options.nvcc, Path(folder)), cases))
    kernels: dict[str, dict[str, dict[str, int]]] = {}
    for (source, architecture), report in zip(cases, reports, strict=True):
        kernels.setdefault(f"sm_{architecture}", {}).update(parse(source, report))
    release = re.search(r"release ([\d.]+)", version)
    result = {
        "date": date.today().isoformat(),
        "nvcc": release[1] if release else version.strip(),
        "kernels": kernels,
        "layouts": layouts(),
        "espirit_blocks": blocks(),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    failed = False
    for architecture, by_kernel in kernels.items():
        for name, used in by_kernel.items():
            spills = used["stack_bytes"] + used["spill_store_bytes"] + used["spill_load_bytes"]
            failed |= spills > 0
            print(f"{architecture} {name}: {used['registers']} registers, {'SPILLS' if spills else 'no spills'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
