"""`python -m ugodit.train SCAN.h5... --out prior.safetensors`: a group prior from undersampled scans."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ugodit.commands.coil_options import add_cache_options, add_coil_options
from ugodit.commands.options import (
    Parsed,
    add_running_options,
    add_sampling_options,
    parse,
    sampling_of,
    set_threads,
)
from ugodit.commands.parser import Parser, run
from ugodit.errors import ElsewhereError, InputError, named
from ugodit.io.atomic import check_writable, remove_left_over
from ugodit.io.files import check_path

if TYPE_CHECKING:
    import torch

    from ugodit.reconstruction.distributed import Group
    from ugodit.reconstruction.training import Training


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run(_main_once, argv)


def _main_once(argv: Sequence[str] | None) -> int:
    """What goes wrong is said by one of several processes."""
    try:
        return _main(argv)
    except ElsewhereError:
        return 2


def _main(argv: Sequence[str] | None) -> int:
    parsed = parse(_parser(), argv)
    arguments = parsed.arguments
    _check(arguments)
    set_threads(arguments)
    from ugodit.reconstruction.distributed import process_group  # which needs torch: after what can go wrong without
    from ugodit.reconstruction.job import find_device

    device = find_device(arguments.device)
    with process_group(device) as group:
        return _train(parsed, device, group)


def _train(parsed: Parsed, device: torch.device, group: Group) -> int:
    from ugodit.commands.coil_plans import maps_cache
    from ugodit.commands.progress import ProgressObserver
    from ugodit.reconstruction.training import Training

    arguments = parsed.arguments
    first = group.rank == 0
    training = Training(
        parsed.preset,
        sampling=sampling_of(arguments),
        seed=arguments.seed,
        device=device,
        maps_cache=maps_cache(arguments, None),
        group=group,
    )
    with group.together():
        if arguments.write_maps is not None and group.ranks > 1:
            raise InputError("--write-maps: expected one process, as each has some of the scans only; leave it out")
        if first:
            check_writable(arguments.out)
            remove_left_over(arguments.out.parent)
        _add(training, arguments)
    if first and not arguments.json:
        decoders = "one decoder" if parsed.preset.train.shared_decoder else f"{training.count} decoders"
        print(f"training one encoder and {decoders} on {training.count} scans", file=sys.stderr)
    began = time.perf_counter()
    checkpoint = _checkpoint(arguments)
    observer = ProgressObserver(quiet=arguments.json or not first)
    prior = training.run(observer, checkpoint=checkpoint, every=arguments.checkpoint_every, resume=arguments.resume)
    seconds = round(time.perf_counter() - began, 1)
    if not first:
        return 0
    with named("", f"; {checkpoint} is kept: --resume goes on from it" if checkpoint.exists() else ""):
        prior.save(arguments.out)
    with suppress(OSError):
        checkpoint.unlink(missing_ok=True)
    scans = training.count
    summary = {"prior": str(arguments.out), "hash": prior.hash, "scans": scans, "seconds": seconds}
    print(json.dumps(summary) if arguments.json else f"{arguments.out}: prior {prior.hash[:12]} of {scans} scans")
    return 0


def _add(training: Training, arguments: argparse.Namespace) -> None:
    """The scans; what is wrong with one is said before the first is read."""
    from ugodit.commands.coil_plans import MapsToWrite, coil_plan, maps_target
    from ugodit.reconstruction.training import opened

    for path in arguments.scans:
        with opened(path, arguments.slices, follow_links=arguments.follow_links) as slices:
            maps_target(slices.volume, arguments, arguments.out)
            coil_plan(slices, arguments)
    for path in arguments.scans:
        with opened(path, arguments.slices, follow_links=arguments.follow_links) as slices:
            maps = MapsToWrite(maps_target(slices.volume, arguments, arguments.out), slices)
            training.add(slices, coil_plan(slices, arguments), maps.on_maps)
            maps.write()


def _checkpoint(arguments: argparse.Namespace) -> Path:
    out: Path = arguments.out
    return out.with_name(f"{out.name}.checkpoint")


def _check(arguments: argparse.Namespace) -> None:
    """What can be said without opening a file."""
    if not arguments.out.parent.is_dir():
        raise InputError(f"--out: {arguments.out.parent}: there is no such folder; make it first")
    check_path(_checkpoint(arguments))
    if arguments.checkpoint_every < 0:
        raise InputError(f"--checkpoint-every: expected 0 or more steps, got {arguments.checkpoint_every}")
    if arguments.out.is_dir():
        raise InputError(f"--out: {arguments.out} is a folder; name a file in it, such as prior.safetensors")
    if os.path.realpath(arguments.out) in map(os.path.realpath, arguments.scans):
        raise InputError(f"--out: {arguments.out} is one of the scans; choose another name")


def _parser() -> Parser:
    parser = Parser(prog="ugodit train", description="Learn a group prior from a few undersampled scans.")
    parser.add_argument("scans", nargs="+", type=Path, metavar="SCAN.h5", help="volumes in fastMRI's layout")
    parser.add_argument("--out", type=Path, required=True, metavar="P.safetensors", help="the prior's file")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint of a run that was ended")
    parser.add_argument(
        "--checkpoint-every",
        type=int,
        default=50,
        metavar="N",
        help="keep the state every N steps in P.safetensors.checkpoint, 0 for never (default %(default)s)",
    )
    add_sampling_options(parser)
    add_coil_options(parser)
    add_cache_options(parser, "none")
    add_running_options(parser)
    return parser
