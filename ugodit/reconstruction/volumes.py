"""A volume from slices to result: the loop over its batches, and whether that was done before."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import ugodit
from ugodit.data.volume import VolumeSlices
from ugodit.errors import InputError
from ugodit.io.reconstructions import read_attributes
from ugodit.reconstruction.job import Job
from ugodit.reconstruction.observer import Observer
from ugodit.reconstruction.pipeline import BASELINES, SliceResult, reconstruct_batch
from ugodit.reconstruction.prepared_volume import PreparedVolume, VolumeReader
from ugodit.reconstruction.result import Result


class VolumeRun:
    """The reconstruction of a volume that was read: its settings are known, its slices are done batch by batch."""

    def __init__(self, job: Job, reader: VolumeReader, device: torch.device, maps_cache: Path | None) -> None:
        self.job = dataclasses.replace(job, coils=reader.coils)
        self.reader, self.device, self.maps_cache = reader, device, maps_cache

    @property
    def slices(self) -> VolumeSlices:
        """Those that were read."""
        return self.reader.slices

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that the images depend on, as values that JSON knows."""
        return {
            **self.job.record(),
            "slices": list(self.slices.indices),
            "measurements": [self.reader.digests[index] for index in self.slices.indices],
            "version": ugodit.__version__,
        }

    def is_done(self, path: Path) -> bool:
        """Whether the file holds this very reconstruction: the same measurements with the same settings."""
        if not path.exists():
            return False
        try:
            found = read_attributes(path).get("settings")
        except InputError:
            return False  # Damaged, or no result of ours: it is made anew.
        return bool(found == json.dumps(self.settings, sort_keys=True))

    def reconstruct(
        self,
        observer: Observer,
        on_maps: Callable[[Tensor], None] | None = None,
        when_prepared: Callable[[], None] | None = None,
    ) -> Result:
        """Calibrate all slices, then fit them batch by batch. `on_maps` is given the maps of each slice in turn, and
        `when_prepared` is called after the last of them."""
        # fastMRI's definition: the maximum of the whole volume, also where only some slices were asked for.
        maximum = self.slices.volume.target_maximum() if self.reader.all_targets else None
        volume = PreparedVolume(
            self.reader, self.job.fits(), device=self.device, cache=self.maps_cache, on_maps=on_maps
        )
        if when_prepared is not None:
            when_prepared()
        results: list[SliceResult] = []
        baselines: dict[str, dict[int, np.ndarray]] = {name: {} for name in BASELINES}
        for first in range(0, len(self.slices), self.job.batch):
            chunk = self.slices.indices[first : first + self.job.batch]
            slices = [volume.take(index) for index in chunk]
            results += reconstruct_batch(slices, self.job, self._label(chunk), observer)
            for place, prepared in enumerate(slices, first):
                if prepared.target is not None or place == len(self.slices) // 2:
                    for name, compute in BASELINES.items():
                        baselines[name][place] = compute(prepared)
        return self._together(results, baselines, maximum)

    def _label(self, chunk: range) -> str:
        return f"{self.slices.volume.name} slice {chunk[0]}" + (f" to {chunk[-1]}" if len(chunk) > 1 else "")

    def _together(
        self,
        results: Sequence[SliceResult],
        baselines: dict[str, dict[int, np.ndarray]],
        maximum: float | None,
    ) -> Result:
        spreads = [one.uncertainty for one in results if one.uncertainty is not None]
        modes = [one.prior_mode for one in results if one.prior_mode is not None]
        return Result(
            name=self.slices.volume.name,
            slices=self.slices.indices,
            images=np.stack([one.image for one in results]),
            uncertainty=np.stack(spreads) if spreads else None,
            prior_mode=modes or None,
            stopped=[one.stopped for one in results],
            seconds=[one.seconds for one in results],
            masks=np.stack([one.mask for one in results]),
            targets=None if maximum is None else np.stack([one.target for one in results if one.target is not None]),
            maximum=maximum,
            baselines=baselines,
            coils=[one.coils for one in results],
            settings=self.settings,
        )
