"""What `ugodit reconstruct` does with one volume: slices into a store, and from there into the volume's files."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ugodit.commands.coil_plans import (
    coil_plan,
    maps_target,
    prepare_to_write_maps,
    write_maps_one_by_one,
    written_maps,
)
from ugodit.commands.options import sampling_of
from ugodit.commands.parser import seconds_so_far
from ugodit.commands.progress import ProgressObserver
from ugodit.errors import InputError
from ugodit.evaluation import metrics
from ugodit.evaluation.pictures import reconstruction_picture
from ugodit.io.atomic import remove_left_over
from ugodit.reconstruction.volumes import WAIT, Part, VolumeRun

if TYPE_CHECKING:
    from ugodit.data.volume import VolumeSlices
    from ugodit.reconstruction.reconstructor import Reconstructor
    from ugodit.reconstruction.result import Result
    from ugodit.reconstruction.slice_store import SliceStore
    from ugodit.reconstruction.written import Written

Rows = list[dict[str, Any]]


def reconstruct_volume(
    slices: VolumeSlices, reconstructor: Reconstructor, arguments: argparse.Namespace, out: Path
) -> Rows:
    """The files of one volume, and its rows of the table; no rows where another process writes the files."""
    began = seconds_so_far()
    name = slices.volume.name
    maps_path = maps_target(slices.volume, arguments, out)
    prepare_to_write_maps(maps_path)
    run = reconstructor.read(slices, sampling_of(arguments), coil_plan(slices, arguments))
    opened = run.store(arguments.out / f"{name}.slices", with_maps=maps_path is not None)
    if not arguments.overwrite and _is_done(run, out, maps_path):
        opened.remove_left_over(slices.indices)
        _make_up_picture(run, out)
        _say(name, "already done with these settings, skipped; --overwrite does it again")
        return []
    observer = ProgressObserver(quiet=arguments.json or arguments.rank > 0, json_lines=arguments.json)
    with opened as store:
        if not arguments.overwrite:
            if _is_done(run, out, maps_path):  # by another process, since we looked
                _say(name, "another process has just done it with these settings")
                return []
            if maps_path is None:
                run.skip(run.done_in(out))
        if store.is_alone():
            _remove_half_written(arguments.out, maps_path)
        if store.message:
            _say(name, store.message)
        missing = _fit(run, store, observer, arguments.part or (1, 1), maps_path is not None)
        if missing:
            return []
        return _files(run, store, arguments, out, maps_path, began)


def _fit(run: VolumeRun, store: SliceStore, observer: ProgressObserver, part: Part, with_maps: bool) -> int:
    """Put the slices of this part into the store; how many slices of other parts are missing then."""
    name = run.slices.volume.name
    try:
        run.fit(store, observer, part, with_maps=with_maps)
        while part == (1, 1) and run.missing(store):  # slices of another process that are gone again
            run.fit(store, observer, with_maps=with_maps)
    except KeyboardInterrupt:
        observer.end()
        kept = sum(store.is_there(index) for index in run.slices.indices)
        where = f"slices are kept in {store.folder}; the same command goes on from there"
        _say(name, f"{kept} of {len(run.slices)} {where}" if kept else "no slice was finished")
        raise
    finally:
        observer.end()
    missing = run.missing(store)
    if missing:
        which, parts = part
        _say(name, f"part {which} of {parts} is done; {missing} slices of other parts are missing still")
    return missing


def _remove_half_written(out: Path, maps_path: Path | None) -> None:
    """What a process had in hand when it was killed."""
    for folder in {out, out / "maps", out if maps_path is None else maps_path.parent}:
        remove_left_over(folder)


def _is_done(run: VolumeRun, out: Path, maps_path: Path | None) -> bool:
    if maps_path is not None and maps_path.exists():
        maps = written_maps(maps_path, run.slices)
        if maps is not None and not set(run.slices.indices) <= set(maps.places):
            return False
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
    earlier = _earlier(run, out, arguments.overwrite)
    lost = set(run.slices.indices) - set(indices) - set(() if earlier is None else earlier.slices)
    if lost:
        raise InputError(f"{out}: slice {min(lost)} is neither in it nor in {store.folder}; give the command again")
    result = run.result(store, indices)
    _draw(result, out)
    if maps_path is not None:
        add = earlier is not None

        def read(index: int) -> Tensor:
            return torch.as_tensor(store.read(index).maps)

        write_maps_one_by_one(maps_path, run.slices, indices, read, add=add)
    times = {"seconds_before": before, "seconds_files": time.perf_counter() - began}
    if run.job.own_group:
        times["seconds_prior"] = run.seconds_prior
    result.add_to(earlier, out, **times)
    store.remove(indices)
    return _rows(result)


def _earlier(run: VolumeRun, out: Path, overwrite: bool) -> Written | None:
    """The slices of an earlier run, or of another process, that these are added to."""
    try:
        return run.found_at(out)
    except InputError:
        if not overwrite:
            raise
        return None


def _draw(result: Result, out: Path) -> None:
    """The picture of the middle slice."""
    middle = len(result.slices) // 2
    reconstruction_picture(
        out.with_suffix(".png"),
        result.images[middle],
        {name: images[middle] for name, images in result.baselines.items() if middle in images},
        target=None if result.targets is None else result.targets[middle],
        maximum=result.maximum,
    )


def _make_up_picture(run: VolumeRun, out: Path) -> None:
    """The picture of a volume that is done, where it is missing."""
    written = run.found_at(out)
    if written is None or out.with_suffix(".png").exists():
        return
    index = run.slices.indices[len(run.slices) // 2]
    image = written.arrays["reconstruction"][written.slices.index(index)]
    target = run.slices.volume.scan(index).target
    reconstruction_picture(
        out.with_suffix(".png"),
        image,
        run.baselines_of(index),
        target=None if target is None else target.numpy(),
        maximum=None if target is None else run.slices.volume.target_maximum(),
    )


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
