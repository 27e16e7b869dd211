"""`make readme`: writes into README.md and docs/ what comes from elsewhere, between `<!-- begin NAME -->` and `end`.

    python docs/fill.py [--demo FOLDER]

Options, fields and presets come from the package, speeds from benchmarks/results, table and picture from the folder
that `make demo` filled, where there is one. A test fails where any of these but the last is out of date.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import inspect
import itertools
import json
import re
import shutil
import sys
import typing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ugodit.evaluation.tables import markdown_table
from ugodit.fit.fit_config import AdaptConfig, FitConfig, TrainConfig
from ugodit.fit.model_config import ModelConfig
from ugodit.networks.config import NetworkConfig
from ugodit.priors import presets

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
COMMANDS = ("simulate", "train", "reconstruct", "evaluate")
FITS = ("train", "adapt", "alone")
FORMS = {"model": "train, adapt", "alone_model": "alone"}
"""The forms of a preset, and the tables whose fits use them."""
SINCE_RENAMED = {
    "ours, prior unadapted": "ours, prior zero-shot",
    "CG-SENSE start": "CG-SENSE as initial estimate",
    "2 unrolls": "2 unrolled iterations",
    "output f(z)": "f(z) in place of z + f(z)",
    "pool 4": "mask bank of 4",
    "one turn": "one stage",
    "a decoder a scan": "a decoder for each scan",
    "rate 5e-4": "learning rate 5e-4",
    "rate 2e-3": "learning rate 2e-3",
    "held out 0.1": "a tenth of the lines held out",
}
"""Methods and changes by the words of the records that there are, and as they are called now."""


def options(command: str) -> str:
    """Every argument of a command, from its parser."""
    rows = []
    for action in importlib.import_module(f"ugodit.commands.{command}")._parser()._actions:
        if action.dest == "help":
            continue
        name = ", ".join(action.option_strings) or str(action.metavar)
        if action.choices:
            value = " ".join(map(str, action.choices))
        else:
            value = str(action.metavar or "") if action.option_strings and action.nargs != 0 else ""
        text = (action.help or "") % {**vars(action), "prog": command}
        rows.append([f"`{name}`", f"`{value}`" if value else "", text])
    return _text_table(["argument", "value", "meaning"], rows)


def fields(cls: Any) -> str:
    """The fields that a configuration adds to those of its base, with the docstring below each in the source."""
    body = ast.parse(inspect.getsource(cls)).body[0].body  # type: ignore[attr-defined]
    texts = {
        here.target.id: " ".join(after.value.value.split())
        for here, after in itertools.pairwise(body)
        if isinstance(here, ast.AnnAssign)
        and isinstance(here.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
    }
    hints = typing.get_type_hints(cls)
    rows = [
        [f"`{field.name}`", f"`{_toml(field.default)}`", _type(hints[field.name]), texts.get(field.name, "")]
        for field in dataclasses.fields(cls)
        if field.name in inspect.get_annotations(cls)
    ]
    return _text_table(["field", "default", "type", "meaning"], rows)


def preset_models() -> str:
    """The networks of the presets and their forms, for the fields that tell them apart."""
    found: dict[tuple[str, ModelConfig], list[str]] = {}
    for name, preset in presets.PRESETS.items():
        for form, used_by in FORMS.items():
            found.setdefault((name, getattr(preset, form)), []).append(used_by)
    names = _telling(form for _, form in found)
    rows = []
    for (name, form), used_by in found.items():
        network = presets.PRESETS[name].network
        channels = "-".join(map(str, network.channels))
        cells = [_toml(getattr(form, field)) if form.without_effect(field) is None else "" for field in names]
        rows.append([name, ", ".join(used_by), f"{network.family} {channels}", *cells])
    return _text_table(["preset", "used by", "network", *(f"`{field}`" for field in names)], rows)


def preset_fits() -> str:
    """How the presets fit, for the fields that tell them apart; a row for each preset and table."""
    fits = {(name, table): getattr(preset, table) for name, preset in presets.PRESETS.items() for table in FITS}
    names = _telling(fits.values())
    rows = []
    for (name, table), fit in fits.items():
        preset = presets.PRESETS[name]
        form = preset.alone_model if table == "alone" else preset.model
        cells = [
            _toml(getattr(fit, field)) if hasattr(fit, field) and fit.without_effect(field, form) is None else ""
            for field in names
        ]
        rows.append([name, table, *cells])
    return _text_table(["preset", "table", *(f"`{field}`" for field in names)], rows)


def speed() -> str:
    """Times of the benchmarks that have been run, with the machine; nothing where there is no file."""
    rows, machines = [], []
    sense = _results("sense")
    if sense:
        machines.append(_machine(sense["machine"]))
        for key in (key for key in sense if key.endswith(", s")):
            task = key.removesuffix(", s").replace("x", " × ")
            task = task.replace("10 iterations", "10 CG iterations").replace("30 iterations", "30 CG iterations")
            rows += _against(task, sense[key], "ours")
    calibration = _results("calibration")
    if calibration:
        machines.append(_machine(calibration["machine"]))
        for key in ("speed", "speed_32_coils"):
            case = calibration.get(key, {})
            times = {name.removesuffix("_seconds"): value for name, value in case.items() if name.endswith("_seconds")}
            if times:
                task = f"ESPIRiT maps {case['coils']} × {case['rows']} × {case['columns']}"
                rows += _against(task, times, "ugodit")
    if not rows:
        return "No benchmark has been recorded yet.\n"
    table = markdown_table(["task (coils × rows × columns)", "ugodit", "other", "its time", "times slower"], rows)
    return (
        f"{table}\nMeasured on: {'; '.join(dict.fromkeys(machines))}. The whole records are in `benchmarks/results/`.\n"
    )


def ablation() -> str:
    """What each change of the preset did to the PSNR of its cases, from the lines of results/tuning/ablation.jsonl."""
    path = RESULTS / "tuning" / "ablation.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    scores: dict[tuple[str, str], dict[tuple[str, float], float]] = {}
    for record in records:
        if "error" not in record:
            change = re.search(r"; (.*)\)$", record["label"])
            row = (record["title"], change[1] if change else "")
            scores.setdefault(row, {})[record["case"], record["acceleration"]] = record["psnr"]
    cases = sorted({case for row in scores.values() for case in row})
    rows = []
    for (title, change), row in sorted(scores.items(), key=lambda item: (item[0][0], item[0][1] != "")):
        unchanged = scores.get((title, ""), {})
        cells = []
        for case in cases:
            if case not in row or case not in unchanged:
                cells.append("")
            elif change:
                cells.append(f"{row[case] - unchanged[case]:+.2f}")
            else:
                cells.append(f"{row[case]:.2f} dB")
        words = (SINCE_RENAMED.get(text, text) for text in (title, change or "**the preset**"))
        rows.append([*words, *cells])
    titles = [f"{name}, {acceleration:g}x" for name, acceleration in cases]
    return _text_table(["method", "change", *titles], rows) if rows else "Not run yet.\n"


def demo(folder: Path) -> str:
    """The demo's table and picture; copies the picture to docs/demo.png."""
    shutil.copyfile(folder / "demo.png", ROOT / "docs" / "demo.png")
    picture = "![Reconstructions of an unseen simulated knee and their errors](docs/demo.png)"
    return f"{picture}\n\n{(folder / 'table.md').read_text()}"


