"""What the options --maps, --write-maps, --prewhiten and --compress mean for one volume."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor

import ugodit
from ugodit.calibration.cache import MapsCache
from ugodit.calibration.pipeline import CoilPlan, Noise
from ugodit.data.volume import Volume, VolumeSlices, location
from ugodit.errors import InputError, OutputError, named
from ugodit.io.atomic import check_writable
from ugodit.io.maps import HDF5, MapsFile, open_maps
from ugodit.io.reconstructions import read_attributes
from ugodit.io.stacked_maps import write_stacked_maps


def coil_plan(slices: VolumeSlices, arguments: argparse.Namespace) -> CoilPlan:
    """What the options ask of this volume's coils: all that can be told without reading k-space.

    Raises InputError, which names the option, for files that are not there or do not fit the volume.
    """
    coils, size = slices.volume.shape[1], arguments.compress
    if isinstance(size, int) and size > coils:
        raise InputError(f"--compress: {location(slices.volume)}: expected from 1 to its {coils} coils, got {size}")
    maps = _maps(slices, arguments)
    noise = _noise(slices.volume, arguments.prewhiten, arguments.follow_links)
    return CoilPlan(noise, size, arguments.compress_method, maps)


def maps_cache(arguments: argparse.Namespace, default: Path | None) -> MapsCache | None:
    """What --maps-cache and --maps-cache-size ask for; by default a cache in the folder `default`."""
    folder: Path | None = arguments.maps_cache or default
    if folder is None or str(folder) == "off":
        return None
    return MapsCache(folder, arguments.maps_cache_size)


def _noise(volume: Volume, asked: Path | None, follow_links: bool) -> Literal["outer"] | Noise | None:
    if asked is None or str(asked) == "outer":
        return "outer" if asked else None
    with named("--prewhiten"):
        noise = Noise.read(asked, follow_links=follow_links)
    found = noise.samples.shape[0]
    if found != volume.shape[1]:
        raise InputError(
            f"--prewhiten: {asked}: expected noise of the {volume.shape[1]} coils of {location(volume)}, got {found} "
            "coils; give a noise scan of the same coils"
        )
    return noise


def _maps(slices: VolumeSlices, arguments: argparse.Namespace) -> MapsFile | None:
    volume = slices.volume
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
        file = open_maps(path, volume.shape, slices.indices, follow_links=arguments.follow_links)
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
        if os.path.realpath(path) == os.path.realpath(taken):
            raise InputError(f"--write-maps: {path}: {taken} is or will be there; choose another folder")
    return path


class MapsToWrite:
    """The maps that were used for a volume's slices, for --write-maps; nothing where no path was given."""

    def __init__(self, path: Path | None, slices: VolumeSlices) -> None:
        self.path, self.slices = path, slices
        self.maps: list[Tensor] = []

    def on_maps(self, maps: Tensor) -> None:
        """Remember the maps (C, H, W) of the next slice."""
        if self.path is not None:
            self.maps.append(maps)

    def write(self) -> None:
        """Write them, for --maps, other programs, and `read_maps`. InputError where that is not possible."""
        if self.path is not None:
            prepare_to_write_maps(self.path)
            found = dict(zip(self.slices.indices, self.maps, strict=True))
            write_maps_one_by_one(self.path, self.slices, self.slices.indices, found.__getitem__)
            self.maps.clear()


def write_maps_one_by_one(
    path: Path, slices: VolumeSlices, indices: Sequence[int], read: Callable[[int], Tensor], *, add: bool = False
) -> None:
    """Write the maps (C, H, W) of these slices for --maps, other programs, and `read_maps`; one at a time in memory.

    read: gives a slice's maps. add: those of other slices that an earlier run wrote there stay.
    """
    earlier = written_maps(path, slices) if add else None
    kept = set() if earlier is None else set(earlier.places) - set(indices)
    every = sorted({*indices, *kept})
    maps = (earlier.read(index) if earlier is not None and index in kept else read(index) for index in every)
    about = {"scan": slices.volume.name, "slices": np.asarray(every), "version": ugodit.__version__}
    write_stacked_maps(path, (len(every), *slices.volume.shape[1:]), maps, about)


def prepare_to_write_maps(path: Path | None) -> None:
    """Make the folder that --write-maps asks for, and try it. OutputError where maps could not be written."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"--write-maps: {path.parent}: cannot be made a folder: {error.strerror}") from error
    with named("--write-maps"):
        check_writable(path)


def written_maps(path: Path, slices: VolumeSlices) -> MapsFile | None:
    """The maps that an earlier run wrote there of slices of this volume; None for anything else."""
    try:
        about = read_attributes(path)
        listed = about.get("slices")
        if about.get("scan") != slices.volume.name or not isinstance(listed, list):
            return None
        return open_maps(path, slices.volume.shape, listed)
    except InputError:
        return None
