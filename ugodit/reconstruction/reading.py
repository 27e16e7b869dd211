"""The slices of a volume on their way to a fit: checked before the first, then read a batch ahead, and prepared."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugodit.calibration.cache import MapsCache
from ugodit.calibration.pipeline import CoilPlan
from ugodit.calibration.region import calibration_data
from ugodit.data.sampling import Sampling
from ugodit.data.scan import Scan
from ugodit.data.volume import VolumeSlices, location
from ugodit.errors import InputError, named
from ugodit.fit.fit_config import FitConfig
from ugodit.fit.model_config import ModelConfig
from ugodit.reconstruction.preparation import Prepared, have_rows_alike, prepare

Scans = list[tuple[int, Scan]]
"""Scans, with the slice of the volume that each is."""


class VolumeReader:
    """Reads and undersamples the slices of a volume, one by one, when they are asked for."""

    def __init__(self, slices: VolumeSlices, sampling: Sampling | None, coils: CoilPlan) -> None:
        """InputError for whatever can be found wrong without reading samples.

        A fraction of the energy that the coils are to keep is the one thing that needs all slices beforehand: they are
        read twice then, the first time for the number of virtual coils.
        """
        self.slices, self.sampling = slices, sampling
        self.source = _state_of(slices.volume.path)
        """The file that is read, in its state now; "" for scans in memory."""
        self.digests: dict[int, str] = {}
        """Of the slices that were read."""
        if slices.volume.mask is None and sampling is None:
            raise InputError(
                f"{location(slices.volume, slices.indices[0])}: `sampling`: expected how to undersample a fully "
                "sampled scan, got None; give Sampling(acceleration=4), say, or a scan with its mask"
            )
        needed: list[int | None] = []
        for index in slices.indices if coils.needs_all_slices else ():
            with named(location(slices.volume, index)):
                needed.append(coils.coils_for(self.take(index)))
        self.coils = coils.with_coils(needed)
        """The plan with a number of virtual coils in place of a fraction of the energy."""

    def take(self, index: int, number: int = 0) -> Scan:
        """Read a slice, undersampled by `sampling.varied(number)`. InputError where it cannot be read."""
        scan = self.slices.volume.scan(index)
        if self.sampling is not None:
            scan = self.sampling.varied(number).apply(scan)
        self.digests[index] = scan.digest()
        return scan

    def digest(self, index: int) -> str:
        """`Scan.digest()` of a slice, which is read if it was not before."""
        if index not in self.digests:
            self.take(index)
        return self.digests[index]


def check_samples(
    slices: VolumeSlices, coils: CoilPlan, sampling: Sampling | None, share: tuple[int, int] = (1, 1)
) -> None:
    """InputError for NaN, say, in one of these slices, so that it is known before the first of them is fitted.

    One pass over what a file holds, a slice at a time, and over its maps; scans in memory are checked already.

    Args:
        slices: are read.
        coils: where their maps come from.
        sampling: how they are undersampled, if they are not.
        share: (which, of how many), from 1: look at every N-th slice only, as others look at the rest.
    """
    which, shares = share
    for index in slices.indices[which - 1 :: shares] if slices.volume.path is not None else ():
        scan = slices.volume.scan(index)
        with named(location(slices.volume, index)):
            if coils.maps:
                coils.maps.read(index)
            elif scan.maps is None:
                scan = scan if sampling is None else sampling.apply(scan)
                calibration_data(scan.kspace[None], None, scan.mask)


def _state_of(path: Path | None) -> str:
    """What tells a file from what may be under its name later."""
    if path is None:
        return ""
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    # Whoever edits a file can set the time of its modification back, but not that of its inode.
    return f"{path.name} {state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}"


@dataclass(frozen=True)
class PreparedBatch:
    """Slices that are fitted together."""

    slices: list[Prepared]
    maps: list[NDArray[np.complex64]] | None
    """complex64 (C, H, W) of the scans' own coils, where they were asked for."""


class BatchPreparation:
    """Prepares batches; a thread of its own reads the next one while this one is fitted."""

    def __init__(
        self,
        reader: VolumeReader,
        fits: Sequence[tuple[ModelConfig, FitConfig]],
        *,
        device: torch.device,
        cache: MapsCache | None = None,
        with_maps: bool = False,
    ) -> None:
        self.reader, self.fits = reader, fits
        self.device, self.cache, self.with_maps = device, cache, with_maps
        self._stopped = False
        self._thread = ThreadPoolExecutor(1, "ugodit-reading")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True  # The thread ends after the slice that it is at.
        self._thread.shutdown(wait=error is None, cancel_futures=True)

    def begin(self, indices: Sequence[int]) -> Future[Scans]:
        """Read these slices soon. Their preparation is `finish`'s, in the caller's thread."""
        return self._thread.submit(self._read, indices)

    def finish(self, reading: Future[Scans]) -> PreparedBatch:
        """The slices of `begin`, prepared. InputError for what is wrong with one of them."""
        return self._prepare(reading.result())

    def _read(self, indices: Sequence[int]) -> Scans:
        return [(index, self.reader.take(index)) for index in indices if not self._stopped]

    def _prepare(self, scans: Scans) -> PreparedBatch:
        volume = self.reader.slices.volume
        masks = [scan.mask for _, scan in scans if scan.mask is not None]
        if len({mask.ndim for mask in masks}) > 1:
            raise InputError(
                f"{location(volume, scans[0][0])}: mask: expected one kind for all slices of a batch, "
                "(phase encode,) or (readout, phase encode), got both; reconstruct them one by one"
            )
        maps: list[NDArray[np.complex64]] = []

        def keep(found: Tensor) -> None:
            maps.append(found.numpy())

        slices = []
        while scans:  # A scan is let go of when it is prepared.
            index, scan = scans.pop(0)
            where = location(volume, index)
            prepared = prepare(
                scan,
                self.reader.coils,
                device=self.device,
                cache=self.cache,
                digest=self.reader.digests[index],
                along_width=all(map(have_rows_alike, masks)),
                on_maps=keep if self.with_maps else None,
                where=where,
            )
            with named(where):
                for form, config in self.fits:
                    check_splits(prepared, form, config)
            slices.append(prepared)
        return PreparedBatch(slices, maps if self.with_maps else None)


def check_splits(prepared: Prepared, form: ModelConfig, config: FitConfig) -> None:
    """InputError where too little was measured to be held out and split as the configurations ask."""
    operator = prepared.operator
    generator = torch.Generator().manual_seed(config.seed)
    if config.held_out:
        operator = operator.split(config.held_out, generator)[0]
    if form.splitting == "random":
        operator.split(form.loss_fraction, generator)
