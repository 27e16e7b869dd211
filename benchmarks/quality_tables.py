"""Markdown from the records of benchmarks/quality.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from records import Record

from ugodit.evaluation.tables import markdown_table

Run = tuple[str, int]
"""(case, seed)"""

RIVALS = ("cg_sense_best", "l1_wavelet", "tv", "dip", "deep_decoder", "self_guided_dip", "aseqdip", "ugodit_paper")
OURS = ("alone", "alone_equal", "group_unadapted", "group_adapted")
ORDER = ("zero_filling", "cg_sense", *RIVALS, *OURS)


@dataclass(frozen=True)
class Row:
    """One method (or its best step) over the runs of a table."""

    name: str
    method: str
    best: bool
    """The best step, chosen on the truth."""
    records: dict[Run, Record]

    def value(self, run: Run, name: str) -> float:
        record = self.records[run]
        return float(record["best"][name] if self.best else record[name])

    def mean(self, name: str, runs: Iterable[Run] | None = None) -> float:
        return float(np.mean([self.value(run, name) for run in (runs or self.records)]))


def setting(record: Record) -> tuple[str, str, str, float, float]:
    """What one table is about."""
    return tuple(record[name] for name in ("suite", "noise", "mask", "acceleration", "center_fraction"))  # type: ignore[return-value]


def by_setting(records: Iterable[Record]) -> dict[tuple[str, str, str, float, float], list[Record]]:
    """The records of each table."""
    found: dict[tuple[str, str, str, float, float], list[Record]] = {}
    for record in records:
        found.setdefault(setting(record), []).append(record)
    return dict(sorted(found.items()))


def rows_of(records: Sequence[Record]) -> list[Row]:
    """One row a label, in the methods' order, and another for its best step where the truth may choose one."""
    found: dict[str, dict[Run, Record]] = {}
    for record in records:
        if "error" not in record:
            found.setdefault(record["label"], {})[record["case"], record["seed"]] = record
    rows = []
    for label, runs in found.items():
        first = next(iter(runs.values()))
        rows.append(Row(label, first["method"], False, runs))
        if "best step" in first["granted"] and all(record["best"] for record in runs.values()):
            rows.append(Row(f"{label}, best step", first["method"], True, runs))
    return sorted(rows, key=lambda row: ORDER.index(row.method) if row.method in ORDER else len(ORDER))


def scores_table(records: Sequence[Record]) -> str:
    """Mean over the scans, then the PSNR of each scan; failures and what was granted in lines below."""
    rows = rows_of(records)
    runs = list(dict.fromkeys((record["case"], record["seed"]) for record in records))
    cases = list(dict.fromkeys(case for case, _ in runs))
    several = len(runs) > len(cases)
    columns = ["method", "PSNR, dB", "SSIM", "NMSE", "seconds", "of processor", "prior, s", *cases]
    lines = []
    for row in rows:
        # A mean over other scans than the others' must not look like one over the same.
        name = row.name if len(row.records) == len(runs) else f"{row.name} [{len(row.records)} of {len(runs)} runs]"
        cells = [f"{row.mean('psnr'):.2f}", f"{row.mean('ssim'):.4f}", f"{row.mean('nmse'):.5f}"]
        cells += [_seconds(row.mean("seconds")), "" if row.best else _seconds(row.mean("cpu_seconds")), _training(row)]
        lines.append([name, *cells, *(_case_psnr(row, case) for case in cases)])
    text = markdown_table(columns, lines)
    notes = [f"{len(cases)} scans" + (f", {len(runs)} runs (seeds averaged in the scans' columns)" if several else "")]
    for words in dict.fromkeys(record["granted"] for record in records if record["granted"]):
        titles = dict.fromkeys(record["title"] for record in records if record["granted"] == words)
        notes.append(f"granted to {', '.join(titles)}: {words}")
    failed = [record for record in records if "error" in record]
    notes += [f"failed: {r['label']} on {r['case']} (seed {r['seed']}): {r['error']}" for r in failed]
    return text + "\n" + "\n".join(f"- {note}" for note in notes) + "\n"


