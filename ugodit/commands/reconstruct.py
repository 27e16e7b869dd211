"""`python -m ugodit.reconstruct SCAN.h5... --out DIR`: undersampled multi-coil volumes to images."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import ugodit
from ugodit.calibration.pipeline import CoilPlan, Coils, named
from ugodit.commands.coil_options import add_coil_options, check_coil_options, coil_plan, maps_target, write_volume_maps
from ugodit.commands.options import add_running_options, add_sampling_options, chosen_slices, device, parse
from ugodit.commands.parser import Parser, run
from ugodit.commands.progress import follow
from ugodit.errors import InputError
from ugodit.evaluation import baselines, metrics, report
from ugodit.fit.config import FitConfig
from ugodit.fit.fit import Step
from ugodit.io.fastmri import Volume, open_volume, read_attributes, write_reconstruction
from ugodit.operators.sense import SenseOperator
from ugodit.priors.adaptation import (
    FITS,
    HELPS,
    NOISE_AT_MOST,
    OPEN,
    Recipe,
    Use,
    WarmStart,
    adapt,
    config_for,
    from_prior,
    is_tried,
    recipe,
    unadapted,
    unadapted_uncertainty,
    unseen,
)
from ugodit.priors.presets import Preset
from ugodit.priors.prior import Prior
from ugodit.reconstruction.preparation import Prepared, check_splits, prepare, undersampled

DIVERGED = 1e3
"""The fit sees scans scaled to images of order one: an image this large, or with NaN in it, is none."""

METHODS = ("zero filling", "CG-SENSE", "ugodit")


@dataclass
class _Result:
    """What a volume's slices add up to."""

    images: dict[str, list[np.ndarray]] = field(default_factory=lambda: {method: [] for method in METHODS})
    uncertainties: list[np.ndarray] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    uses: list[str] = field(default_factory=list)
    """Of the prior."""
    masks: list[np.ndarray] = field(default_factory=list)
    targets: list[np.ndarray] = field(default_factory=list)
    coils: list[Coils] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    arguments, preset = parse(_parser(), argv)
    where = device(arguments.device)
    if arguments.batch is not None and arguments.batch < 1:
        raise InputError(f"--batch: expected 1 or more, got {arguments.batch}")
    if arguments.unadapted and not arguments.prior:
        raise InputError("--unadapted: needs a prior to use as it is; give one with --prior")
    prior = _checked_prior(arguments, preset) if arguments.prior else None
    for config in _recipes(arguments, preset, prior) if arguments.uncertainty else ():
        if config.splitting == "all" or config.pool < 2:
            raise InputError(
                "--uncertainty: comes from two random splits of the lines or more, which this preset, configuration or "
                "prior does not have"
            )
    if prior is None and not arguments.json:
        print(f"no --prior: fitting a network to each scan alone ({_alone_name(preset)})", file=sys.stderr)
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out: {arguments.out}: cannot be made a folder: {error.strerror}") from error
    names = [Path(path).stem for path in arguments.scans]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{name}: given more than once; its reconstructions would overwrite each other")
    for path in arguments.scans:
        with open_volume(path) as volume:  # What is wrong with the last volume is said before the first is fitted.
            indices = chosen_slices(arguments.slices, volume.n_slices, volume.name)
            maps_target(volume, arguments, _output(volume, arguments))
            check_coil_options(volume, indices, arguments)
    rows = []
    for path in arguments.scans:
        with open_volume(path) as volume:
            rows += _reconstruct(volume, arguments, preset, prior, where)
    if arguments.json:
        print(json.dumps(rows))
    elif rows:
        report.print_table(list(rows[0]), [[_cell(value) for value in row.values()] for row in rows])
    return 0


def _parser() -> Parser:
    parser = Parser(prog="ugodit reconstruct", description="Reconstruct undersampled multi-coil volumes.")
    parser.add_argument("scans", nargs="+", type=Path, metavar="SCAN.h5", help="volumes in fastMRI's layout")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for NAME.h5 and NAME.png")
    parser.add_argument("--prior", type=Path, metavar="P", help="a prior that `ugodit train` wrote")
    parser.add_argument(
        "--start", type=_warm_start, default="mean", help="the prior's decoder to start from: mean, fresh or its number"
    )
    parser.add_argument("--unadapted", action="store_true", help="use the prior as it is: seconds instead of minutes")
    parser.add_argument(
        "--uncertainty", action="store_true", help="also write how far images from other choices of the lines differ"
    )
    parser.add_argument("--batch", type=int, help="slices fitted together (default: 1 on a CPU, 8 on a GPU)")
    parser.add_argument("--overwrite", action="store_true", help="do volumes again that are already done")
    add_sampling_options(parser)
    add_coil_options(parser)
    add_running_options(parser)
    return parser


