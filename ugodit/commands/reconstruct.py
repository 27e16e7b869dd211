"""`python -m ugodit.reconstruct SCAN.h5... --out DIR`: undersampled multi-coil volumes to images."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ugodit.commands.coil_options import add_cache_options, add_coil_options
from ugodit.commands.config_file import in_table, refuse_without_effect
from ugodit.commands.options import (
    Parsed,
    add_running_options,
    add_sampling_options,
    parse,
    sampling_of,
    set_threads,
)
from ugodit.commands.parser import Parser, complain, run
from ugodit.errors import InputError, OutputError, named
from ugodit.reconstruction.launcher import place_among_processes, whole_number

if TYPE_CHECKING:
    from ugodit.data.volume import VolumeSlices
    from ugodit.reconstruction.reconstructor import Reconstructor


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    parsed = parse(_parser(), argv)
    arguments = parsed.arguments
    _check(arguments)
    arguments.rank, arguments.ranks = place_among_processes()
    set_threads(arguments)
    from ugodit.commands.coil_plans import coil_plan, maps_target  # these need torch: after what can go wrong without
    from ugodit.commands.reconstruct_volume import reconstruct_volume
    from ugodit.reconstruction.reading import check_samples
    from ugodit.reconstruction.training import opened

    reconstructor = _reconstructor(parsed)
    if arguments.prior is None and not arguments.json:
        how = "random splits" if parsed.preset.alone_model.splitting == "random" else "all measured lines"
        print(f"no --prior: fitting a network to each scan alone ({how})", file=sys.stderr)
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out: {arguments.out}: cannot be made a folder: {error.strerror}") from error
    for path in arguments.scans:  # What is wrong with the last is said before the first is fitted.
        with opened(path, arguments.slices, follow_links=arguments.follow_links) as slices:
            out = _output(slices, arguments)
            maps_target(slices.volume, arguments, out)
            for file in (out, out.with_suffix(".png")):
                if file.is_dir():
                    raise InputError(f"--out: {file} is a folder, expected room for a file; remove or rename it")
            check_samples(slices, coil_plan(slices, arguments), sampling_of(arguments), _share(arguments))
    rows: list[dict[str, Any]] = []
    broken = 0
    for path in arguments.scans:
        try:
            with opened(path, arguments.slices, follow_links=arguments.follow_links) as slices:
                found = reconstruct_volume(slices, reconstructor, arguments, _output(slices, arguments))
        except InputError as error:
            if isinstance(error, OutputError) or len(arguments.scans) == 1:
                raise
            complain(error)  # and go on: one bad volume does not cost the others
            broken += 1
            continue
        if arguments.json:
            print("".join(json.dumps(row) + "\n" for row in found), end="", flush=True)
        rows += found
    if rows and not arguments.json:
        from ugodit.evaluation.tables import print_table

        print_table(list(rows[0]), [[_cell(value) for value in row.values()] for row in rows])
    return 2 if broken else 0


def _parser() -> Parser:
    parser = Parser(prog="ugodit reconstruct", description="Reconstruct undersampled multi-coil volumes.")
    parser.add_argument("scans", nargs="+", type=Path, metavar="SCAN.h5", help="volumes in fastMRI's layout")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for NAME.h5 and NAME.png")
    parser.add_argument(
        "--prior",
        type=Path,
        metavar="P",
        help="a prior that `ugodit train` wrote, or `self`: trained on slices of the volume first",
    )
    parser.add_argument(
        "--decoder", type=_decoder, default="mean", help="the prior's decoder to start from: mean, fresh or its number"
    )
    parser.add_argument(
        "--zero-shot", action="store_true", help="use the prior without adaptation: seconds instead of minutes"
    )
    parser.add_argument(
        "--uncertainty", action="store_true", help="also write how far images from other choices of the lines differ"
    )
    parser.add_argument("--batch", type=int, help="slices fitted together (default: 1 on a CPU, 8 on a GPU)")
    parser.add_argument(
        "--part",
        type=_part,
        metavar="I/N",
        help="do only the I-th of N parts of every volume, I from 1, or `slurm` for a job array's task; who finishes "
        "last writes the files",
    )
    parser.add_argument("--overwrite", action="store_true", help="do volumes again that are already done")
    add_sampling_options(parser)
    add_coil_options(parser)
    add_cache_options(parser, "the folder maps in DIR of --out")
    add_running_options(parser)
    return parser


def _decoder(text: str) -> str | int:
    if text in ("mean", "fresh"):
        return text
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"expected mean, fresh or the number of a decoder, got {text!r}")


def _part(text: str) -> tuple[int, int]:
    """'2/4', or what Slurm says of a job array's task."""
    if text == "slurm":
        try:
            first, step, last, task = (_slurm_number(name) for name in ("MIN", "STEP", "MAX", "ID"))
            which, parts = (task - first) // step + 1, (last - first) // step + 1
            tasks = _slurm_number("COUNT") if "SLURM_ARRAY_TASK_COUNT" in os.environ else parts
            if step < 1 or not first <= task <= last:
                raise ValueError
        except (KeyError, ValueError, ZeroDivisionError):
            raise argparse.ArgumentTypeError(
                "slurm: expected SLURM_ARRAY_TASK_ID, _MIN, _MAX and _STEP in the environment, as in a job array"
            ) from None
        if tasks != parts:
            raise argparse.ArgumentTypeError(f"slurm: {tasks} tasks are no even series of numbers; give I/N")
        return which, parts
    first_word, slash, second = text.partition("/")
    if slash and first_word.isdecimal() and second.isdecimal() and 1 <= int(first_word) <= int(second):
        return int(first_word), int(second)
    raise argparse.ArgumentTypeError(f"expected I/N with I from 1 to N, or slurm, got {text!r}")


