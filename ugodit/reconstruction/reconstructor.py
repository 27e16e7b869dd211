"""Reconstructor: volumes to images, from Python and behind the command alike."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from ugodit.calibration.cache import MapsCache
from ugodit.calibration.pipeline import CoilPlan
from ugodit.data.sampling import Sampling
from ugodit.errors import InputError
from ugodit.priors.adaptation import Decoder
from ugodit.priors.presets import Preset
from ugodit.priors.presets import preset as preset_of_name
from ugodit.priors.prior import Prior
from ugodit.reconstruction.job import OWN_GROUP, Job, find_device, with_seed
from ugodit.reconstruction.observer import Observer, OnStep
from ugodit.reconstruction.reading import VolumeReader
from ugodit.reconstruction.result import Result
from ugodit.reconstruction.sources import Source, as_slices
from ugodit.reconstruction.store import MemoryStore
from ugodit.reconstruction.volumes import VolumeRun


class Reconstructor:
    """Reconstructs undersampled multi-coil volumes, with a group prior or by a fit to each scan alone.

    reconstructor = Reconstructor(prior, preset="balanced")
    result = reconstructor(volume[17:20], sampling=Sampling(acceleration=4))
    result.save("recon.h5")
    """

    def __init__(
        self,
        prior: Prior | str | os.PathLike[str] | None = None,
        *,
        preset: str | Preset = "balanced",
        zero_shot: bool = False,
        uncertainty: bool = False,
        decoder: Decoder = "mean",
        coils: CoilPlan | None = None,
        batch: int | None = None,
        seed: int = 0,
        device: str = "auto",
        maps_cache: MapsCache | str | os.PathLike[str] | None = None,
    ) -> None:
        """
        Args:
            prior: a trained group prior, or its file; "self" for one that is trained on slices of the volume itself
                first; None fits a network to each scan alone.
            preset: fast, balanced, thorough or paper, or a Preset of your own, which keeps its seeds.
            zero_shot: the prior is used without adaptation.
            uncertainty: also find how far images from other choices of the lines differ.
            decoder: the prior's decoder that adaptation starts from: mean, fresh or its number.
            coils: what is done to the coils; by default nothing, and ESPIRiT finds their maps.
            batch: slices that are fitted together; 1 on a CPU and 8 on a GPU by default.
            seed: of networks and splits.
            device: auto, cpu, cuda or cuda:N.
            maps_cache: a folder that sensitivity maps are kept in, or a `MapsCache` with a size of its own.

        Raises:
            InputError: options that do not go together, in one line.
        """
        self.device = find_device(device)
        self.maps_cache = MapsCache.of(maps_cache)
        own_group = prior == OWN_GROUP
        if own_group:
            prior = None
        elif isinstance(prior, str | os.PathLike):
            prior = Prior.load(prior)
        if prior is not None and (prior.network.in_channels, prior.network.out_channels) != (2, 2):
            found = (prior.network.in_channels, prior.network.out_channels)
            raise InputError(f"`prior`: expected a network of 2 channels, got {found}")
        self.job = Job(
            preset=with_seed(preset_of_name(preset), seed) if isinstance(preset, str) else preset,
            prior=prior,
            own_group=own_group,
            coils=coils or CoilPlan(),
            decoder=decoder,
            zero_shot=zero_shot,
            uncertainty=uncertainty,
            batch=(1 if self.device.type == "cpu" else 8) if batch is None else batch,
            seed=seed,
        )

    def __call__(
        self,
        source: Source,
        *,
        sampling: Sampling | None = None,
        on_step: OnStep | None = None,
        store: str | os.PathLike[str] | None = None,
    ) -> Result:
        """The images of all slices of `source`.

        Args:
            source: a file, a volume (`open_volume`), some of its slices (`volume[17:20]`), or one scan or more
                (`Scan.from_arrays`).
            sampling: how fully sampled scans are undersampled; scans with a mask are taken as they are.
            on_step: called with a `Step` after each step of each fit; where it returns True, that fit ends there.
            store: a folder that every finished slice is kept in at once. The same call goes on with what is there, and
                several processes share the work. Remove it when the result is saved.

        Raises:
            InputError: what is wrong with the data, in one line that names slice and dataset. What can be told without
                reading samples is told before anything is fitted, the rest when the slice's turn comes.
        """
        run = self.read(source, sampling)
        with MemoryStore() if store is None else run.store(Path(store)) as used:
            return run.reconstruct(Observer(on_step), used)

    def read(self, source: Source, sampling: Sampling | None = None, coils: CoilPlan | None = None) -> VolumeRun:
        """Check what can be checked without reading samples. `coils`: in place of the reconstructor's own plan."""
        if sampling is not None and not isinstance(sampling, Sampling):
            raise TypeError(
                f"sampling: expected a Sampling, got {type(sampling).__name__}; Sampling(acceleration=4), say"
            )
        slices = as_slices(source)
        job = dataclasses.replace(
            self.job,
            sampling=sampling if slices.volume.mask is None else None,
            coils=self.job.coils if coils is None else coils,
        )
        return VolumeRun(job, VolumeReader(slices, job.sampling, job.coils), self.device, self.maps_cache)
