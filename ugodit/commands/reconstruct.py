"""`python -m ugodit.reconstruct SCAN.h5... --out DIR`: undersampled multi-coil volumes to images."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ugodit.commands.coil_options import add_coil_options
from ugodit.commands.config_file import in_table, refuse_without_effect
from ugodit.commands.options import (
    Parsed,
    add_running_options,
    add_sampling_options,
    parse,
    sampling_of,
    set_threads,
)
from ugodit.commands.parser import Parser, run
from ugodit.errors import InputError, named

if TYPE_CHECKING:
    from ugodit.data.volume import VolumeSlices
    from ugodit.reconstruction.reconstructor import Reconstructor
    from ugodit.reconstruction.result import Result


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    parsed = parse(_parser(), argv)
    arguments = parsed.arguments
    _check(arguments)
    set_threads(arguments)
    from ugodit.commands.coil_plans import coil_plan, maps_target  # these need torch: after what can go wrong without
    from ugodit.reconstruction.training import opened

    reconstructor = _reconstructor(parsed)
    if reconstructor.job.prior is None and not arguments.json:
        how = "random splits" if parsed.preset.alone_model.splitting == "random" else "all measured lines"
        print(f"no --prior: fitting a network to each scan alone ({how})", file=sys.stderr)
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out: {arguments.out}: cannot be made a folder: {error.strerror}") from error
    for path in arguments.scans:  # What is wrong with the last is said before the first is fitted.
        with opened(path, arguments.slices) as slices:
            maps_target(slices.volume, arguments, _output(slices, arguments))
            coil_plan(slices, arguments)
    rows = []
    for path in arguments.scans:
        with opened(path, arguments.slices) as slices:
            rows += _reconstruct(slices, reconstructor, arguments)
    if arguments.json:
        print(json.dumps(rows))
    elif rows:
        from ugodit.evaluation.tables import print_table

        print_table(list(rows[0]), [[_cell(value) for value in row.values()] for row in rows])
    return 0


def _parser() -> Parser:
    parser = Parser(prog="ugodit reconstruct", description="Reconstruct undersampled multi-coil volumes.")
    parser.add_argument("scans", nargs="+", type=Path, metavar="SCAN.h5", help="volumes in fastMRI's layout")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for NAME.h5 and NAME.png")
    parser.add_argument("--prior", type=Path, metavar="P", help="a prior that `ugodit train` wrote")
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
    parser.add_argument("--overwrite", action="store_true", help="do volumes again that are already done")
    add_sampling_options(parser)
    add_coil_options(parser)
    add_running_options(parser)
    return parser


def _decoder(text: str) -> str | int:
    if text in ("mean", "fresh"):
        return text
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"expected mean, fresh or the number of a decoder, got {text!r}")


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
    elif not arguments.prior.is_file():
        raise InputError(f"--prior: {arguments.prior}: there is no such file; `ugodit train` writes one")
    elif arguments.zero_shot and arguments.decoder == "fresh":
        raise InputError("--decoder: fresh needs adaptation: an untrained decoder makes no image; no --zero-shot")


def _reconstructor(parsed: Parsed) -> Reconstructor:
    from ugodit.priors.prior import Prior
    from ugodit.reconstruction.reconstructor import Reconstructor

    arguments = parsed.arguments
    prior = None
    if arguments.prior is not None:
        with named("--prior"):
            prior = Prior.load(arguments.prior)
    if prior is not None:
        with in_table("adapt"):
            refuse_without_effect(parsed.preset.adapt, parsed.changed.get("adapt", []), prior.model)
    return Reconstructor(
        prior,
        preset=parsed.preset,
        zero_shot=arguments.zero_shot,
        uncertainty=arguments.uncertainty,
        decoder=arguments.decoder,
        batch=arguments.batch,
        seed=arguments.seed,
        device=arguments.device,
        maps_cache=arguments.out / "maps",
    )


def _output(slices: VolumeSlices, arguments: argparse.Namespace) -> Path:
    path = slices.volume.path
    out: Path = arguments.out / f"{slices.volume.name}.h5"
    if path is not None and out.exists() and out.resolve() == path.resolve():
        raise InputError(f"--out: {out} is the scan itself; choose another folder")
    return out


def _reconstruct(
    slices: VolumeSlices, reconstructor: Reconstructor, arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """One volume: its files, and its rows of the table."""
    from ugodit.commands.coil_plans import MapsToWrite, coil_plan, maps_target
    from ugodit.commands.progress import ProgressObserver
    from ugodit.evaluation.pictures import reconstruction_picture

    out = _output(slices, arguments)
    maps_path = maps_target(slices.volume, arguments, out)
    volume_run = reconstructor.read(slices, sampling_of(arguments), coil_plan(slices, arguments))
    if not arguments.overwrite and volume_run.is_done(out) and (maps_path is None or maps_path.exists()):
        done = "already done with these settings, skipped; --overwrite does it again"
        print(f"{slices.volume.name}: {done}", file=sys.stderr)
        return []
    maps = MapsToWrite(maps_path, slices)
    result = volume_run.reconstruct(ProgressObserver(quiet=arguments.json), maps.on_maps, maps.write)
    result.save(out)
    middle = len(result.slices) // 2
    reconstruction_picture(
        out.with_suffix(".png"),
        result.images[middle],
        {name: images[middle] for name, images in result.baselines.items()},
        target=None if result.targets is None else result.targets[middle],
        maximum=result.maximum,
    )
    return _rows(result)


def _rows(result: Result) -> list[dict[str, Any]]:
    import numpy as np

    from ugodit.evaluation import metrics

    targets = result.targets
    if targets is None:
        return []
    stacks = {name: np.stack(list(images.values())) for name, images in result.baselines.items()}
    return [
        {
            "volume": result.name,
            "method": method,
            "PSNR": metrics.psnr(targets, stack, result.maximum),
            "SSIM": metrics.ssim(targets, stack, result.maximum) if min(targets.shape[1:]) >= 7 else None,
            "NMSE": metrics.nmse(targets, stack),
            "seconds a slice": float(np.mean(result.seconds)) if method == "ugodit" else None,
        }
        for method, stack in {**stacks, "ugodit": result.images}.items()
    ]


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
