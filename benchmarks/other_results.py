"""Sections for what other benchmarks wrote: any JSON object becomes tables, with a title where the file is known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ugodit.errors import InputError
from ugodit.evaluation.tables import markdown_table

KNOWN = {
    "sense": ("Kernels on the CPU", "python benchmarks/bench_sense.py"),
    "calibration": ("Calibration", "python benchmarks/bench_calibration.py --out benchmarks/results/calibration.json"),
    "maps": (
        "Reconstructions with our maps and sigpy's",
        "python benchmarks/bench_maps.py --out benchmarks/results/maps.json",
    ),
    "threads": ("Threads beside busy processes", "python benchmarks/bench_threads.py"),
    "cuda_resources": ("CUDA kernels: registers, shared memory, spills", "python benchmarks/resources.py"),
    "volume": ("A whole volume", "python benchmarks/bench_volume.py"),
    "sense_gpu": ("Kernels on a GPU", "benchmarks/gpu.sh"),
    "adaptation_gpu": ("An adaptation step on a GPU", "benchmarks/gpu.sh"),
    "calibration_gpu": ("Sensitivity maps of a volume on a GPU", "benchmarks/gpu.sh"),
}
GPU = tuple(name for name, (_, command) in KNOWN.items() if command == "benchmarks/gpu.sh")
"""The files that GPU timings are in."""


def gpu_note(folder: Path) -> str | None:
    """What a reader must know where GPU timings are missing."""
    missing = [name for name in GPU if not (folder / f"{name}.json").exists()]
    if not missing:
        return None
    if len(missing) < len(GPU):
        return f"**Some GPU timings have not been run:** {', '.join(missing)}."
    return (
        "**GPU timings have not been run:** there is no GPU result among these files. `benchmarks/gpu.sh` is ready to "
        "make them; it has not been run on a GPU, nor has any CUDA kernel."
    )


def sections(folder: Path) -> list[str]:
    """A section of Markdown for every *.json in the folder, the known ones first."""
    paths = {path.stem: path for path in sorted(folder.glob("*.json"))}
    names = [*(name for name in KNOWN if name in paths), *(name for name in paths if name not in KNOWN)]
    return [_section(name, paths[name]) for name in names]


def _section(name: str, path: Path) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: expected JSON, got {error}; run its benchmark again") from error
    title, command = KNOWN.get(name, (name.replace("_", " "), ""))
    written = f"From `benchmarks/results/{path.name}`" + (f", written by `{command}`." if command else ".")
    if isinstance(content, dict) and isinstance(content.get("benchmarks"), list):
        content = _pytest_benchmark(content)
    if isinstance(content, dict):
        content.pop("raw", None)  # what a benchmark keeps for its next run
    return f"## {title}\n\n{written}\n\n{to_markdown(content, 3)}"


def to_markdown(value: Any, depth: int) -> str:
    """Scalars of an object in one table, objects that are alike as rows of a table, the rest under headings."""
    if _is_table(value):
        return _table(value) + "\n"
    if isinstance(value, Mapping):
        scalars = {name: each for name, each in value.items() if not _is_nested(each)}
        text = markdown_table(["", "value"], [[name, _cell(each)] for name, each in scalars.items()]) if scalars else ""
        parts = [text] if text else []
        for name, each in value.items():
            if _is_nested(each) and each:
                parts.append(f"{'#' * min(depth, 6)} {name}\n\n{to_markdown(each, depth + 1)}")
        return "\n".join(parts)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "\n".join(to_markdown(each, depth) for each in value)
    return f"{_cell(value)}\n"


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and any(isinstance(each, Mapping) for each in value))


def _is_table(value: Any) -> bool:
    """Several objects of scalars that share fields, named (an object) or not (a list)."""
    rows = list(value.values()) if isinstance(value, Mapping) else value
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) and row for row in rows):
        return False
    alike = len(rows) == 1 or bool(set.intersection(*(set(row) for row in rows)))
    return alike and not any(_is_nested(each) for row in rows for each in row.values())


def _table(value: Any) -> str:
    named = isinstance(value, Mapping)
    rows = list(value.items()) if named else [("", row) for row in value]
    columns = list(dict.fromkeys(column for _, row in rows for column in row))
    cells = [[name] * named + [_cell(row.get(column, "")) for column in columns] for name, row in rows]
    return markdown_table([""] * named + columns, cells)


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return " ".join(_cell(each) for each in value)
    return str(value)


def _pytest_benchmark(content: Mapping[str, Any]) -> dict[str, Any]:
    """pytest-benchmark's own file: the median of every test, by group."""
    groups: dict[str, Any] = {}
    for test in content["benchmarks"]:
        row = {"median, ms": 1e3 * test["stats"]["median"], "rounds": test["stats"]["rounds"]}
        groups.setdefault(str(test.get("group") or "tests"), {})[test["name"]] = row
    return groups
