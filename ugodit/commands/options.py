"""The vocabulary that the commands share: options, their file, and the tables behind `--config`."""

from __future__ import annotations

import argparse
import dataclasses
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ugodit.commands.parser import Parser
from ugodit.data.sampling import KINDS
from ugodit.errors import InputError
from ugodit.fit.config import FitConfig, checked_fields
from ugodit.networks.config import NetworkConfig
from ugodit.priors.presets import PRESETS, Preset, preset

FIT_TABLES = ("train", "adapt", "alone")


def add_sampling_options(parser: Parser) -> None:
    """How a fully sampled volume is undersampled. A file with a mask of its own is taken as it is."""
    group = parser.add_argument_group("undersampling of fully sampled volumes (fastMRI's mask definitions)")
    group.add_argument("--acceleration", type=float, default=4.0, help="keep one line in N (default %(default)g)")
    group.add_argument(
        "--center-fraction", type=float, default=0.08, help="fully sampled central fraction (default %(default)g)"
    )
    group.add_argument(
        "--mask", choices=[*KINDS, "poisson"], default="equispaced", help="kind of mask (default %(default)s)"
    )


def add_running_options(parser: Parser) -> None:
    """Seed, device, preset, threads and so on."""
    group = parser.add_argument_group("running")
    group.add_argument("--preset", choices=list(PRESETS), default="balanced", help="recipe (default %(default)s)")
    group.add_argument("--slices", type=slice_range, default=slice(None), metavar="A:B", help="only these slices")
    group.add_argument("--seed", type=int, default=0, help="of masks, networks and splits (default %(default)s)")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default %(default)s)")
    group.add_argument("--precision", choices=["float32", "bfloat16"], help="of the network (default: the preset's)")
    group.add_argument("--threads", type=int, help="CPU threads (default: one a core)")
    group.add_argument(
        "--config", type=Path, metavar="F.toml", help="options by name, and tables [network], [train], [adapt], [alone]"
    )
    group.add_argument("--json", action="store_true", help="print results as JSON")


def slice_range(text: str) -> slice:
    """'0:4', ':3', '5:' or '7' as a slice."""
    parts = text.split(":")
    try:
        ends = [int(part) if part else None for part in parts]
    except ValueError:
        ends = []
    if len(ends) == 1 and ends[0] is not None and ends[0] >= 0:
        return slice(ends[0], ends[0] + 1)
    if len(ends) == 2 and all(end is None or end >= 0 for end in ends):
        return slice(*ends)
    raise argparse.ArgumentTypeError(f"expected A:B, A: , :B or one number from 0, got {text!r}")


def chosen_slices(wanted: slice, count: int, name: str) -> range:
    """The slices of a volume of `count`; InputError where none is left."""
    indices = range(count)[wanted]
    if not indices:
        raise InputError(f"--slices: {name} has slices 0 to {count - 1}, none of which was asked for")
    return indices


def parse(parser: Parser, argv: Sequence[str] | None) -> tuple[argparse.Namespace, Preset]:
    """Parse the command line over the configuration file, and build the preset that both ask for."""
    tables: dict[str, Any] = {}
    first, _ = _config_parser().parse_known_args(argv)
    if first.config is not None:
        tables = _read_toml(first.config)
        plain = {name: value for name, value in tables.items() if name not in (*FIT_TABLES, "network")}
        _set_defaults(parser, first.config, plain)
    arguments = parser.parse_args(argv)
    if arguments.threads is not None:
        if not 1 <= arguments.threads <= 1024:
            raise InputError(f"--threads: expected 1 to 1024, got {arguments.threads}")
        torch.set_num_threads(arguments.threads)
    if not 0 <= arguments.seed < 2**32:
        raise InputError(f"--seed: expected 0 to 2^32 - 1, got {arguments.seed}")
    if not 0 < arguments.center_fraction < 1:
        raise InputError(f"--center-fraction: expected more than 0 and less than 1, got {arguments.center_fraction}")
    return arguments, _preset_with(arguments, tables)


def device(name: str) -> torch.device:
    """The device of that name; auto is the first GPU where there is one. InputError where there is no such device."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        wanted = torch.device(name)
    except RuntimeError:
        raise InputError(f"--device: expected auto, cpu, cuda or cuda:N, got {name!r}") from None
    if wanted.type not in ("cpu", "cuda"):
        raise InputError(f"--device: expected auto, cpu, cuda or cuda:N, got {name!r}")
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        raise InputError(f"--device: {name} asked for, but torch sees {torch.cuda.device_count()}; use --device cpu")
    return wanted


def _config_parser() -> Parser:
    parser = Parser(add_help=False)
    parser.add_argument("--config", type=Path)
    return parser


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise InputError(f"--config: {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"--config: {path}: not TOML: {error}") from error


def _set_defaults(parser: Parser, path: Path, plain: dict[str, Any]) -> None:
    actions = {action.dest: action for action in parser._actions if action.option_strings}
    for name, value in plain.items():
        key = name.replace("-", "_")
        action = actions.get(key)
        if action is None or key in ("help", "config"):
            known = ", ".join(sorted(set(actions) - {"help", "config"}))
            raise InputError(f"--config: {path}: {name}: unknown option; expected one of {known}")
        switch = action.nargs == 0
        if switch != isinstance(value, bool) or isinstance(value, list | dict):
            expected = "true or false" if switch else "one value"
            raise InputError(f"--config: {path}: {name}: expected {expected}, got {value!r}")
        if action.choices is not None and value not in action.choices:
            expected = ", ".join(map(str, action.choices))
            raise InputError(f"--config: {path}: {name}: expected one of {expected}, got {value!r}")
        if callable(action.type):
            try:
                value = action.type(str(value))
            except (ValueError, argparse.ArgumentTypeError) as error:
                raise InputError(f"--config: {path}: {name}: {error}") from error
        parser.set_defaults(**{key: value})
        action.required = False


def _preset_with(arguments: argparse.Namespace, tables: dict[str, Any]) -> Preset:
    chosen = preset(arguments.preset)
    fits: dict[str, FitConfig] = {}
    for name in FIT_TABLES:
        try:
            changes = checked_fields(FitConfig, tables.get(name, {}))
        except InputError as error:
            raise InputError(f"--config: [{name}] {error}") from error
        changes.setdefault("seed", arguments.seed)
        if arguments.precision:
            changes["precision"] = arguments.precision
        try:
            fits[name] = dataclasses.replace(getattr(chosen, name), **changes)
        except InputError as error:
            raise InputError(f"--config: [{name}] {error}") from error
    try:
        network = NetworkConfig.from_dict({**chosen.network.to_dict(), **dict(tables.get("network", {}))})
        if (network.in_channels, network.out_channels) != (2, 2):
            raise ValueError("in_channels, out_channels: expected 2 and 2 (real and imaginary part)")
    except (ValueError, TypeError) as error:
        raise InputError(f"--config: [network] {error}") from error
    return Preset(network=network, **fits)