def _checked_prior(arguments: argparse.Namespace, preset: Preset) -> Prior:
    prior = Prior.load(arguments.prior)
    channels = (prior.network.in_channels, prior.network.out_channels)
    if channels != (2, 2):
        raise InputError(f"--prior: {arguments.prior}: expected a network of 2 channels, got {channels}")
    if isinstance(arguments.start, int) and arguments.start >= prior.decoders:
        raise InputError(f"--start: expected mean, fresh or 0 to {prior.decoders - 1}, got {arguments.start}")
    try:
        config_for(prior, FitConfig())
    except InputError as error:
        raise InputError(f"--prior: {arguments.prior}: training configuration: {error}") from error
    try:
        config_for(prior, preset.adapt)
    except InputError as error:
        raise InputError(f"--prior: {arguments.prior}: its options do not go with [adapt]: {error}") from error
    try:
        if preset.adapt.improve_start:
            config_for(prior, preset.alone)
    except InputError as error:
        raise InputError(f"--prior: {arguments.prior}: its options do not go with [alone]: {error}") from error
    return prior


def _recipes(arguments: argparse.Namespace, preset: Preset, prior: Prior | None) -> list[FitConfig]:
    """All that some scan may be fitted by."""
    if prior is None:
        return [preset.alone]
    adapted = config_for(prior, preset.adapt)
    if arguments.unadapted:
        return [dataclasses.replace(adapted, held_out=0.0)]
    if not is_tried(adapted, arguments.start):
        return [adapted]
    return [adapted, preset.alone, *([config_for(prior, preset.alone)] if adapted.improve_start else [])]


def _warm_start(text: str) -> WarmStart:
    if text == "mean":
        return "mean"
    if text == "fresh":
        return "fresh"
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"expected mean, fresh or the number of a decoder, got {text!r}")


def _reconstruct(
    volume: Volume, arguments: argparse.Namespace, preset: Preset, prior: Prior | None, where: torch.device
) -> list[dict[str, Any]]:
    indices = chosen_slices(arguments.slices, volume.n_slices, volume.name)
    batch = arguments.batch or (1 if where.type == "cpu" else 8)
    out = _output(volume, arguments)
    maps_path = maps_target(volume, arguments, out)
    plan = coil_plan(volume, indices, arguments)

    def settings(digests: list[str]) -> str:
        return json.dumps(_settings(volume, arguments, preset, prior, indices, batch, plan, digests), sort_keys=True)

    if out.exists() and not arguments.overwrite and (maps_path is None or maps_path.exists()):
        found = [undersampled(volume.scan(index), arguments).digest() for index in indices]
        if read_attributes(out).get("settings") == settings(found):
            done = "already done with these settings, skipped; --overwrite does it again"
            print(f"{volume.name}: {done}", file=sys.stderr)
            return []

    def prepared(index: int, on_maps: Callable[[Tensor], None] | None = None) -> Prepared:
        return prepare(volume, index, arguments, where, arguments.out / "maps", plan, on_maps)

    maps: list[Tensor] = []
    recipes = _recipes(arguments, preset, prior)
    digests, slices = _check(volume, indices, recipes, batch, lambda i: prepared(i, maps.append if maps_path else None))
    # fastMRI's definition: the maximum of the whole volume, also where only some slices were asked for.
    maximum = volume.target_maximum() if slices[0].scan.target is not None else None
    if maps_path:
        write_volume_maps(maps_path, maps, volume, indices)
    result = _Result()
    for first in range(0, len(indices), batch):
        chunk = indices[first : first + batch]
        if first:
            slices = [prepared(index) for index in chunk]
        label = f"{volume.name} slice {chunk[0]}" + (f" to {chunk[-1]}" if len(chunk) > 1 else "")
        _reconstruct_together(slices, arguments, preset, prior, label, result)
    return _write(volume, out, settings(digests), indices, result, prior, maximum)


