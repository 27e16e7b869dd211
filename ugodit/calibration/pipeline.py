"""What is done to the coils between a scan and its operator: prewhitening, sensitivity maps, compression.

Maps are found in whitened coils, where noise disturbs them least, and before compression: what it leaves out would be
missing in them, and the virtual coils of the geometric kind are not smooth where there is nothing to see. Measurements
and maps are then compressed alike, so that the image is the same but for noise.

Whatever is done, images stay in the units of the scan's own coils, whose root sum of squares fastMRI's target is, and
maps in files, read or written, are those of the scan's own coils. The operator's maps have the same root sum of squares
at each pixel; by how much its images then differ from the scan's is the `intensity`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ugodit.calibration import Compression, Whitening, compress_coils, prewhiten
from ugodit.calibration.cache import MapsCache, cached_maps
from ugodit.calibration.compression import Method
from ugodit.data.scan import Scan
from ugodit.errors import named
from ugodit.io.maps import MapsFile
from ugodit.io.noise import read_noise


@dataclass(frozen=True)
class Noise:
    """A noise scan, read once for all slices."""

    path: Path
    samples: Tensor
    """complex64 (C, N)"""

    @classmethod
    def read(cls, path: Path, *, follow_links: bool = False) -> Noise:
        """From a file; arguments and InputError as for `read_noise`."""
        return cls(path, read_noise(path, follow_links=follow_links))


@dataclass(frozen=True)
class Coils:
    """What was done to the coils of one slice: first whitened, then compressed; nothing by default."""

    whitening: Whitening | None = None
    compression: Compression | None = None

    def attributes(self) -> dict[str, str | int | float]:
        """For a file's attributes."""
        done: dict[str, str | int | float] = {}
        for step in (self.whitening, self.compression):
            done |= step.attributes() if step else {}
        return done

    def maps_of_operator(self, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        """Maps (C, H, W) of the scan's coils as maps (K, H, W) of the operator's, with the same root sum of squares.

        Also the intensity (H, W), None for 1 everywhere: the magnitude of an image of the operator times this is in the
        units of the scan's coils.
        """
        if not self.whitening and not self.compression:
            return maps, None
        combined = maps
        if self.whitening:
            combined = self.whitening.apply(combined)
        if self.compression:
            combined = self.compression.apply_to_images(combined)
        intensity = _ratio(_norm(maps), _norm(combined))
        return combined * intensity, intensity


@dataclass(frozen=True)
class CoilPlan:
    """What is asked for, the same for every slice of a volume: by default nothing, and maps by ESPIRiT."""

    prewhiten: Literal["outer"] | Noise | None = None
    """From k-space's outer samples, or from a noise scan."""
    compress: int | float | None = None
    """To so many virtual coils, or (a fraction, up to 1.0) to as many as keep this share of the calibration energy in
    every slice."""
    method: Method = "svd"
    """Of compression."""
    maps: MapsFile | None = None
    """In place of ESPIRiT's, and of those that came with a scan."""

    @property
    def needs_all_slices(self) -> bool:
        """Whether a volume's slices must be seen before any is done: how many coils keep a fraction of the energy."""
        return isinstance(self.compress, float)

    def record(self) -> dict[str, Any]:
        """What the images depend on, as values that JSON knows; empty by default."""
        record: dict[str, Any] = {}
        if isinstance(self.prewhiten, Noise):
            record["prewhiten"] = {"noise": self.prewhiten.path.name, "sha256": _digest(self.prewhiten.samples)}
        elif self.prewhiten:
            record["prewhiten"] = self.prewhiten
        if self.compress is not None:
            record["compress"] = {"virtual_coils": self.compress, "method": self.method}
        if self.maps:
            record["maps"] = {"file": self.maps.path.name, "sha256": self.maps.digest()}
        return record

    def whitened(self, scan: Scan) -> tuple[Scan, Whitening | None]:
        """An undersampled scan whitened as asked. InputError, which names the option, where it cannot be."""
        if not self.prewhiten:
            return scan, None
        with named("`prewhiten`"):
            noise = self.prewhiten.samples if isinstance(self.prewhiten, Noise) else None
            kspace, whitening = prewhiten(scan.kspace, noise, mask=scan.mask)
        return dataclasses.replace(scan, kspace=kspace), whitening

    def compressed(self, scan: Scan) -> tuple[Tensor, Compression | None]:
        """The k-space (K, H, W) of a whitened scan, compressed as asked. InputError, which names the option."""
        if self.compress is None:
            return scan.kspace, None
        if isinstance(self.compress, float):
            raise ValueError("compress: expected a number of coils; see `coils_for`")
        with named("`compress`"):
            return compress_coils(scan.kspace, coils=self.compress, method=self.method, mask=scan.mask)

    def coils_for(self, scan: Scan) -> int | None:
        """How many virtual coils keep the fraction that `compress` asks for, of an undersampled scan; None for none."""
        if not isinstance(self.compress, float):
            return None
        whitened, _ = self.whitened(scan)
        with named("`compress`"):
            done = compress_coils(whitened.kspace, energy=self.compress, method=self.method, mask=scan.mask)[1]
        return done.virtual_coils

    def with_coils(self, coils: Iterable[int | None]) -> CoilPlan:
        """The plan for a volume whose slices need so many virtual coils: the most that one of them needs."""
        needed = [count for count in coils if count is not None]
        return dataclasses.replace(self, compress=max(needed)) if needed else self


@dataclass(frozen=True)
class Calibrated:
    """A scan's measurements and maps as its operator takes them."""

    kspace: Tensor
    """complex64 (K, H, W)"""
    maps: Tensor
    """complex64 (K, H, W)"""
    coils: Coils
    intensity: Tensor | None
    """(H, W): the magnitudes of the operator's images times this are those of the scan's own coils; None for 1."""


def calibrate(
    scan: Scan,
    plan: CoilPlan,
    cache: MapsCache | Path | None,
    digest: str,
    on_maps: Callable[[Tensor], None] | None = None,
) -> Calibrated:
    """Whiten an undersampled scan, find or read its maps, compress both.

    cache: maps found before. digest: `scan.digest()`, which the caller has. on_maps: is given the maps
    (C, H, W) of the scan's own coils.
    """
    white, whitening = plan.whitened(scan)
    given = plan.maps.read(scan.slice_index) if plan.maps else scan.maps
    if given is None:
        maps = unwhitened(cached_maps(white, cache, f"{digest} {plan.record().get('prewhiten')}"), whitening)
    else:
        maps = _of_unit_norm(given)
    if on_maps:
        on_maps(maps)
    kspace, compression = plan.compressed(white)
    coils = Coils(whitening, compression)
    maps, intensity = coils.maps_of_operator(maps)
    return Calibrated(kspace, maps, coils, intensity)


def _of_unit_norm(maps: Tensor) -> Tensor:
    """Weights of data consistency are relative to maps of unit norm. Maps that fade out are as they should be."""
    largest = float(torch.linalg.vector_norm(maps, dim=0).max())
    return maps / largest if largest > 0 and not 0.5 < largest < 1.01 else maps


def unwhitened(maps: Tensor, whitening: Whitening | None) -> Tensor:
    """Maps (C, H, W) found in whitened coils as those of the scan's own, with the same root sum of squares."""
    if whitening is None:
        return maps
    own = whitening.undo(maps)
    return own * _ratio(_norm(maps), _norm(own))


def _norm(maps: Tensor) -> Tensor:
    return torch.linalg.vector_norm(maps, dim=-3)


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """1 where there is nothing to divide."""
    return torch.where((above > 0) & (below > 0), above / below, 1)


def _digest(samples: Tensor) -> str:
    return hashlib.sha256(samples.numpy().tobytes()).hexdigest()
