"""A prior for a volume from the volume itself: its slices share subject, contrast, coils, noise and lines."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch

import ugodit
from ugodit.calibration.cache import MapsCache
from ugodit.data.volume import VolumeSlices
from ugodit.errors import InputError
from ugodit.priors.prior import Prior
from ugodit.reconstruction.job import Job
from ugodit.reconstruction.observer import Observer
from ugodit.reconstruction.reading import VolumeReader
from ugodit.reconstruction.slice_store import digest_of
from ugodit.reconstruction.store import OWN_CHECKPOINT, OWN_PRIOR, Store
from ugodit.reconstruction.training import Training

LARGEST_GROUP = 12
"""Slices that are trained on at most: all of them are in memory, and every step visits each."""
WAIT = 0.25
"""Seconds between two looks at whether another process has trained the prior."""

BELONGS_TO = "belongs_to"
"""In the provenance of a prior that is kept: a digest of all that it was trained on and with, and of the prior."""


def group_of(slices: VolumeSlices) -> VolumeSlices:
    """The slices that are trained on: all, or evenly spaced ones."""
    step = -(-len(slices) // LARGEST_GROUP)
    return VolumeSlices(slices.volume, slices.indices[(len(slices) - 1) % step // 2 :: step])


def own_prior(
    slices: VolumeSlices, job: Job, device: torch.device, maps_cache: MapsCache | None, store: Store, observer: Observer
) -> Prior:
    """The prior of a volume: from the store where it was trained before, else trained now and kept there.

    One process trains; others that work on the volume wait for it.

    Raises:
        InputError: a single slice, or training that diverged.
    """
    if len(slices) < 2:
        raise InputError(f"`prior`: self: expected two slices or more to learn from, got {len(slices)}")
    path, group = store.path_of(OWN_PRIOR), group_of(slices)
    kept = _Kept(path, group, job)
    while (found := kept.load()) is None and not store.claim(OWN_PRIOR):
        time.sleep(WAIT)
    found = found or kept.load()  # finished just before the claim
    if found is not None:
        store.release(OWN_PRIOR)
        return found
    if path is not None and path.exists():
        observer.message(f"{path}: is of other measurements or settings, or damaged; beginning anew")
    observer.message(f"{slices.volume.name}: training a prior on {len(group)} of its slices")
    training = Training(
        job.preset, sampling=job.sampling, seed=job.seed, device=str(device), maps_cache=maps_cache, same_lines=True
    )
    training.add(group, job.coils)
    checkpoint = store.path_of(OWN_CHECKPOINT)
    prior = training.run(observer, checkpoint=checkpoint, resume=checkpoint is not None and checkpoint.exists())
    del training  # with all its slices
    if path is not None:
        kept.save(prior)
    if checkpoint is not None:
        with suppress(OSError):
            checkpoint.unlink(missing_ok=True)
    store.release(OWN_PRIOR)
    return prior


class _Kept:
    """The prior in a store: whatever else lies there under its name does not count."""

    def __init__(self, path: Path | None, group: VolumeSlices, job: Job) -> None:
        self.path, self.group, self.job = path, group, job
        self._measured: list[str] = []

    def load(self) -> Prior | None:
        """None where there is none, where it is damaged, or of other slices or settings: it is trained anew."""
        if self.path is None or not self.path.exists():
            return None
        try:
            found = Prior.load(self.path, self.job.preset.network)
        except InputError:
            return None
        return found if found.provenance.get(BELONGS_TO) == self._key(found, self._digests()) else None

    def save(self, prior: Prior) -> None:
        assert self.path is not None
        trained_on = [scan["sha256"] for scan in prior.provenance["scans"]]
        belongs = {BELONGS_TO: self._key(prior, trained_on)}
        dataclasses.replace(prior, provenance={**prior.provenance, **belongs}).save(self.path)

    def _key(self, prior: Prior, measurements: Sequence[str]) -> str:
        settings = {**self.job.record(), "version": ugodit.__version__}
        return digest_of({"settings": settings, "scans": list(measurements), "prior": prior.hash})

    def _digests(self) -> list[str]:
        """Of the group's measurements as they are now: the same undersampling as in training."""
        if not self._measured:
            reader = VolumeReader(self.group, self.job.sampling, self.job.coils)
            self._measured = [reader.digest(index) for index in self.group.indices]
        return self._measured
