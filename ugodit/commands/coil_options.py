"""What the options --maps, --write-maps, --prewhiten and --compress mean for one volume."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

import ugodit
from ugodit.calibration.pipeline import CoilPlan, Noise, named
from ugodit.commands.parser import Parser
from ugodit.errors import InputError
from ugodit.io.fastmri import Volume
from ugodit.io.maps import HDF5, MapsFile, open_maps, write_maps
from ugodit.reconstruction.preparation import undersampled


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


def _size(text: str) -> int | float:
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    if text.count(".") == 1 and text.replace(".", "").isdecimal() and 0 < float(text) <= 1:
        return float(text)
    raise argparse.ArgumentTypeError(f"expected a number of coils from 1, or a fraction up to 1.0, got {text!r}")


def check_coil_options(volume: Volume, indices: Sequence[int], arguments: argparse.Namespace) -> CoilPlan:
    """`coil_plan`, but for the number of virtual coils: all that can be told without reading k-space."""
    coils, size = volume.shape[1], arguments.compress
    if isinstance(size, int) and size > coils:
        raise InputError(f"--compress: {volume.path}: expected from 1 to its {coils} coils, got {size}")
    maps = _maps(volume, indices, arguments)
    return CoilPlan(_noise(volume, arguments.prewhiten), None, arguments.compress_method, maps)


def coil_plan(volume: Volume, indices: Sequence[int], arguments: argparse.Namespace) -> CoilPlan:
    """What the options ask of this volume's coils.

    A fraction of the energy becomes a number of coils here, the largest that a slice needs: all slices are read for it.
    Raises InputError, which names the option, for files that are not there or do not fit the volume.
    """
    plan = check_coil_options(volume, indices, arguments)
    size = arguments.compress
    if isinstance(size, float):
        needed = 1
        for index in indices:
            with named(f"{volume.path}: slice {index}"):
                needed = max(needed, plan.coils_for_energy(undersampled(volume.scan(index), arguments), size))
        size = needed
    return dataclasses.replace(plan, virtual_coils=size)


def _noise(volume: Volume, asked: Path | None) -> Literal["outer"] | Noise | None:
    if asked is None or str(asked) == "outer":
        return "outer" if asked else None
    with named("--prewhiten"):
        noise = Noise.read(asked)
    found = noise.samples.shape[0]
    if found != volume.shape[1]:
        raise InputError(
            f"--prewhiten: {asked}: expected noise of the {volume.shape[1]} coils of {volume.path}, got {found} coils; "
            "give a noise scan of the same coils"
        )
    return noise


def _maps(volume: Volume, indices: Sequence[int], arguments: argparse.Namespace) -> MapsFile | None:
    path: Path | None = arguments.maps
    if path is None:
        return None
    if path.is_dir():
        there = [file for file in (path / f"{volume.name}.h5", path / f"{volume.name}.cfl") if file.exists()]
        if len(there) != 1:
            found = "both" if there else "neither"
            raise InputError(
                f"--maps: {path}: expected {volume.name}.h5 or {volume.name}.cfl in this folder, found {found}; "
                f"{'remove one of them' if there else 'write one with --write-maps, or name a file'}"
            )
        path = there[0]
    elif len(arguments.scans) > 1:
        raise InputError(
            f"--maps: {path}: expected a folder with NAME.h5 or NAME.cfl for each of {len(arguments.scans)} scans, got "
            "one file; do the scans one by one, or put their maps into a folder"
        )
    with named("--maps"):
        file = open_maps(path, volume.shape, indices)
    if file.sets > 1:
        raise InputError(
            f"--maps: {path}: expected one set of maps a slice, got {file.sets}, which networks cannot take; give the "
            "first alone (ecalib -m1), or reconstruct with SenseOperator from Python"
        )
    return file


def maps_target(volume: Volume, arguments: argparse.Namespace, *results: Path) -> Path | None:
    """Where --write-maps asks for this volume's maps; InputError where that is taken, by a scan or one of `results`."""
    path: Path | None = arguments.write_maps
    if path is None:
        return None
    if path.suffix in (*HDF5, ".cfl") and not path.is_dir():
        if len(arguments.scans) > 1:
            raise InputError(
                f"--write-maps: {path}: expected a folder for the maps of {len(arguments.scans)} scans, got "
                "the name of one file"
            )
    elif path.suffix and not path.is_dir():
        raise InputError(
            f"--write-maps: {path}: expected a name that ends in .h5 or .cfl, or a folder without a suffix, got "
            f"{path.suffix}; choose another name"
        )
    else:
        path = path / f"{volume.name}.h5"
    for taken in (*arguments.scans, *results):
        if path.resolve() == taken.resolve():
            raise InputError(f"--write-maps: {path}: {taken} is or will be there; choose another folder")
    return path


def write_volume_maps(path: Path, maps: Sequence[Tensor], volume: Volume, indices: Sequence[int]) -> None:
    """Write maps (C, H, W) of these slices for --maps, other programs, and `read_maps`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--write-maps: {path.parent}: cannot be made a folder: {error.strerror}") from error
    about = {"scan": volume.name, "slices": np.asarray(indices), "version": ugodit.__version__}
    write_maps(path, torch.stack(list(maps)), about)