def _slurm_number(name: str) -> int:
    found = whole_number(os.environ[f"SLURM_ARRAY_TASK_{name}"])
    if found is None:
        raise ValueError
    return found


def _share(arguments: argparse.Namespace) -> tuple[int, int]:
    """Which of how many processes this one is, from 1, where they were told apart."""
    return arguments.part or (arguments.rank + 1, arguments.ranks)


def _check(arguments: argparse.Namespace) -> None:
    """What can be said without opening a file."""
    names = [Path(path).stem for path in arguments.scans]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{name}: given more than once; its reconstructions would overwrite each other")
    if arguments.batch is not None and arguments.batch < 1:
        raise InputError(f"--batch: expected 1 or more, got {arguments.batch}")
    if arguments.prior is None:
        for option, given in (("--zero-shot", arguments.zero_shot), ("--decoder", arguments.decoder != "mean")):
            if given:
                raise InputError(f"{option}: needs a prior, whose decoder is used; give one with --prior")
    elif not _is_own_group(arguments) and not arguments.prior.is_file():
        raise InputError(f"--prior: {arguments.prior}: there is no such file; `ugodit train` writes one")
    elif arguments.zero_shot and arguments.decoder == "fresh":
        raise InputError("--decoder: fresh needs adaptation: an untrained decoder makes no image; no --zero-shot")


def _is_own_group(arguments: argparse.Namespace) -> bool:
    """Whether the volume is its own group; a file of that name is asked for as ./self."""
    return str(arguments.prior) == "self"


def _reconstructor(parsed: Parsed) -> Reconstructor:
    from ugodit.commands.coil_plans import maps_cache
    from ugodit.priors.prior import Prior
    from ugodit.reconstruction.reconstructor import Reconstructor

    arguments = parsed.arguments
    prior: Prior | str | None = "self" if _is_own_group(arguments) else None
    if arguments.prior is not None and prior is None:
        with named("--prior"):
            prior = Prior.load(arguments.prior)
    if prior is not None:
        with in_table("adapt"):
            model = parsed.preset.model if isinstance(prior, str) else prior.model
            refuse_without_effect(parsed.preset.adapt, parsed.changed.get("adapt", []), model)
    return Reconstructor(
        prior,
        preset=parsed.preset,
        zero_shot=arguments.zero_shot,
        uncertainty=arguments.uncertainty,
        decoder=arguments.decoder,
        batch=arguments.batch,
        seed=arguments.seed,
        device=arguments.device,
        maps_cache=maps_cache(arguments, arguments.out / "maps"),
    )


def _output(slices: VolumeSlices, arguments: argparse.Namespace) -> Path:
    path = slices.volume.path
    out: Path = arguments.out / f"{slices.volume.name}.h5"
    if path is not None and out.exists() and os.path.realpath(out) == os.path.realpath(path):
        raise InputError(f"--out: {out} is the scan itself; choose another folder")
    return out


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
