"""A prior for a volume from the volume itself: its slices share subject, contrast, coils, noise and lines."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import torch

from ugodit.calibration.cache import MapsCache
from ugodit.data.volume import VolumeSlices
from ugodit.errors import InputError
from ugodit.priors.prior import Prior
from ugodit.reconstruction.job import Job
from ugodit.reconstruction.observer import Observer
from ugodit.reconstruction.store import Store
from ugodit.reconstruction.training import Training

LARGEST_GROUP = 12
"""Slices that are trained on at most: all of them are in memory, and every step visits each."""
WAIT = 0.25
"""Seconds between two looks at whether another process has trained the prior."""

NAME, CHECKPOINT = "prior.safetensors", "prior.checkpoint"


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
    while (found := _load(path)) is None and not store.claim(NAME):
        time.sleep(WAIT)
    found = found or _load(path)  # finished just before the claim
    if found is not None:
        store.release(NAME)
        return found
    group = group_of(slices)
    observer.message(f"{slices.volume.name}: training a prior on {len(group)} of its slices")
    training = Training(
        job.preset, sampling=job.sampling, seed=job.seed, device=str(device), maps_cache=maps_cache, same_lines=True
    )
    training.add(group, job.coils)
    checkpoint = store.path_of(CHECKPOINT)
    prior = training.run(observer, checkpoint=checkpoint, resume=checkpoint is not None and checkpoint.exists())
    del training  # with all its slices
    if path is not None:
        prior.save(path)
    if checkpoint is not None:
        with suppress(OSError):
            checkpoint.unlink(missing_ok=True)
    store.release(NAME)
    return prior


def _load(path: Path | None) -> Prior | None:
    """None where there is none, or where it is damaged: it is trained anew."""
    if path is None or not path.exists():
        return None
    try:
        return Prior.load(path)
    except InputError:
        return None
