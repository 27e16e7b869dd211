"""A prior for a volume from the volume itself: its slices share subject, contrast, coils, noise and lines."""

from __future__ import annotations

import time

import torch

from ugodit.calibration.cache import MapsCache
from ugodit.data.volume import VolumeSlices
from ugodit.errors import InputError
from ugodit.priors.prior import Prior
from ugodit.reconstruction.job import Job
from ugodit.reconstruction.observer import Observer
from ugodit.reconstruction.slice_store import Store
from ugodit.reconstruction.training import Training

LARGEST_GROUP = 12
"""Slices that are trained on at most: all of them are in memory, and every step visits each."""
WAIT = 0.25
"""Seconds between two looks at whether another process has trained the prior."""

NAME = "prior.safetensors"


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
    path = store.path_of(NAME)
    while True:
        if path is not None and path.exists():
            return Prior.load(path)
        if store.claim(NAME):
            break
        time.sleep(WAIT)
    if path is not None and path.exists():  # finished just before the claim
        store.release(NAME)
        return Prior.load(path)
    group = group_of(slices)
    observer.message(f"{slices.volume.name}: training a prior on {len(group)} of its slices")
    training = Training(job.preset, sampling=job.sampling, seed=job.seed, device=str(device), maps_cache=maps_cache)
    training.add(group, job.coils)
    prior = training.run(observer)
    del training  # with all its slices
    if path is not None:
        prior.save(path)
    store.release(NAME)
    return prior
