"""From undersampled volumes to a group prior."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

import ugodit
from ugodit.calibration.cache import MapsCache
from ugodit.calibration.pipeline import CoilPlan
from ugodit.data.sampling import Sampling
from ugodit.data.scan import Scan
from ugodit.data.volume import Sliceable, VolumeSlices, location, select
from ugodit.errors import InputError, named
from ugodit.fit.checkpoint import LoopState, interleaved
from ugodit.fit.fit import Step, fit
from ugodit.io.volumes import open_volume
from ugodit.kernels.execution import execution_record
from ugodit.networks import GroupNet
from ugodit.networks.unrolled import Unrolled
from ugodit.priors.presets import Preset
from ugodit.priors.presets import preset as preset_of_name
from ugodit.priors.prior import Prior, provenance
from ugodit.priors.training import group_model
from ugodit.reconstruction.checkpoints import EVERY, Checkpoints, most_bytes
from ugodit.reconstruction.distributed import Group
from ugodit.reconstruction.job import find_device, with_seed
from ugodit.reconstruction.observer import Observer, OnStep
from ugodit.reconstruction.preparation import Prepared, prepare
from ugodit.reconstruction.reading import VolumeReader, check_splits
from ugodit.reconstruction.slice_store import digest_of
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
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> Prior:
    """Learn a group prior from a few undersampled scans. No clean image is ever used.

    Args:
        scans: files, volumes, slices of volumes, or scans in memory, one or a list; every slice becomes one of the
            group.
        sampling: how fully sampled scans are undersampled; scans with a mask are taken as they are.
        slices: which slices of the files are used.
        preset: fast, balanced, thorough or paper, or a Preset of your own, which keeps its seeds.
        coils: what is done to the coils; by default nothing, and ESPIRiT finds their maps.
        seed: of networks and splits.
        device: auto, cpu, cuda or cuda:N.
        maps_cache: a folder that sensitivity maps are kept in, or a `MapsCache` with a size of its own.
        on_step: called with a `Step` after every step; where it returns True, training ends there.
        checkpoint: a file that the state is kept in every few steps. Remove it when the prior is saved.
        resume: go on from that file, if it is of the same scans and settings: the prior has the same bits as one that
            was trained without a break.

    Raises:
        InputError: what is wrong with options or data, in one line; before anything is fitted, unless it diverges.
    """
    chosen = with_seed(preset_of_name(preset), seed) if isinstance(preset, str) else preset
    training = Training(chosen, sampling=sampling, seed=seed, device=device, maps_cache=maps_cache)
    one = isinstance(scans, str | os.PathLike | Scan | VolumeSlices | Sliceable)
    for scan in [scans] if one else scans:  # type: ignore[union-attr]
        with opened(scan, slices) as found:  # type: ignore[arg-type]
            training.add(found, coils or CoilPlan())
    return training.run(Observer(on_step), checkpoint=None if checkpoint is None else Path(checkpoint), resume=resume)


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
        device: str | torch.device = "auto",
        maps_cache: MapsCache | str | os.PathLike[str] | None = None,
        group: Group | None = None,
        same_lines: bool = False,
    ) -> None:
        """Arguments as for `train_prior`.

        group: the processes that train together, each with scans of its own. same_lines: every fully sampled slice is
        undersampled by the same mask, for a prior that serves scans with that mask alone; by one of its own otherwise.
        """
        self.preset, self.sampling, self.seed = preset, sampling, seed
        self.same_lines = same_lines
        self.device = find_device(device) if isinstance(device, str) else device
        self.maps_cache = MapsCache.of(maps_cache)
        self.group = group or Group()
        self.scans: list[Prepared] = []
        """Those of this process."""
        self.count = 0
        """Scans of the whole group."""
        self._sources: dict[int, dict[str, Any]] = {}

    def add(self, slices: VolumeSlices, coils: CoilPlan, on_maps: Callable[[Tensor], None] | None = None) -> None:
        """Read and prepare those of these slices that are this process's. `on_maps` is given the maps of each.

        InputError as for `train_prior`.
        """
        sampling = self.sampling if slices.volume.mask is None else None
        reader = VolumeReader(slices, sampling, coils)
        for index in slices.indices:
            place, self.count = self.count, self.count + 1
            if place % self.group.ranks != self.group.rank:
                continue
            where = location(slices.volume, index)
            prepared = prepare(
                reader.take(index, 0 if self.same_lines else place),
                reader.coils,
                device=self.device,
                cache=self.maps_cache,
                digest=reader.digests[index],
                on_maps=on_maps,
                where=where,
            )
            with named(where):
                check_splits(prepared, self.preset.model, self.preset.train)
            self.scans.append(prepared)
            self._sources[place] = _source(prepared, reader.coils)

    def run(
        self, observer: Observer, *, checkpoint: Path | None = None, every: int = EVERY, resume: bool = False
    ) -> Prior:
        """Train on all that was added.

        Args:
            observer: follows it.
            checkpoint: the file that the state is kept in, so that a run that is ended can be gone on with. It is left
                there: remove it when the prior is saved.
            every: so many steps lie between two states that are kept.
            resume: go on from the state that is in the file.

        Raises:
            InputError: training that diverges.
        """
        if not self.count:
            raise ValueError("scans: expected one or more, got none")
        with self.group.together():
            if self.count < self.group.ranks:
                raise InputError(f"expected a scan for each of {self.group.ranks} processes, got {self.count} scans")
        sources = self._all_sources()
        limit = most_bytes(self.preset, [tuple(source["size"]) for source in sources])
        steps = self.preset.train.steps
        key = self._key(sources)
        keeper = Checkpoints(checkpoint, key, every, self.group, observer, limit=limit, steps=steps)
        state = keeper.find(resume)
        model, last = self._fit(keeper, state, observer)
        with self.group.together():
            if not math.isfinite(last.loss) or not all(bool(weight.isfinite().all()) for weight in model.parameters()):
                raise InputError(f"training diverged (loss {last.loss:g}); lower `learning_rate` of [train]")
        return self._prior(model, last, sources)

    def _fit(self, keeper: Checkpoints, state: LoopState | None, observer: Observer) -> tuple[Unrolled, Step]:
        preset, operators = self.preset, [prepared.operator for prepared in self.scans]
        model = group_model(operators, preset.network, preset.model, preset.train)
        steps = fit(
            model,
            operators,
            preset.model,
            preset.train,
            exchange=self.group,
            own_decoders=not preset.train.shared_decoder,
            resume=state,
        )
        try:
            return model, observer.follow(keeper.kept(steps), "training")
        except KeyboardInterrupt:
            keeper.say_how_to_go_on()
            raise

    def _all_sources(self) -> list[dict[str, Any]]:
        """Of all scans of the group, in their order."""
        found: dict[int, dict[str, Any]] = {}
        for part in self.group.gather(json.dumps(self._sources).encode()):
            found |= {int(place): source for place, source in json.loads(part).items()}
        return [found[place] for place in range(self.count)]

    def _key(self, sources: list[dict[str, Any]]) -> str:
        """A digest of all that the weights depend on."""
        preset = {name: getattr(self.preset, name).to_dict() for name in ("network", "model", "train")}
        versions = {"version": ugodit.__version__, "torch": torch.__version__}
        # Another kind of device draws other random numbers, all of them ahead.
        return digest_of({**preset, "scans": sources, **versions, "device": self.device.type})

    def _prior(self, model: Unrolled, last: Step, sources: list[dict[str, Any]]) -> Prior:
        sampling = self.sampling
        return Prior.of(
            self._whole(model.network),
            model=self.preset.model,
            training=self.preset.train.to_dict(),
            provenance=provenance(
                scans=sources,
                acceleration=len(sources) / sum(source["sampled"] for source in sources),
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
                    "lines": "the same for all" if self.same_lines else "of its own for each slice",
                },
                steps=last.iteration,
                final_loss=last.loss,
                execution=execution_record(self.device),
            ),
            extra={"log_mu": model.log_mu.detach().cpu()},
        )

    def _whole(self, network: GroupNet) -> GroupNet:
        """The network with the decoders of all processes, in the order of the scans."""
        if self.group.ranks == 1 or self.preset.train.shared_decoder:
            return network
        own = {name: weight.detach().cpu().contiguous() for name, weight in network.decoder.state_dict().items()}
        parts = [from_bytes(part) for part in self.group.gather(to_bytes(own))]
        decoders = {name: interleaved([part[name] for part in parts]) for name in own}
        encoder = {name: weight.cpu() for name, weight in network.encoder.state_dict().items()}
        return GroupNet.from_states(network.config, encoder, decoders)


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
