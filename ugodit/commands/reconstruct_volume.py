"""What `ugodit reconstruct` does with one volume: slices into a store, and from there into the volume's files."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ugodit.commands.coil_plans import coil_plan, make_folder_of_maps, maps_target, write_maps_one_by_one
from ugodit.commands.options import sampling_of
from ugodit.commands.parser import seconds_so_far
from ugodit.commands.progress import ProgressObserver
from ugodit.evaluation import metrics
from ugodit.evaluation.pictures import reconstruction_picture
from ugodit.io.atomic import remove_left_over
from ugodit.reconstruction.volumes import WAIT, VolumeRun

if TYPE_CHECKING:
    from ugodit.data.volume import VolumeSlices
    from ugodit.reconstruction.reconstructor import Reconstructor
    from ugodit.reconstruction.result import Result
    from ugodit.reconstruction.slice_store import SliceStore

Rows = list[dict[str, Any]]


def reconstruct_volume(
    slices: VolumeSlices, reconstructor: Reconstructor, arguments: argparse.Namespace, out: Path
) -> Rows:
    """The files of one volume, and its rows of the table; no rows where another process writes the files."""
    began = seconds_so_far()
    name = slices.volume.name
    maps_path = maps_target(slices.volume, arguments, out)
    make_folder_of_maps(maps_path)
    run = reconstructor.read(slices, sampling_of(arguments), coil_plan(slices, arguments))
    opened = run.store(arguments.out / f"{name}.slices", with_maps=maps_path is not None)
    if not arguments.overwrite and _is_done(run, out, maps_path):
        opened.remove_left_over(slices.indices)
        _say(name, "already done with these settings, skipped; --overwrite does it again")
        return []
    observer = ProgressObserver(quiet=arguments.json or arguments.rank > 0, json_lines=arguments.json)
    with opened as store:
        if not arguments.overwrite and _is_done(run, out, maps_path):  # by another process, since we looked
            _say(name, "another process has just done it with these settings")
            return []
        if store.is_alone():
            _remove_half_written(arguments.out, maps_path)
        if store.message:
            _say(name, store.message)
        try:
            run.fit(store, observer, arguments.part or (1, 1), with_maps=maps_path is not None)
            while arguments.part is None and run.missing(store):  # slices of another process that are gone again
                run.fit(store, observer, with_maps=maps_path is not None)
        except KeyboardInterrupt:
            observer.end()
            kept = len(slices) - run.missing(store)
            _say(
                name, f"{kept} of {len(slices)} slices are kept in {store.folder}; the same command goes on from there"
            )
            raise
        finally:
            observer.end()
        missing = run.missing(store)
        if missing:
            which, parts = arguments.part
            _say(name, f"part {which} of {parts} is done; {missing} slices of other parts are missing still")
            return []
        return _files(run, store, arguments, out, maps_path, began)


def _remove_half_written(out: Path, maps_path: Path | None) -> None:
    """What a process had in hand when it was killed."""
    for folder in {out, out / "maps", out if maps_path is None else maps_path.parent}:
        remove_left_over(folder)


def _is_done(run: VolumeRun, out: Path, maps_path: Path | None) -> bool:
    return run.is_done(out) and (maps_path is None or maps_path.exists())


def _files(
    run: VolumeRun, store: SliceStore, arguments: argparse.Namespace, out: Path, maps_path: Path | None, before: float
) -> Rows:
    """Write the volume's files from the store, unless another process has done so."""
    while not store.claim("files"):
        time.sleep(WAIT)
    began = time.perf_counter()
    indices = [index for index in run.slices.indices if store.is_there(index)]
    if not indices:
        _say(run.slices.volume.name, "written by another process")
        return []
    result = run.result(store, indices)
    middle = len(result.slices) // 2
    reconstruction_picture(
        out.with_suffix(".png"),
        result.images[middle],
        {name: images[middle] for name, images in result.baselines.items() if middle in images},
        target=None if result.targets is None else result.targets[middle],
        maximum=result.maximum,
    )
    if maps_path is not None:
        maps = (torch.from_numpy(store.read(index).maps) for index in indices)
        write_maps_one_by_one(maps_path, run.slices, indices, maps)
    earlier = None if arguments.overwrite else run.found_at(out)
    files = time.perf_counter() - began
    result.add_to(earlier, out, seconds_before=before, seconds_files=files)
    store.remove(indices)
    return _rows(result)


def _say(name: str, text: str) -> None:
    print(f"{name}: {text}", file=sys.stderr, flush=True)


def _rows(result: Result) -> Rows:
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