def _check(
    volume: Volume, indices: range, recipes: list[FitConfig], batch: int, prepared: Callable[[int], Prepared]
) -> tuple[list[str], list[Prepared]]:
    """Whatever is wrong with any slice is found before the first is fitted: the slices' digests, and the first batch.

    The others are read again when their turn comes, so that a volume need not fit in memory; the cache has their maps.
    """
    digests: list[str] = []
    first: list[Prepared] = []
    for index in indices:
        checked = prepared(index)
        with named(f"{volume.path}: slice {index}"):
            for config in recipes:
                check_splits(checked, config)
        digests.append(checked.scan.digest())
        if len(first) < batch:
            first.append(checked)
    return digests, first


def _output(volume: Volume, arguments: argparse.Namespace) -> Path:
    out: Path = arguments.out / f"{volume.name}.h5"
    if out.exists() and out.resolve() == volume.path.resolve():
        raise InputError(f"--out: {out} is the scan itself; choose another folder")
    return out


def _reconstruct_together(
    slices: list[Prepared],
    arguments: argparse.Namespace,
    preset: Preset,
    prior: Prior | None,
    label: str,
    result: _Result,
) -> None:
    """Slices of one batch, those of which the prior serves in the same way together."""
    if prior is None or not is_tried(config_for(prior, preset.adapt), arguments.start):
        return _reconstruct_alike(slices, arguments, preset, prior, "adapted" if prior else None, label, result)
    operator = SenseOperator.stack([prepared.operator for prepared in slices])
    model, config = from_prior(operator, prior, preset.adapt, arguments.start)
    found = unseen(operator, model, config)
    judged = zip(slices, found.uses(config), found.ratio.tolist(), strict=True)
    for use, group in itertools.groupby(judged, key=lambda entry: entry[1]):
        alike, _, ratios = zip(*group, strict=True)
        if use != "adapted":
            decision = "used as it is nevertheless" if arguments.unadapted else _DECISIONS[use]
            print(
                f"{label}: the prior does not fit {len(alike)} of {len(slices)}: of unseen lines it leaves "
                f"{100 * max(ratios):.0f} % of what the first image leaves ({100 * FITS:.0f} % is too much); "
                f"{decision}",
                file=sys.stderr,
            )
        _reconstruct_alike(list(alike), arguments, preset, prior, use, label, result)
    return None


_DECISIONS = {
    "first images": "it makes the first images only, as the lines leave most open, and a new network is fitted",
    "dropped": "dropped: fitting the scan alone",
}


def _reconstruct_alike(
    slices: list[Prepared],
    arguments: argparse.Namespace,
    preset: Preset,
    prior: Prior | None,
    use: Use | None,
    label: str,
    result: _Result,
) -> None:
    """Slices that go by one recipe, together; no use without a prior."""
    operator = SenseOperator.stack([prepared.operator for prepared in slices])
    if arguments.unadapted and prior is not None:
        model, config = from_prior(operator, prior, preset.adapt, arguments.start)
        use_of_it = "as it is"
        images, seconds, stopped = _timed(lambda: unadapted(operator, model, config))
        if not bool((images.abs() < DIVERGED).all()):
            raise InputError(f"{label}: the prior gives no sensible image; train it again")
        spread = unadapted_uncertainty(operator, model, config) if arguments.uncertainty else None
    else:
        chosen = recipe(operator, prior, use, preset, arguments.start)
        use_of_it = use or ""
        last, images, seconds = _fit(operator, chosen, label, arguments.json)
        stopped = f"{'the prior was dropped; ' if use == 'dropped' else ''}{last.stopped}"
        spread = last.uncertainties()[0] if arguments.uncertainty else None
    ours = dict(zip(METHODS, (operator.initial(), baselines.cg_sense(operator), images), strict=True))
    for item, prepared in enumerate(slices):
        for method, image in ours.items():
            of_coils = method == "CG-SENSE"
            result.images[method].append(prepared.magnitude(image[item : item + 1], of_coils=of_coils))
        if spread is not None:
            result.uncertainties.append(prepared.magnitude(spread[item : item + 1]))
        result.seconds.append(seconds / len(slices))
        result.stopped.append(stopped)
        result.uses.append(use_of_it)
        assert prepared.scan.mask is not None
        result.masks.append(prepared.scan.mask.numpy())
        result.coils.append(prepared.coils)
        if prepared.scan.target is not None:
            result.targets.append(prepared.scan.target.numpy())


def _timed(compute: Any) -> tuple[Tensor, float, str]:
    began = time.perf_counter()
    image = compute()
    return image, time.perf_counter() - began, "not adapted"


