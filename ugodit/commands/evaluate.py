"""The command `evaluate`: score reconstructions against the fully sampled scans they came from."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean, pstdev
from typing import TYPE_CHECKING

from ugodit.commands.parser import Parser, run
from ugodit.commands.threads import take_threads
from ugodit.errors import InputError

if TYPE_CHECKING:
    from ugodit.evaluation.scoring import Scores


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return run(_main, argv)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="ugodit evaluate", description="PSNR, SSIM and NMSE by fastMRI's definitions.")
    parser.add_argument("reconstructions", metavar="RECON_DIR", type=Path, help="folder of .h5 files, or one file")
    parser.add_argument("--target", metavar="DIR", type=Path, required=True, help="folder of scans of the same names")
    parser.add_argument("--square", action="store_true", help="score columns x columns, as fastMRI's evaluate.py does")
    parser.add_argument(
        "--follow-links",
        action="store_true",
        help="also read targets that lie in other files of the scans' folder (default: refuse it)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for machines")
    return parser


def _main(argv: Sequence[str] | None) -> int:
    options = _parser().parse_args(argv)
    folder, targets = options.reconstructions, options.target
    if not targets.is_dir():
        raise InputError(f"--target: expected a folder of scans, got {targets}")
    paths = [folder] if folder.is_file() else sorted(folder.glob("*.h5"))
    if not paths:
        raise InputError(f"{folder}: expected a folder with .h5 reconstructions, found none")
    take_threads(quiet=True)
    from ugodit.evaluation.scoring import score  # which takes a second: after the arguments are checked

    scores = []
    for path in paths:
        if not (targets / path.name).exists():
            raise InputError(f"{path}: expected its scan at {targets / path.name}, which does not exist")
        scores.append(score(path, targets / path.name, square=options.square, follow_links=options.follow_links))
    if options.json:
        print(json.dumps(_summary(scores), indent=2))
    else:
        _print(scores)
    return 0


def _summary(scores: list[Scores]) -> dict[str, object]:
    values = {name: [getattr(one, name) for one in scores] for name in ("psnr", "ssim", "nmse")}
    return {
        "volumes": [{key: _json(value) for key, value in asdict(one).items()} for one in scores],
        "mean": {name: _json(float(mean(column))) for name, column in values.items()},
        "std": {name: _json(_spread(column)) for name, column in values.items()},
    }


def _print(scores: list[Scores]) -> None:
    columns = ["volume", "slices", "PSNR [dB]", "SSIM", "NMSE"]
    formats = {"psnr": ".2f", "ssim": ".4f", "nmse": ".5f"}
    rows = [[s.name, str(s.slices), *(f"{getattr(s, name):{form}}" for name, form in formats.items())] for s in scores]
    last = ["mean ± std", str(sum(s.slices for s in scores))]
    for name, form in formats.items():
        column = [getattr(s, name) for s in scores]
        last.append(f"{mean(column):{form}} ± {_spread(column):{form}}")
    from ugodit.evaluation.tables import print_table

    print_table(columns, [*rows, last])


def _spread(column: list[float]) -> float:
    """The standard deviation over the volumes; 0 for one volume, not a number where a value is infinite."""
    if not all(math.isfinite(value) for value in column):
        return math.nan
    return float(pstdev(column))


def _json(value: object) -> object:
    """JSON knows no infinity (an identical image's PSNR) and no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