SECTIONS: dict[str, Callable[[], str]] = {
    **{f"options of {name}": (lambda name=name: options(name)) for name in COMMANDS},  # type: ignore[misc]
    "network fields": lambda: fields(NetworkConfig),
    "model fields": lambda: fields(ModelConfig),
    "fit fields": lambda: fields(FitConfig),
    "train fields": lambda: fields(TrainConfig),
    "adapt fields": lambda: fields(AdaptConfig),
    "models of presets": preset_models,
    "fits of presets": preset_fits,
    "speed": speed,
    "ablation": ablation,
}


def filled(text: str, sections: dict[str, Callable[[], str]]) -> str:
    """`text` with the content of every marked section that `sections` knows."""

    def replace(match: re.Match[str]) -> str:
        name = match["name"]
        content = sections[name]().strip() if name in sections else match["content"].strip()
        return f"<!-- begin {name} -->\n{content}\n<!-- end {name} -->"

    return re.sub(r"<!-- begin (?P<name>[^>]+) -->\n(?P<content>.*?)<!-- end (?P=name) -->", replace, text, flags=re.S)


def pages() -> list[Path]:
    """What a user reads."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, default=ROOT / "demo", help="default: %(default)s")
    folder = parser.parse_args(argv).demo
    sections = dict(SECTIONS)
    if (folder / "table.md").exists():
        sections["demo"] = lambda: demo(folder)
    for page in pages():
        before = page.read_text()
        after = filled(before, sections)
        if after != before:
            page.write_text(after)
            print(f"{page.relative_to(ROOT)}: filled in anew")
    return 0


def _telling(configurations: Iterable[Any]) -> list[str]:
    """The fields in which configurations differ, where some may have fields that others lack; never the seed."""
    every = list(configurations)
    names = dict.fromkeys(field.name for one in every for field in dataclasses.fields(one))
    return [name for name in names if name != "seed" and len({getattr(o, name) for o in every if hasattr(o, name)}) > 1]


def _text_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in lines)


def _results(name: str) -> dict[str, Any]:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _machine(record: dict[str, Any]) -> str:
    threads = record.get("threads") or record["cores"]
    load = record.get("load average", record.get("load", "unknown"))
    load = load[0] if isinstance(load, list) else load
    busy = f"{load:.1f}" if isinstance(load, float) else load
    return f"{record['processor']}, {threads} threads, load average {busy} when it began"


def _against(task: str, seconds: dict[str, float], ours: str) -> list[list[str]]:
    own = seconds[ours]
    others = {name: value for name, value in seconds.items() if name != ours}
    return [[task, _time(own), name, _time(value), f"{value / own:.1f}"] for name, value in others.items()]


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _toml(value: object) -> str:
    """A value as it is written in a TOML file."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def _type(hint: Any) -> str:
    choices = typing.get_args(hint)
    if choices and all(isinstance(choice, str) for choice in choices):
        return " ".join(f"`{choice}`" for choice in choices)
    return hint.__name__ if isinstance(hint, type) and not choices else str(hint)


if __name__ == "__main__":
    sys.exit(main())
