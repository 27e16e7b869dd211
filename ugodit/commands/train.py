"""`python -m ugodit.train SCAN.h5... --out prior.safetensors`: a group prior from undersampled scans."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ugodit.calibration.pipeline import CoilPlan, named
from ugodit.commands.coil_options import add_coil_options, check_coil_options, coil_plan, maps_target, write_volume_maps
from ugodit.commands.options import add_running_options, add_sampling_options, chosen_slices, device, parse
from ugodit.commands.parser import Parser, run
from ugodit.commands.progress import follow
from ugodit.errors import InputError
from ugodit.fit.fit import Step
from ugodit.io.fastmri import Volume, open_volume
from ugodit.networks.unrolled import Unrolled
from ugodit.priors.presets import Preset
from ugodit.priors.prior import Prior, provenance
from ugodit.priors.training import group_model, train
from ugodit.reconstruction.preparation import Prepared, check_splits, prepare


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    arguments, preset = parse(_parser(), argv)
    where = device(arguments.device)
    if not arguments.out.parent.is_dir():
        raise InputError(f"--out: {arguments.out.parent}: there is no such folder; make it first")
    if arguments.out.is_dir():
        raise InputError(f"--out: {arguments.out} is a folder; name a file in it, such as prior.safetensors")
    if arguments.out.resolve() in {path.resolve() for path in arguments.scans}:
        raise InputError(f"--out: {arguments.out} is one of the scans; choose another name")
    if preset.train.held_out:
        raise InputError("held_out: expected 0 in [train]: training fits all measured lines of all scans")
    for path in arguments.scans:
        with open_volume(path) as volume:
            maps_target(volume, arguments, arguments.out)
            check_coil_options(volume, chosen_slices(arguments.slices, volume.n_slices, volume.name), arguments)
    scans: list[Prepared] = []
    sources: list[dict[str, Any]] = []
    for path in arguments.scans:
        with open_volume(path) as volume:
            for prepared, source in _prepared(volume, arguments, preset, where):
                scans.append(prepared)
                sources.append(source)
    operators = [prepared.operator for prepared in scans]
    model = group_model(operators, preset.network, preset.train)
    if not arguments.json:
        decoders = "one decoder" if preset.train.shared_decoder else f"{len(scans)} decoders"
        print(f"training one encoder and {decoders} on {len(scans)} scans", file=sys.stderr)
    last = None
    for step in follow(train(model, operators, preset.train), preset.train.steps, "training", quiet=arguments.json):
        last = step
    assert last is not None
    if not math.isfinite(last.loss) or not all(bool(weight.isfinite().all()) for weight in model.parameters()):
        raise InputError(f"training diverged (loss {last.loss:g}); lower learning_rate in [train] of --config")
    prior = _prior(model, preset, arguments, sources, last)
    prior.save(arguments.out)
    summary = {"prior": str(arguments.out), "hash": prior.hash, "scans": len(scans), "seconds": round(last.seconds, 1)}
    print(json.dumps(summary) if arguments.json else f"{arguments.out}: prior {prior.hash[:12]} of {len(scans)} scans")
    return 0


def _prepared(
    volume: Volume, arguments: argparse.Namespace, preset: Preset, where: torch.device
) -> list[tuple[Prepared, dict[str, Any]]]:
    """The volume's slices, and where they come from."""
    indices = chosen_slices(arguments.slices, volume.n_slices, volume.name)
    plan = coil_plan(volume, indices, arguments)
    maps_path = maps_target(volume, arguments, arguments.out)
    maps: list[Tensor] = []
    slices = []
    for index in indices:
        on_maps = maps.append if maps_path else None
        prepared = prepare(volume, index, arguments, where, arguments.maps_cache, plan, on_maps)
        with named(f"{volume.path}: slice {index}"):
            check_splits(prepared, preset.train)
        slices.append((prepared, _source(prepared, plan)))
    if maps_path:
        write_volume_maps(maps_path, maps, volume, indices)
    return slices


def _parser() -> Parser:
    parser = Parser(prog="ugodit train", description="Learn a group prior from a few undersampled scans.")
    parser.add_argument("scans", nargs="+", type=Path, metavar="SCAN.h5", help="volumes in fastMRI's layout")
    parser.add_argument("--out", type=Path, required=True, metavar="P.safetensors", help="the prior's file")
    parser.add_argument("--maps-cache", type=Path, metavar="DIR", help="keep sensitivity maps in this folder")
    add_sampling_options(parser)
    add_coil_options(parser)
    add_running_options(parser)
    return parser


def _source(prepared: Prepared, plan: CoilPlan) -> dict[str, Any]:
    scan = prepared.scan
    assert scan.mask is not None
    return {
        "name": scan.name,
        "slice": scan.slice_index,
        "coils": scan.kspace.shape[0],
        "size": list(scan.kspace.shape[1:]),
        "sampled": float(scan.mask.float().mean()),
        "sha256": scan.digest(),
        "coil_options": plan.recipe(),
        **prepared.coils.attributes(),
    }


def _prior(
    model: Unrolled, preset: Preset, arguments: argparse.Namespace, sources: list[dict[str, Any]], last: Step
) -> Prior:
    return Prior.of(
        model.network,
        training=preset.train.to_dict(),
        provenance=provenance(
            scans=sources,
            acceleration=len(sources) / sum(source["sampled"] for source in sources),
            seed=arguments.seed,
            scale="99.5th percentile of the zero-filled magnitude is 1",
            preset=arguments.preset,
            undersampling_of_full_scans={
                "mask": arguments.mask,
                "acceleration": arguments.acceleration,
                "center_fraction": arguments.center_fraction,
            },
            steps=last.iteration,
            final_loss=last.loss,
        ),
        extra={"log_mu": model.log_mu.detach().cpu()},
    )
