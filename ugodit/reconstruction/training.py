"""From undersampled volumes to a group prior."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from ugodit.calibration.cache import MapsCache
from ugodit.calibration.pipeline import CoilPlan
from ugodit.data.sampling import Sampling
from ugodit.data.scan import Scan
from ugodit.data.volume import Sliceable, VolumeSlices, select
from ugodit.errors import InputError
from ugodit.fit.fit import Step, fit
from ugodit.io.volumes import open_volume
from ugodit.networks.unrolled import Unrolled
from ugodit.priors.presets import Preset
from ugodit.priors.presets import preset as preset_of_name
from ugodit.priors.prior import Prior, provenance
from ugodit.priors.training import group_model
from ugodit.reconstruction.job import find_device, with_seed
from ugodit.reconstruction.observer import Observer, OnStep
from ugodit.reconstruction.preparation import Prepared
from ugodit.reconstruction.prepared_volume import PreparedVolume, VolumeReader
from ugodit.reconstruction.sources import Source, as_slices

ALL_SLICES = slice(None)


def train_prior(
    scans: Source | Iterable[Source],
    *,
    sampling: Sampling | None = None,
    slices: slice = ALL_SLICES,
    preset: str | Preset = "balanced",
    coils: CoilPlan | None = None,
    seed: int = 0,
    device: str = "auto",
    maps_cache: MapsCache | str | os.PathLike[str] | None = None,
    on_step: OnStep | None = None,
) -> Prior:
    """Learn a group prior from a few undersampled scans. No clean image is ever used.

    Args:
        scans: files, volumes, slices of volumes, or scans in memory, one or a list; every slice becomes one of the
            group.
        sampling: how fully sampled scans are undersampled; scans with a mask are taken as they are.
        slices: which slices of the files are used.
        preset: fast, balanced or paper, or a Preset of your own, which keeps its seeds.
        coils: what is done to the coils; by default nothing, and ESPIRiT finds their maps.
        seed: of networks and splits.
        device: auto, cpu, cuda or cuda:N.
        maps_cache: a folder that sensitivity maps are kept in, or a `MapsCache` with a size of its own.
        on_step: called with a `Step` after every step; where it returns True, training ends there.

    Raises:
        InputError: what is wrong with options or data, in one line; before anything is fitted, unless it diverges.
    """
    chosen = with_seed(preset_of_name(preset), seed) if isinstance(preset, str) else preset
    training = Training(chosen, sampling=sampling, seed=seed, device=device, maps_cache=maps_cache)
    one = isinstance(scans, str | os.PathLike | Scan | VolumeSlices | Sliceable)
    for scan in [scans] if one else scans:  # type: ignore[union-attr]
        with opened(scan, slices) as found:  # type: ignore[arg-type]
            training.add(found, coils or CoilPlan())
    return training.run(Observer(on_step))


@contextmanager
def opened(scan: Source, slices: slice, *, follow_links: bool = False) -> Iterator[VolumeSlices]:
    """The slices of a file, which is closed afterwards, or of what is open already. follow_links: see `open_volume`."""
    if isinstance(scan, str | os.PathLike):
        with open_volume(scan, follow_links=follow_links) as volume:
            yield select(volume, slices)
    else:
        yield as_slices(scan)


class Training:
    """A group that grows scan by scan, and is then trained."""

    def __init__(
        self,
        preset: Preset,
        *,
        sampling: Sampling | None = None,
        seed: int = 0,
        device: str = "auto",
        maps_cache: MapsCache | str | os.PathLike[str] | None = None,
    ) -> None:
        """Arguments as for `train_prior`."""
        self.preset, self.sampling, self.seed = preset, sampling, seed
        self.device = find_device(device)
        self.maps_cache = MapsCache.of(maps_cache)
        self.scans: list[Prepared] = []
        self.sources: list[dict[str, Any]] = []

    def add(self, slices: VolumeSlices, coils: CoilPlan, on_maps: Callable[[Tensor], None] | None = None) -> None:
        """Read and prepare these slices. `on_maps` is given the maps of each. InputError as for `train_prior`."""
        sampling = self.sampling if slices.volume.mask is None else None
        reader = VolumeReader(slices, sampling, coils)
        fits = [(self.preset.model, self.preset.train)]
        volume = PreparedVolume(reader, fits, device=self.device, cache=self.maps_cache, on_maps=on_maps)
        for index in slices.indices:
            prepared = volume.take(index)
            self.scans.append(prepared)
            self.sources.append(_source(prepared, reader.coils))

    def run(self, observer: Observer) -> Prior:
        """Train on all that was added. InputError where that diverges."""
        preset, operators = self.preset, [prepared.operator for prepared in self.scans]
        if not operators:
            raise ValueError("scans: expected one or more, got none")
        model = group_model(operators, preset.network, preset.model, preset.train)
        last = observer.follow(fit(model, operators, preset.model, preset.train), "training")
        if not math.isfinite(last.loss) or not all(bool(weight.isfinite().all()) for weight in model.parameters()):
            raise InputError(f"training diverged (loss {last.loss:g}); lower `learning_rate` of [train]")
        return self._prior(model, last)

    def _prior(self, model: Unrolled, last: Step) -> Prior:
        sampling = self.sampling
        return Prior.of(
            model.network,
            model=self.preset.model,
            training=self.preset.train.to_dict(),
            provenance=provenance(
                scans=self.sources,
                acceleration=len(self.sources) / sum(source["sampled"] for source in self.sources),
                seed=self.seed,
                scale="99.5th percentile of the zero-filled magnitude is 1",
                preset=self.preset.name,
                undersampling_of_full_scans=None
                if sampling is None
                else {
                    "kind": sampling.kind,
                    "acceleration": sampling.acceleration,
                    "center_fraction": sampling.center_fraction,
                    "seed": sampling.seed,
                },
                steps=last.iteration,
                final_loss=last.loss,
            ),
            extra={"log_mu": model.log_mu.detach().cpu()},
        )


def _source(prepared: Prepared, plan: CoilPlan) -> dict[str, Any]:
    return {
        "name": prepared.name,
        "slice": prepared.slice_index,
        "coils": prepared.shape[0],
        "size": list(prepared.shape[1:]),
        "sampled": float(prepared.mask.float().mean()),
        "sha256": prepared.digest,
        "coil_options": plan.record(),
        **prepared.coils.attributes(),
    }
