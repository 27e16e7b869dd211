"""The options --maps, --write-maps, --prewhiten and --compress, and those of the maps' cache."""

from __future__ import annotations

import argparse
from pathlib import Path

from ugodit.commands.parser import Parser


def add_coil_options(parser: Parser) -> None:
    """How the coils are treated before anything else, in this order."""
    group = parser.add_argument_group("coils: prewhiten, find sensitivity maps, compress")
    group.add_argument(
        "--prewhiten",
        type=Path,
        metavar="outer|NOISE",
        help="whiten the coils' noise: `outer` learns it from the outer samples of k-space, NOISE.h5 or NOISE.cfl is a "
        "noise scan (default: not at all)",
    )
    group.add_argument(
        "--compress",
        type=_size,
        metavar="K|FRACTION",
        help="combine the coils into K virtual ones, or as many as keep this fraction of the energy, such as 0.95 "
        "(default: not at all)",
    )
    group.add_argument(
        "--compress-method",
        choices=["svd", "geometric"],
        default="svd",
        help="one combination, or one for each readout position (default %(default)s)",
    )
    group.add_argument(
        "--maps",
        type=Path,
        metavar="PATH",
        help="sensitivity maps in place of ESPIRiT's: NAME.h5, BART's NAME.cfl, or a folder with one for each scan",
    )
    group.add_argument(
        "--write-maps",
        type=Path,
        metavar="PATH",
        help="write the maps that were used: a name that ends in .h5 or .cfl, or a folder for a NAME.h5 for each scan",
    )


def add_cache_options(parser: Parser, default: str) -> None:
    """Where sensitivity maps are kept for the next run. default: where they are without the option."""
    parser.add_argument(
        "--maps-cache",
        type=Path,
        metavar="DIR|off",
        help=f"keep sensitivity maps in this folder, for runs to come (default: {default})",
    )
    parser.add_argument(
        "--maps-cache-size",
        type=float,
        default=10.0,
        metavar="GB",
        help="how large that folder may grow; the maps that were not used for longest go first (default %(default)g)",
    )


def _size(text: str) -> int | float:
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    if text.count(".") == 1 and text.replace(".", "").isdecimal() and 0 < float(text) <= 1:
        return float(text)
    raise argparse.ArgumentTypeError(f"expected a number of coils from 1, or a fraction up to 1.0, got {text!r}")
