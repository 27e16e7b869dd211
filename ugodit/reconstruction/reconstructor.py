"""Reconstructor: volumes to images, from Python and behind the command alike."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from ugodit.calibration.pipeline import CoilPlan
from ugodit.data.sampling import Sampling
from ugodit.data.scan import Scan
from ugodit.data.volume import ScanVolume, Sliceable, Volume, VolumeSlices, select
from ugodit.errors import InputError
from ugodit.io.volumes import open_volume
from ugodit.priors.adaptation import Decoder
from ugodit.priors.presets import Preset
from ugodit.priors.presets import preset as preset_of_name
from ugodit.priors.prior import Prior
from ugodit.reconstruction.job import Job, find_device, with_seed
from ugodit.reconstruction.observer import Observer, OnStep
from ugodit.reconstruction.reading import VolumeReader
from ugodit.reconstruction.result import Result
from ugodit.reconstruction.slice_store import MemoryStore
from ugodit.reconstruction.volumes import VolumeRun

Source = str | os.PathLike[str] | Volume | VolumeSlices | Scan | Sequence[Scan]
"""What a reconstruction takes: a file, a volume, some of its slices, or scans in memory."""


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
        maps_cache: str | os.PathLike[str] | None = None,
    ) -> None:
        """
        Args:
            prior: a trained group prior, or its file; None fits a network to each scan alone.
            preset: fast, balanced or paper, or a Preset of your own, which keeps its seeds.
            zero_shot: the prior is used without adaptation.
            uncertainty: also find how far images from other choices of the lines differ.
            decoder: the prior's decoder that adaptation starts from: mean, fresh or its number.
            coils: what is done to the coils; by default nothing, and ESPIRiT finds their maps.
            batch: slices that are fitted together; 1 on a CPU and 8 on a GPU by default.
            seed: of networks and splits.
            device: auto, cpu, cuda or cuda:N.
            maps_cache: a folder that sensitivity maps are kept in.

        Raises:
            InputError: options that do not go together, in one line.
        """
        self.device = find_device(device)
        self.maps_cache = None if maps_cache is None else Path(maps_cache)
        if isinstance(prior, str | os.PathLike):
            prior = Prior.load(prior)
        if prior is not None and (prior.network.in_channels, prior.network.out_channels) != (2, 2):
            found = (prior.network.in_channels, prior.network.out_channels)
            raise InputError(f"`prior`: expected a network of 2 channels, got {found}")
        self.job = Job(
            preset=with_seed(preset_of_name(preset), seed) if isinstance(preset, str) else preset,
            prior=prior,
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


def as_slices(source: Source) -> VolumeSlices:
    """Whatever can be reconstructed, as slices of a volume."""
    if isinstance(source, VolumeSlices):
        return source
    if isinstance(source, str | os.PathLike):
        return select(open_volume(source), slice(None))
    if isinstance(source, Scan):
        return select(ScanVolume([source]), slice(None))
    if isinstance(source, Sequence) and not isinstance(source, Sliceable):
        if not all(isinstance(scan, Scan) for scan in source):
            kinds = ", ".join(sorted({type(scan).__name__ for scan in source}))
            raise TypeError(f"source: expected a list of Scan, got one of {kinds}; do volumes and files one by one")
        return select(ScanVolume(list(source)), slice(None))  # type: ignore[arg-type]
    if not hasattr(source, "scan"):
        raise TypeError(
            f"source: expected a file, a volume, slices of one, or scans, got {type(source).__name__}; "
            "make a scan of an array with Scan.from_arrays"
        )
    return select(source, slice(None))
