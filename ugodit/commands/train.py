"""`python -m ugodit.train SCAN.h5... --out prior.safetensors`: a group prior from undersampled scans."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ugodit.commands.coil_options import add_cache_options, add_coil_options
from ugodit.commands.options import add_running_options, add_sampling_options, parse, sampling_of, set_threads
from ugodit.commands.parser import Parser, run
from ugodit.errors import InputError


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    parsed = parse(_parser(), argv)
    arguments = parsed.arguments
    _check(arguments)
    set_threads(arguments)
    from ugodit.commands.coil_plans import MapsToWrite, coil_plan, maps_cache, maps_target  # these need torch
    from ugodit.commands.progress import ProgressObserver
    from ugodit.reconstruction.training import Training, opened

    training = Training(
        parsed.preset,
        sampling=sampling_of(arguments),
        seed=arguments.seed,
        device=arguments.device,
        maps_cache=maps_cache(arguments, None),
    )
    for path in arguments.scans:
        with opened(path, arguments.slices, follow_links=arguments.follow_links) as slices:
            maps_target(slices.volume, arguments, arguments.out)
            coil_plan(slices, arguments)
    for path in arguments.scans:
        with opened(path, arguments.slices, follow_links=arguments.follow_links) as slices:
            maps = MapsToWrite(maps_target(slices.volume, arguments, arguments.out), slices)
            training.add(slices, coil_plan(slices, arguments), maps.on_maps)
            maps.write()
    scans = len(training.scans)
    if not arguments.json:
        decoders = "one decoder" if parsed.preset.train.shared_decoder else f"{scans} decoders"
        print(f"training one encoder and {decoders} on {scans} scans", file=sys.stderr)
    began = time.perf_counter()
    prior = training.run(ProgressObserver(quiet=arguments.json))
    seconds = round(time.perf_counter() - began, 1)
    prior.save(arguments.out)
    summary = {"prior": str(arguments.out), "hash": prior.hash, "scans": scans, "seconds": seconds}
    print(json.dumps(summary) if arguments.json else f"{arguments.out}: prior {prior.hash[:12]} of {scans} scans")
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """What can be said without opening a file."""
    if not arguments.out.parent.is_dir():
        raise InputError(f"--out: {arguments.out.parent}: there is no such folder; make it first")
    if arguments.out.is_dir():
        raise InputError(f"--out: {arguments.out} is a folder; name a file in it, such as prior.safetensors")
    if arguments.out.resolve() in {path.resolve() for path in arguments.scans}:
        raise InputError(f"--out: {arguments.out} is one of the scans; choose another name")


def _parser() -> Parser:
    parser = Parser(prog="ugodit train", description="Learn a group prior from a few undersampled scans.")
    parser.add_argument("scans", nargs="+", type=Path, metavar="SCAN.h5", help="volumes in fastMRI's layout")
    parser.add_argument("--out", type=Path, required=True, metavar="P.safetensors", help="the prior's file")
    add_sampling_options(parser)
    add_coil_options(parser)
    add_cache_options(parser, "none")
    add_running_options(parser)
    return parser
