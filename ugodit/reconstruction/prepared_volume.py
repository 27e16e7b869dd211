"""The slices of a volume on their way to a fit: each is read, checked, calibrated and packed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ugodit.calibration.cache import MapsCache
from ugodit.calibration.pipeline import CoilPlan
from ugodit.data.sampling import Sampling
from ugodit.data.scan import Scan
from ugodit.data.volume import VolumeSlices, location
from ugodit.errors import InputError, named
from ugodit.fit.fit_config import FitConfig
from ugodit.fit.model_config import ModelConfig
from ugodit.reconstruction.preparation import Prepared, have_rows_alike, prepare


class VolumeReader:
    """Reads and undersamples the slices of a volume, and remembers what each of them is."""

    KEPT_BYTES = 1 << 30
    """Scans stay in memory up to this; what is more is read again when its turn comes."""

    def __init__(self, slices: VolumeSlices, sampling: Sampling | None, coils: CoilPlan) -> None:
        """Reads every slice. InputError for whatever can be found wrong without calibrating."""
        self.slices, self.sampling = slices, sampling
        self.digests: dict[int, str] = {}
        self.rows_alike = True
        """No mask varies along the readout, whatever its shape: the fast operator serves all slices."""
        self.along_both: bool | None = None
        """Whether the masks vary along both axes: one kind of operator for all slices of a volume."""
        self.all_targets = True
        """Every slice has a target: only then can they be compared."""
        self._kept: dict[int, Scan] = {}
        needed: list[int | None] = []
        for index in slices.indices:
            scan = self._read(index)
            self._check_mask(scan)
            self.digests[index] = scan.digest()
            self.all_targets &= scan.target is not None
            with named(location(slices.volume, index)):
                needed.append(coils.coils_for(scan))
            if (len(self._kept) + 1) * scan.kspace.nbytes <= self.KEPT_BYTES:
                self._kept[index] = scan
        self.coils = coils.with_coils(needed)
        """The plan with a number of virtual coils in place of a fraction of the energy."""

    def _check_mask(self, scan: Scan) -> None:
        assert scan.mask is not None
        both = scan.mask.ndim == 2
        self.rows_alike &= have_rows_alike(scan.mask)
        if self.along_both is None:
            self.along_both = both
        elif self.along_both != both:
            raise InputError(
                f"{location(self.slices.volume, scan.slice_index)}: mask: expected one kind for all slices, "
                "(phase encode,) or (readout, phase encode), got both; reconstruct them one by one"
            )

    def take(self, index: int) -> Scan:
        """The undersampled scan, which is not kept any longer."""
        kept = self._kept.pop(index, None)
        return self._read(index) if kept is None else kept

    def _read(self, index: int) -> Scan:
        scan = self.slices.volume.scan(index)
        if scan.mask is None and self.sampling is None:
            raise InputError(
                f"{location(self.slices.volume, index)}: `sampling`: expected how to undersample a fully sampled scan, "
                "got None; give Sampling(acceleration=4), say, or a scan with its mask"
            )
        return scan if self.sampling is None else self.sampling.apply(scan)


class PreparedVolume:
    """The slices of a volume, ready to be fitted, in their order."""

    KEPT_BYTES = 1 << 30
    """Prepared slices stay in memory up to this; what is more is prepared again, with its maps from the cache."""

    def __init__(
        self,
        reader: VolumeReader,
        fits: Sequence[tuple[ModelConfig, FitConfig]],
        *,
        device: torch.device,
        cache: MapsCache | None = None,
        on_maps: Callable[[Tensor], None] | None = None,
    ) -> None:
        """Prepares every slice, so that what is wrong with one is found before any is fitted."""
        self.reader, self.device, self.cache = reader, device, cache
        self._kept: dict[int, Prepared] = {}
        kept = 0
        for index in reader.slices.indices:
            prepared = self._prepare(index, on_maps)
            with named(location(reader.slices.volume, index)):
                for form, config in fits:
                    check_splits(prepared, form, config)
            kept += prepared.operator.maps.nbytes + prepared.operator.kspace.nbytes
            if kept <= self.KEPT_BYTES or not self._kept:
                self._kept[index] = prepared

    def take(self, index: int) -> Prepared:
        """The prepared slice, which is not kept any longer."""
        kept = self._kept.pop(index, None)
        return self._prepare(index) if kept is None else kept

    def _prepare(self, index: int, on_maps: Callable[[Tensor], None] | None = None) -> Prepared:
        reader = self.reader
        return prepare(
            reader.take(index),
            reader.coils,
            device=self.device,
            cache=self.cache,
            digest=reader.digests[index],
            along_width=reader.rows_alike,
            on_maps=on_maps,
            where=location(reader.slices.volume, index),
        )


def check_splits(prepared: Prepared, form: ModelConfig, config: FitConfig) -> None:
    """InputError where too little was measured to be held out and split as the configurations ask."""
    operator = prepared.operator
    generator = torch.Generator().manual_seed(config.seed)
    if config.held_out:
        operator = operator.split(config.held_out, generator)[0]
    if form.splitting == "random":
        operator.split(form.loss_fraction, generator)
