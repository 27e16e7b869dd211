"""A volume from slices to result: batch by batch, each finished slice safe in a store, shared with other processes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch

import ugodit
from ugodit.calibration.cache import MapsCache
from ugodit.data.volume import VolumeSlices
from ugodit.errors import InputError
from ugodit.kernels.execution import execution_record
from ugodit.reconstruction.baselines import BASELINES
from ugodit.reconstruction.finished_slice import FinishedSlice
from ugodit.reconstruction.job import Job
from ugodit.reconstruction.observer import Observer
from ugodit.reconstruction.own_group import group_of, own_prior
from ugodit.reconstruction.pipeline import reconstruct_batch
from ugodit.reconstruction.preparation import Prepared
from ugodit.reconstruction.reading import BatchPreparation, PreparedBatch, Scans, VolumeReader, check_samples
from ugodit.reconstruction.result import Result
from ugodit.reconstruction.slice_store import SliceStore
from ugodit.reconstruction.store import Store
from ugodit.reconstruction.written import Written, read_written

WAIT = 0.25
"""Seconds between two looks at what other processes have done."""

Batch = tuple[int, ...]
"""Slices that are fitted together."""

Part = tuple[int, int]
"""(which, of how many), from 1: a process that does every N-th batch only."""


class VolumeRun:
    """The reconstruction of a volume: what it depends on is known, its slices are read when their turn comes."""

    def __init__(self, job: Job, reader: VolumeReader, device: torch.device, maps_cache: MapsCache | None) -> None:
        self.job = dataclasses.replace(job, coils=reader.coils)
        self.reader, self.device, self.maps_cache = reader, device, maps_cache
        self.settings: dict[str, Any] = {**self.job.record(), "version": ugodit.__version__}
        if job.own_group:
            self.settings["group"] = list(group_of(reader.slices).indices)
        """Everything that the images depend on beside the measurements, as values that JSON knows."""
        self.skipped: frozenset[int] = frozenset()
        """Slices that are in the volume's file already."""
        self.seconds_prior = 0.0
        """What training the volume's own prior took, or waiting for another process that does."""

    @property
    def slices(self) -> VolumeSlices:
        """Those that were asked for."""
        return self.reader.slices

    def found_at(self, path: Path) -> Written | None:
        """The file of an earlier run, where it holds slices of this volume with these settings; None for none.

        Raises:
            InputError: it does, but it is damaged; or it holds slices with other settings which this run would not make
                anew: they would be lost.
        """
        written = read_written(path)
        if written is None:
            return None
        if written.settings != self.settings:
            lost = sorted(set(written.slices) - set(self.slices.indices))
            if lost:
                raise InputError(
                    f"{path}: holds slices {_ranges(lost)} of other settings ({written.changed(self.settings)}), which "
                    "would be lost; choose another folder, or --overwrite"
                )
            return None
        return written

    def done_in(self, path: Path) -> frozenset[int]:
        """The slices that the file holds of this very reconstruction: the same measurements with the same settings.

        InputError as for `found_at`.
        """
        written = self.found_at(path)
        known = {} if written is None else written.measurements
        return frozenset(
            index for index in self.slices.indices if index in known and self.reader.digest(index) == known[index]
        )

    def is_done(self, path: Path) -> bool:
        """Whether the file holds all of this very reconstruction. InputError as for `found_at`."""
        return len(self.done_in(path)) == len(self.slices)

    def skip(self, done: frozenset[int]) -> None:
        """Do not fit these again. Where slices are fitted in batches all are: who is in a batch changes its images."""
        self.skipped = done if self.job.batch == 1 else frozenset()

    def store(self, folder: Path, *, with_maps: bool = False, **options: Any) -> SliceStore:
        """A store on disk for this volume's slices; options as for `SliceStore`."""
        settings = {**self.settings, "shape": list(self.slices.volume.shape)}
        reader = self.reader
        return SliceStore(folder, settings, source=reader.source, digest=reader.digest, with_maps=with_maps, **options)

    def reconstruct(self, observer: Observer, store: Store) -> Result:
        """The result of all slices, those in the opened store among them."""
        check_samples(self.slices, self.job.coils, self.job.sampling)
        self.fit(store, observer)
        return self.result(store)

    def fit(self, store: Store, observer: Observer, part: Part = (1, 1), *, with_maps: bool = False) -> None:
        """Fit all slices that are not in the store, except those that another process does at the same time.

        Returns when all slices of the part are in the store.

        Args:
            store: opened.
            observer: is told of every fit and every slice.
            part: this process does every N-th batch only.
            with_maps: the maps go into the store too.
        """
        todo = [batch for batch in self._batches(part) if not self._is_in(store, batch)]
        began = time.perf_counter()
        if todo and self.job.own_group and self.job.prior is None:
            prior = own_prior(self.slices, self.job, self.device, self.maps_cache, store, observer)
            self.job = dataclasses.replace(self.job, prior=prior)
        last = time.perf_counter()
        self.seconds_prior += last - began
        observer.begin(self.slices.volume.name, sum(map(len, self._batches(part))))
        with BatchPreparation(
            self.reader, self.job.fits(), device=self.device, cache=self.maps_cache, with_maps=with_maps
        ) as preparation:
            following: tuple[Batch, Future[Scans]] | None = None
            while todo or following:
                todo = [batch for batch in todo if not self._is_in(store, batch)]
                observer.progress(self._finished(store, part))
                if following is None:
                    following = self._begin_next(store, todo, preparation)
                if following is None:
                    time.sleep(WAIT)  # Others are at work on all that is left.
                    last = time.perf_counter()
                    continue
                batch, reading = following
                todo = [one for one in todo if one != batch]
                spare = len(todo) > store.workers() - 1  # Read ahead, unless others would wait for what is read.
                following = self._begin_next(store, todo, preparation) if spare else None
                done = self._fit_batch(batch, preparation.finish(reading), observer, last)
                last = time.perf_counter()  # Writing them counts for the next.
                for finished in done:
                    store.write(finished)
                    observer.finished(finished)
                store.release(_work(batch))
        observer.progress(self._finished(store, part))

    def result(self, store: Store, indices: Sequence[int] | None = None) -> Result:
        """Of all slices, or of these, which are in the store."""
        indices = self.slices.indices if indices is None else indices
        # Maps are written from the store, a slice at a time: those of all slices may be larger than memory.
        finished = [dataclasses.replace(store.read(index), maps=None) for index in indices]
        # fastMRI's definition: the maximum of the whole volume, also where only some slices were asked for.
        compared = all(one.target is not None for one in finished)
        maximum = self.slices.volume.target_maximum() if compared else None
        return Result.of(self.slices.volume.name, indices, finished, maximum, self.settings)

    def _batches(self, part: Part = (1, 1)) -> list[Batch]:
        (which, parts), indices, size = part, self.slices.indices, self.job.batch
        batches = [tuple(indices[first : first + size]) for first in range(0, len(indices), size)]
        return [batch for batch in batches[which - 1 :: parts] if not self.skipped.issuperset(batch)]

    def missing(self, store: Store) -> int:
        """How many slices are not in the store yet."""
        return sum(len(batch) for batch in self._batches() if not self._is_in(store, batch))

    def _is_in(self, store: Store, batch: Batch) -> bool:
        return all(store.has(index, batch) for index in batch)

    def _finished(self, store: Store, part: Part) -> int:
        return sum(len(batch) for batch in self._batches(part) if self._is_in(store, batch))

    def _begin_next(
        self, store: Store, todo: Sequence[Batch], preparation: BatchPreparation
    ) -> tuple[Batch, Future[Scans]] | None:
        """Claim the first batch that nobody has, and begin to read it."""
        for batch in todo:
            if store.claim(_work(batch)):
                if not self._is_in(store, batch):  # Another process may have finished it just now.
                    return batch, preparation.begin(batch)
                store.release(_work(batch))
        return None

    def _fit_batch(
        self, batch: Batch, prepared: PreparedBatch, observer: Observer, began: float
    ) -> list[FinishedSlice]:
        waited = time.perf_counter() - began
        results = reconstruct_batch(prepared.slices, self.job, self._label(batch), observer)
        # What a slice waited for counts in place of what its preparation took: that may have been done meanwhile.
        seconds = [
            one.seconds - slice_.seconds + waited / len(batch)
            for one, slice_ in zip(results, prepared.slices, strict=True)
        ]
        baselines = [self._baselines(index, slice_) for index, slice_ in zip(batch, prepared.slices, strict=True)]
        besides = (time.perf_counter() - began - sum(seconds)) / len(batch)
        execution: dict[str, Any] = {**execution_record(self.device), "device": str(self.device)}
        if self.job.own_group and self.job.prior is not None:
            execution["prior"] = self.job.prior.hash
        return [
            FinishedSlice(
                index=index,
                image=results[place].image,
                mask=results[place].mask,
                stopped=results[place].stopped,
                seconds=seconds[place],
                besides=besides,
                digest=prepared.slices[place].digest,
                uncertainty=results[place].uncertainty,
                prior_mode=results[place].prior_mode,
                target=results[place].target,
                coils=results[place].coils.attributes(),
                baselines=baselines[place],
                together=batch,
                source=self.reader.source,
                execution=execution,
                maps=None if prepared.maps is None else prepared.maps[place],
            )
            for place, index in enumerate(batch)
        ]

    def _baselines(self, index: int, prepared: Prepared) -> dict[str, Any]:
        """Where there is something to compare with, and for the picture of the middle slice."""
        indices = self.slices.indices
        if prepared.target is None and index != indices[len(indices) // 2]:
            return {}
        return {name: compute(prepared) for name, compute in BASELINES.items()}

    def baselines_of(self, index: int) -> dict[str, Any]:
        """The baselines of a slice, made anew, for a picture that is missing."""
        with BatchPreparation(self.reader, [], device=self.device, cache=self.maps_cache) as preparation:
            prepared = preparation.finish(preparation.begin([index])).slices[0]
        return {name: compute(prepared) for name, compute in BASELINES.items()}

    def _label(self, batch: Batch) -> str:
        return f"{self.slices.volume.name} slice {_ranges(batch)}"


def _work(batch: Batch) -> str:
    return f"slices_{batch[0]:04d}"


def _ranges(indices: Sequence[int]) -> str:
    """'7', '3 to 5'"""
    return f"{indices[0]}" + (f" to {indices[-1]}" if len(indices) > 1 else "")