def _fit(operator: SenseOperator, by: Recipe, label: str, quiet: bool) -> tuple[Step, Tensor, float]:
    """The last step, its images and the seconds that they took."""
    steps = adapt(operator, by.model, by.config, by.improve)
    for step in follow(steps, by.config.steps, label, quiet=quiet):
        if step.stopped:
            image, more, _ = _timed(lambda: step.averages()[0])  # noqa: B023
            if not bool((image.abs() < DIVERGED).all()):
                raise InputError(f"{label}: the fit diverged (loss {step.loss:g}); lower learning_rate with --config")
            return step, image, step.seconds + more
    raise AssertionError("a fit ends with a step that says why")


def _write(
    volume: Volume,
    out: Path,
    settings: str,
    indices: range,
    result: _Result,
    prior: Prior | None,
    maximum: float | None,
) -> list[dict[str, Any]]:
    images = {method: np.stack(slices) for method, slices in result.images.items()}
    mask = np.stack(result.masks)
    if (mask == mask[0]).all():
        mask = mask[0]
    attributes = {
        "settings": settings,
        "seed": json.loads(settings)["seed"],
        "version": ugodit.__version__,
        "prior_hash": prior.hash if prior else None,
        "prior_use": result.uses if prior else None,
        "method": "ugodit",
        "slices": np.asarray(list(indices)),
        "seconds_per_slice": np.asarray(result.seconds),
        "stopped": result.stopped,
        **_coil_attributes(result.coils),
    }
    extra = {"uncertainty": np.stack(result.uncertainties)} if result.uncertainties else {}
    write_reconstruction(out, images["ugodit"], mask=mask, attributes=attributes, extra=extra)
    targets = np.stack(result.targets) if maximum else None
    middle = len(indices) // 2
    report.comparison_picture(
        out.with_suffix(".png"),
        {method: stack[middle] for method, stack in images.items()},
        None if targets is None else targets[middle],
        maximum=maximum,
    )
    if targets is None:
        return []
    return [
        {
            "volume": volume.name,
            "method": method,
            "PSNR": metrics.psnr(targets, stack, maximum),
            "SSIM": metrics.ssim(targets, stack, maximum) if min(targets.shape[1:]) >= 7 else None,
            "NMSE": metrics.nmse(targets, stack),
            "seconds a slice": float(np.mean(result.seconds)) if method == "ugodit" else None,
        }
        for method, stack in images.items()
    ]


def _coil_attributes(coils: list[Coils]) -> dict[str, Any]:
    """What is the same for all slices as it is, numbers that differ as an array of one a slice."""
    slices = [one.attributes() for one in coils]
    columns = {key: [one[key] for one in slices] for key in slices[0]}
    return {
        key: np.asarray(values) if isinstance(values[0], float) or len(set(values)) > 1 else values[0]
        for key, values in columns.items()
    }


def _settings(
    volume: Volume,
    arguments: argparse.Namespace,
    preset: Preset,
    prior: Prior | None,
    indices: range,
    batch: int,
    plan: CoilPlan,
    digests: list[str],
) -> dict[str, Any]:
    """Everything that the images depend on, as plain values."""
    settings: dict[str, Any] = {
        "seed": arguments.seed,
        "preset": arguments.preset,
        "slices": [indices.start, indices.stop],
        "prior": prior.hash if prior else None,
        "fit": (config_for(prior, preset.adapt) if prior else preset.alone).to_dict(),
        "version": ugodit.__version__,
        "batch": batch,
        "uncertainty": arguments.uncertainty,
        "coils": plan.recipe(),
        "measurements": digests,
    }
    if prior is None:
        settings["network"] = preset.network.to_dict()
    else:
        settings |= {"start": arguments.start, "unadapted": arguments.unadapted}
        if is_tried(config_for(prior, preset.adapt), arguments.start):
            alone = {"fit": preset.alone.to_dict(), "network": preset.network.to_dict()}
            limits = {"fits": FITS, "helps": HELPS, "open": OPEN, "noise at most": NOISE_AT_MOST}
            settings["where the prior does not fit"] = {"limits": limits, **alone}
    if volume.mask is None:
        settings["mask"] = {
            "kind": arguments.mask,
            "acceleration": arguments.acceleration,
            "center_fraction": arguments.center_fraction,
        }
    return settings


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _alone_name(preset: Preset) -> str:
    return "zero-shot splitting" if preset.alone.splitting == "random" else "aSeqDIP"