def margins_table(records: Sequence[Record]) -> str:
    """Ours minus each rival in PSNR, mean over the runs that both have, the worst run in brackets; empty if neither."""
    rows = rows_of(records)
    ours = [row for row in rows if row.method in OURS]
    others = [row for row in rows if row.method in (*RIVALS, "alone", "alone_equal")]
    lines = []
    for other in others:
        cells = [_margin(row, other) for row in ours]
        if any(cells):
            lines.append([other.name, *(cell or "-" for cell in cells)])
    return markdown_table(["PSNR minus that of", *(row.name for row in ours)], lines) if lines else ""


def reach_lines(records: Sequence[Record]) -> list[str]:
    """How soon ours reaches aSeqDIP's best value, against how long aSeqDIP took to it: one line a label of ours."""
    rows = rows_of(records)
    rival = next((row for row in rows if row.method == "aseqdip" and row.best), None)
    lines = []
    for row in rows:
        runs = [run for run in row.records if rival is not None and run in rival.records and row.records[run]["curve"]]
        if rival is None or row.method not in ("alone", "group_adapted") or not runs:
            continue
        fractions = []
        for run in runs:
            wanted = rival.value(run, "psnr")
            reached = [seconds for seconds, psnr in row.records[run]["curve"] if psnr >= wanted]
            fractions.append(reached[0] / rival.value(run, "seconds") if reached else float("inf"))
        missed = sum(np.isinf(fractions))
        finite = [fraction for fraction in fractions if np.isfinite(fraction)]
        mean = f"in {np.mean(finite):.3f} of aSeqDIP's time (worst {max(finite):.3f})" if finite else ""
        never = f"{missed} of {len(runs)} runs never reach it" if missed else ""
        lines.append(f"{row.name} reaches aSeqDIP's best PSNR {' ; '.join(part for part in (mean, never) if part)}")
    return lines


def every_slice_table(records: Sequence[Record], acceleration: float = 4.0) -> str:
    """Each slice of real data at one acceleration: zero filling, CG-SENSE, and ours without a prior."""
    columns = ["slice", "zero filling", "CG-SENSE", "ours, no prior", "SSIM", "seconds", "better than both"]
    lines = []
    for (suite, noise, mask, found, _), group in by_setting(records).items():
        if found != acceleration or suite not in ("brains", "knees"):
            continue
        by_method = {row.method: row for row in rows_of(group) if not row.best}
        if not {"zero_filling", "cg_sense", "alone"} <= set(by_method):
            continue
        ours = by_method["alone"]
        for run in ours.records:
            if any(run not in by_method[name].records for name in ("zero_filling", "cg_sense")):
                continue
            values = [by_method[name].value(run, "psnr") for name in ("zero_filling", "cg_sense", "alone")]
            where = f"{run[0]}, {mask}, seed {run[1]}" + ("" if suite == "brains" else f", simulated, {noise}")
            cells = [f"{ours.value(run, 'ssim'):.4f}", _seconds(ours.value(run, "seconds"))]
            lines.append([where, *(f"{v:.2f}" for v in values), *cells, "yes" if values[2] > max(values[:2]) else "NO"])
    return markdown_table(columns, lines) if lines else ""


def _margin(row: Row, other: Row) -> str:
    runs = [run for run in row.records if run in other.records]
    if not runs or row.name == other.name:
        return ""
    margins = [row.value(run, "psnr") - other.value(run, "psnr") for run in runs]
    return f"{np.mean(margins):+.2f} ({min(margins):+.2f})"


def _case_psnr(row: Row, case: str) -> str:
    runs = [run for run in row.records if run[0] == case]
    return f"{row.mean('psnr', runs):.2f}" if runs else "-"


def _training(row: Row) -> str:
    seconds = [record["more"].get("training", {}).get("seconds") for record in row.records.values()]
    known = [value for value in seconds if value is not None]
    return _seconds(float(np.mean(known))) if known else ""


def _seconds(seconds: float) -> str:
    return f"{seconds:.2g}" if seconds < 10 else f"{seconds:.0f}"
