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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ugodit.calibration import Compression, Whitening, compress_coils, prewhiten
from ugodit.calibration.compression import Method
from ugodit.data.scan import Scan
from ugodit.errors import InputError
from ugodit.io.maps import MapsFile
from ugodit.io.noise import read_noise


@dataclass(frozen=True)
class Noise:
    """A noise scan, read once for all slices."""

    path: Path
    samples: Tensor
    """complex64 (C, N)"""

    @classmethod
    def read(cls, path: Path) -> Noise:
        """From a file; InputError as `read_noise` raises it."""
        return cls(path, read_noise(path))


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
    virtual_coils: int | None = None
    method: Method = "svd"
    """Of compression."""
    maps: MapsFile | None = None

    def recipe(self) -> dict[str, Any]:
        """What the images depend on, as values that JSON knows; empty by default."""
        recipe: dict[str, Any] = {}
        if isinstance(self.prewhiten, Noise):
            recipe["prewhiten"] = {"noise": self.prewhiten.path.name, "sha256": _digest(self.prewhiten.samples)}
        elif self.prewhiten:
            recipe["prewhiten"] = self.prewhiten
        if self.virtual_coils is not None:
            recipe["compress"] = {"virtual_coils": self.virtual_coils, "method": self.method}
        if self.maps:
            recipe["maps"] = {"file": self.maps.path.name, "sha256": self.maps.digest()}
        return recipe

    def whiten(self, scan: Scan) -> tuple[Scan, Whitening | None]:
        """An undersampled scan whitened as asked. InputError, which names the option, where it cannot be."""
        if not self.prewhiten:
            return scan, None
        with named("--prewhiten"):
            noise = self.prewhiten.samples if isinstance(self.prewhiten, Noise) else None
            kspace, whitening = prewhiten(scan.kspace, noise, mask=scan.mask)
        return dataclasses.replace(scan, kspace=kspace), whitening

    def compress(self, scan: Scan) -> tuple[Tensor, Compression | None]:
        """The k-space (K, H, W) of a whitened scan, compressed as asked. InputError, which names the option."""
        if self.virtual_coils is None:
            return scan.kspace, None
        with named("--compress"):
            return compress_coils(scan.kspace, coils=self.virtual_coils, method=self.method, mask=scan.mask)

    def coils_for_energy(self, scan: Scan, energy: float) -> int:
        """How many virtual coils keep this fraction of the calibration energy of an undersampled scan."""
        whitened, _ = self.whiten(scan)
        with named("--compress"):
            done = compress_coils(whitened.kspace, energy=energy, method=self.method, mask=scan.mask)[1]
        return done.virtual_coils


def unwhitened(maps: Tensor, whitening: Whitening | None) -> Tensor:
    """Maps (C, H, W) found in whitened coils as those of the scan's own, with the same root sum of squares."""
    if whitening is None:
        return maps
    own = whitening.undo(maps)
    return own * _ratio(_norm(maps), _norm(own))


@contextmanager
def named(where: str, hint: str = "") -> Iterator[None]:
    """Put the file or option in front of what an InputError says, and a hint behind it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}: {error}{hint}") from error


def _norm(maps: Tensor) -> Tensor:
    return torch.linalg.vector_norm(maps, dim=-3)


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """1 where there is nothing to divide."""
    return torch.where((above > 0) & (below > 0), above / below, 1)


def _digest(samples: Tensor) -> str:
    return hashlib.sha256(samples.numpy().tobytes()).hexdigest()
