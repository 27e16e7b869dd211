"""The options of quality.py, and what they mean."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from cases import PARTS, SUITES, Wanted
from method import Settings
from methods import METHODS

from ugodit.commands.parser import Parser
from ugodit.data.masks import ALL_KINDS
from ugodit.errors import InputError
from ugodit.priors.presets import PRESETS

HERE = Path(__file__).resolve().parent


def parser(description: str | None) -> Parser:
    """Of the command."""
    options = Parser(prog="quality.py", description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("action", choices=["run", "list"], help="run the methods, or list the suite's slices")
    data = options.add_argument_group("data")
    data.add_argument("--suite", choices=SUITES, required=True)
    data.add_argument("--data", type=Path, metavar="DIR", help="measurements (default: UGODIT_DATA or ../shared/data)")
    data.add_argument("--path", type=Path, metavar="DIR", help="fastMRI volumes of suite folder")
    data.add_argument("--part", choices=PARTS, default="test", help="slices to reconstruct (default: %(default)s)")
    data.add_argument("--cases", metavar="A,B", help="only these slices, by name")
    data.add_argument("--noise", default="35", help="of simulated coils: clean, or dB (default: %(default)s)")
    data.add_argument("--coils", type=int, default=8, help="simulated (default: %(default)s)")
    data.add_argument("--size", default="320x320", metavar="ROWSxCOLUMNS", help="of drawn slices")
    data.add_argument("--group", type=int, metavar="M", help="knees or drawn subjects that train (default: 6, 4)")
    data.add_argument("--every-slice", action="store_true", help="suite folder: all slices, not the middle one")
    sampling = options.add_argument_group("sampling")
    sampling.add_argument("--accelerations", default="4,8", metavar="A,B", help="default: %(default)s")
    sampling.add_argument("--mask", choices=ALL_KINDS, default="equispaced", help="default: %(default)s")
    sampling.add_argument("--center-fraction", type=float, help="default: 0.08 at 4x, 0.04 at 8x")
    running = options.add_argument_group("methods")
    running.add_argument("--methods", metavar="A,B", help=f"default: all of {', '.join(METHODS)}")
    running.add_argument("--preset", choices=list(PRESETS), default="balanced", help="of ours (default: %(default)s)")
    running.add_argument("--seeds", default="0", metavar="A,B", help="of masks and networks (default: %(default)s)")
    running.add_argument("--baseline-steps", type=int, default=2000, help="of un-trained ones (default: %(default)s)")
    running.add_argument("--paper-steps", default="300,1000", metavar="TRAIN,ADAPT", help="default: %(default)s")
    running.add_argument("--budget", type=float, metavar="SECONDS", help="end un-trained baselines after this long")
    running.add_argument(
        "--decoder", default="mean", help="of a prior, to start from: mean, fresh, 0, ... (default: mean)"
    )
    running.add_argument("--prior-suite", choices=SUITES, help="train the group on this suite's subjects instead")
    running.add_argument(
        "--set", action="append", default=[], metavar="METHOD.TABLE.FIELD=VALUE", help="such as alone.fit.steps=50"
    )
    running.add_argument("--label", default="", help="appended to the methods' names in the tables, for variants")
    running.add_argument("--device", default="cpu", help="cpu, cuda, auto (default: %(default)s)")
    running.add_argument("--threads", type=int, help="CPU threads")
    files = options.add_argument_group("files")
    files.add_argument("--out", type=Path, default=HERE / "results" / "quality.jsonl", help="default: %(default)s")
    files.add_argument("--cache", type=Path, default=HERE / "cache", help="default: %(default)s")
    files.add_argument("--pictures", type=Path, metavar="DIR", help="also write a montage of every case there")
    files.add_argument("--again", action="store_true", help="run what is in the file already, too")
    return options


def wanted_slices(arguments: argparse.Namespace) -> Wanted:
    """Which slices the options ask for."""
    return Wanted(
        data=arguments.data,
        path=arguments.path,
        part=arguments.part,
        noise=arguments.noise,
        coils=arguments.coils,
        size=_size(arguments.size),
        group=arguments.group,
        every_slice=arguments.every_slice,
        names=_list(arguments.cases),
    )


def settings_for(arguments: argparse.Namespace, seed: int) -> Settings:
    """What the methods are told. InputError for what cannot be understood."""
    paper = numbers(arguments.paper_steps, "--paper-steps", int)
    if len(paper) != 2:
        raise InputError(f"--paper-steps: expected TRAIN,ADAPT, got {arguments.paper_steps!r}")
    if arguments.decoder not in ("mean", "fresh") and not arguments.decoder.isdecimal():
        raise InputError(f"--decoder: expected mean, fresh or a number, got {arguments.decoder!r}")
    return Settings(
        preset_name=arguments.preset,
        seed=seed,
        baseline_steps=arguments.baseline_steps,
        paper_steps=(paper[0], paper[1]),
        budget=arguments.budget,
        overrides=dict(_assignment(text) for text in arguments.set),
        decoder=arguments.decoder,
    )


def numbers(text: str, option: str, kind: type) -> list[Any]:
    """Of a list with commas. InputError, which names the option, for anything else."""
    try:
        found = [kind(part) for part in _list(text)]
    except ValueError:
        found = []
    if not found:
        raise InputError(f"{option}: expected numbers such as 4,8, got {text!r}")
    return found


def _assignment(text: str) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    if not equals or path.count(".") < 1:
        raise InputError(f"--set: expected METHOD.TABLE.FIELD=VALUE, got {text!r}")
    try:
        return path.strip(), json.loads(value)
    except json.JSONDecodeError:
        return path.strip(), value.strip()


def _list(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _size(text: str) -> tuple[int, int]:
    rows, _, columns = text.partition("x")
    if not (rows.isdecimal() and columns.isdecimal()):
        raise InputError(f"--size: expected ROWSxCOLUMNS such as 320x320, got {text!r}")
    return int(rows), int(columns)
