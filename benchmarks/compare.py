"""Tables and pictures of everything that the benchmarks measured: benchmarks/RESULTS.md and docs/pictures/.

    python benchmarks/compare.py

Reads benchmarks/results/*.jsonl (quality.py) and *.json (the other benchmarks). RESULTS.md is never edited by hand:
the same files give the same text.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from other_results import gpu_note, sections
from pictures import case_picture, curves_picture
from quality_tables import by_setting, every_slice_table, margins_table, reach_lines, scores_table
from records import Record, latest, read

from ugodit.commands.parser import Parser, run
from ugodit.errors import InputError
from ugodit.io.atomic import write_file

HERE = Path(__file__).resolve().parent


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    parser = Parser(
        prog="compare.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--results", type=Path, default=HERE / "results", help="default: %(default)s")
    parser.add_argument(
        "--cache", type=Path, default=HERE / "cache", help="images of quality.py (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md", help="default: %(default)s")
    parser.add_argument("--pictures", type=Path, default=HERE.parent / "docs" / "pictures", help="default: %(default)s")
    parser.add_argument("--montages", type=int, default=2, help="of each table, at most (default: %(default)s)")
    arguments = parser.parse_args(argv)
    if not arguments.results.is_dir():
        raise InputError(f"--results: {arguments.results}: there is no such folder; run benchmarks/quality.py first")
    records = latest(read(sorted(arguments.results.glob("*.jsonl"))))
    parts = [_head(records, arguments.results), *_quality(records, arguments), *sections(arguments.results)]
    write_file(arguments.out, ("\n".join(part.rstrip("\n") + "\n" for part in parts if part)).encode())
    print(f"{arguments.out}: {len(records)} runs, {len(parts)} sections")
    return 0


def _head(records: Sequence[Record], results: Path) -> str:
    lines = [
        "# Results",
        "",
        "Written by `python benchmarks/compare.py` from `benchmarks/results/`; not edited by hand.",
        "",
    ]
    on_gpu = sorted({record["device"] for record in records if record.get("device", "cpu") != "cpu"})
    note = gpu_note(results)
    if note is not None:
        lines.append(note)
    if on_gpu:
        lines.append(f"Some reconstructions ran on {', '.join(on_gpu)}.")
    elif records:
        lines.append("All reconstructions below ran on a CPU.")
    return "\n".join(lines) + "\n"


def _quality(records: Sequence[Record], arguments: argparse.Namespace) -> list[str]:
    if not records:
        return ["## Image quality\n\nNo run of `benchmarks/quality.py` is among the results.\n"]
    parts = ["## Image quality\n\n" + _circumstances(records)]
    every = every_slice_table(records)
    if every:
        parts.append(
            f"### Every slice at 4x, no prior\n\nPSNR in dB; the default recipe of each slice alone.\n\n{every}"
        )
    pictured: dict[str, dict[str, list[Record]]] = {}
    for where, group in by_setting(records).items():
        suite, noise, mask, acceleration, _ = where
        parts.append(_setting_section(where, group, arguments))
        name = "_".join(("curves", suite, noise, mask)).replace(" ", "_").replace("_as_measured", "")
        shown = [record for record in group if "error" not in record]
        pictured.setdefault(name, {})[f"{suite}, {noise}, {acceleration:g}x"] = shown
    for name, tables in pictured.items():
        path = arguments.pictures / f"{name}.png"
        if curves_picture(path, tables):
            parts.append(f"![PSNR against seconds]({_link(path, arguments.out)})\n")
    return parts


def _setting_section(
    where: tuple[str, str, str, float, float], group: Sequence[Record], arguments: argparse.Namespace
) -> str:
    suite, noise, mask, acceleration, fraction = where
    sampled = sorted({record["sampled"] for record in group})
    share = f"{100 * sampled[0]:.0f}" + (f" to {100 * sampled[-1]:.0f}" if sampled[-1] > sampled[0] else "")
    core = " to ".join(map(str, sorted({min(r["center_lines"] for r in group), max(r["center_lines"] for r in group)})))
    lines = [
        f"### {suite}, {noise}, {mask} {acceleration:g}x",
        "",
        f"{group[0]['source']}; {share} % of the samples, central fraction {fraction:g} ({core} lines). Means over the "
        "scans, then the PSNR of each.",
        "",
        scores_table(group),
    ]
    margins = margins_table(group)
    if margins:
        lines += ["Margins in dB: mean over the runs that both have (the worst of them).", "", margins]
    lines += [f"- {line}" for line in reach_lines(group)]
    links = _montages(group, arguments)
    return "\n".join([*lines, "", *links]) + "\n"


def _montages(group: Sequence[Record], arguments: argparse.Namespace) -> list[str]:
    """Of the first cases and the first seed."""
    links = []
    first_seed = min(record["seed"] for record in group)
    for case in list(dict.fromkeys(record["case"] for record in group))[: arguments.montages]:
        chosen = [r for r in group if r["case"] == case and r["seed"] == first_seed and "error" not in r]
        path = case_picture(chosen, arguments.cache, arguments.pictures) if chosen else None
        if path is not None:
            links.append(f"![{case}]({_link(path, arguments.out)})\n")
    return links


def _circumstances(records: Sequence[Record]) -> str:
    machines = dict.fromkeys(
        f"{record['machine']}, {record['cores']} cores, {record['threads']} threads"
        + ("" if record["device"] == "cpu" else f", {record['device']}")
        for record in records
    )
    versions = dict.fromkeys(
        ", ".join(f"{name} {number}" for name, number in record["versions"].items()) for record in records
    )
    dates = sorted(record["date"][:10] for record in records)
    commits = dict.fromkeys(record["commit"] for record in records)
    commands = dict.fromkeys(record["command"] for record in records)
    loads = [record["load"] for record in records]
    lines = [
        *(f"- machine: {machine}" for machine in machines),
        *(f"- versions: {line}" for line in versions),
        f"- dates: {dates[0]} to {dates[-1]}" if dates[0] != dates[-1] else f"- date: {dates[0]}",
        f"- commits: {', '.join(commits)} (`+`: with changes that were not committed)",
        f"- load of the machine during the runs: {min(loads):.1f} to {max(loads):.1f}; `of processor` is the processor "
        "time, which with one thread does not depend on it",
        "- seconds are of the reconstruction alone, without calibration; `prior, s` is the training of the group once",
        "- PSNR, SSIM, NMSE by fastMRI's definitions; the same lines, maps and target for all methods of a scan",
    ]
    return "\n".join(lines) + "\n\n```\n" + "\n".join(commands) + "\n```\n"


def _link(path: Path, out: Path) -> str:
    return Path(os.path.relpath(path, out.parent)).as_posix()


if __name__ == "__main__":
    sys.exit(main())
