"""The options that the commands share, and their meaning. Nothing here needs torch: a mistake is answered at once."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugodit.commands.config_file import configured_preset, read_config, split_tables
from ugodit.commands.parser import EARLIER_OPTIONS, Parser, check_seed
from ugodit.commands.threads import take_threads
from ugodit.data.masks import ALL_KINDS, check_acceleration, check_center_fraction
from ugodit.errors import InputError
from ugodit.fit.config_fields import did_you_mean
from ugodit.io.files import require_regular_file
from ugodit.priors.presets import PRESETS, Preset


@dataclass(frozen=True)
class Parsed:
    """A command line and its configuration file, understood."""

    arguments: argparse.Namespace
    preset: Preset
    changed: dict[str, list[str]]
    """The fields that each table of the configuration file sets."""


def add_sampling_options(parser: Parser) -> None:
    """How a fully sampled volume is undersampled. A file with a mask of its own is taken as it is."""
    group = parser.add_argument_group("undersampling of fully sampled volumes (fastMRI's mask definitions)")
    group.add_argument("--acceleration", type=float, default=4.0, help="keep one line in N (default %(default)g)")
    group.add_argument(
        "--center-fraction", type=float, default=0.08, help="fully sampled central fraction (default %(default)g)"
    )
    group.add_argument("--mask", choices=ALL_KINDS, default="equispaced", help="kind of mask (default %(default)s)")


def add_running_options(parser: Parser) -> None:
    """Seed, device, preset, threads and so on."""
    group = parser.add_argument_group("running")
    group.add_argument(
        "--preset",
        choices=list(PRESETS),
        default="balanced",
        help="which network is used, in which form, and how long it is fitted (default %(default)s)",
    )
    group.add_argument("--slices", type=slice_range, default=slice(None), metavar="A:B", help="do only these slices")
    group.add_argument(
        "--seed", type=int, default=0, help="the seed of masks, networks and splits (default %(default)s)"
    )
    group.add_argument(
        "--device", default="auto", help="where to compute: auto, cpu, cuda or cuda:N (default %(default)s)"
    )
    group.add_argument(
        "--precision",
        choices=["auto", "float32", "bfloat16"],
        help="the arithmetic of the network; auto is bfloat16 where the device has it (default: the preset's)",
    )
    group.add_argument("--threads", type=int, help="how many CPU threads are used (default: one a free core)")
    group.add_argument(
        "--config",
        type=Path,
        metavar="F.toml",
        help="options by name, and tables [network], [model], [train], [adapt], [alone]",
    )
    group.add_argument(
        "--follow-links",
        action="store_true",
        help="also read what scans, maps and noise scans keep in other files of the same folder (default: refuse it)",
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


def parse(parser: Parser, argv: Sequence[str] | None) -> Parsed:
    """Parse the command line over the configuration file, and build the preset that both ask for."""
    first, _ = _config_parser().parse_known_args(argv)
    tables: dict[str, dict[str, Any]] = {}
    if first.config is not None:
        plain, tables = split_tables(first.config, read_config(first.config))
        _set_defaults(parser, first.config, plain)
    arguments = parser.parse_args(argv)
    if arguments.threads is not None and not 1 <= arguments.threads <= 1024:
        raise InputError(f"--threads: expected 1 to 1024, got {arguments.threads}")
    check_seed(arguments.seed)
    check_acceleration(arguments.acceleration)
    check_center_fraction(arguments.center_fraction)
    preset = configured_preset(arguments.preset, tables, arguments.seed, arguments.precision)
    check_scans(arguments.scans)
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", arguments.device):
        raise InputError(f"--device: expected auto, cpu, cuda or cuda:N, got {arguments.device!r}")
    return Parsed(arguments, preset, {table: list(fields) for table, fields in tables.items()})


def check_scans(paths: Sequence[Path]) -> None:
    """InputError for a file that is not there, or is none."""
    for path in paths:
        require_regular_file(path, "an HDF5 file")


def set_threads(arguments: argparse.Namespace) -> None:
    """As --threads says, else as `commands.threads` does; imports torch, which takes a second."""
    take_threads(arguments.threads, quiet=arguments.json)


def sampling_of(arguments: argparse.Namespace) -> Any:
    """The Sampling that the options describe."""
    from ugodit.data.sampling import Sampling

    return Sampling(arguments.mask, arguments.acceleration, arguments.center_fraction, arguments.seed)


def _config_parser() -> Parser:
    parser = Parser(add_help=False)
    parser.add_argument("--config", type=Path)
    return parser


def _set_defaults(parser: Parser, path: Path, plain: dict[str, Any]) -> None:
    """Options of the command, by their names, from the configuration file."""
    actions = {action.dest: action for action in parser._actions if action.option_strings}
    for name, value in plain.items():
        option = "--" + name.replace("_", "-")
        if option in EARLIER_OPTIONS and EARLIER_OPTIONS[option] in parser._option_string_actions:
            print(f"{path}: {name} is called {EARLIER_OPTIONS[option][2:]} now", file=sys.stderr)
            option = EARLIER_OPTIONS[option]
        key = option[2:].replace("-", "_")
        action = actions.get(key)
        if action is None or key in ("help", "config"):
            known = sorted(set(actions) - {"help", "config"})
            guess = did_you_mean(key, known)
            raise InputError(f"--config: {path}: {name}: unknown option{guess}; expected one of {', '.join(known)}")
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
