"""What is done to the coils between a scan and its operator: prewhitening, compression, sensitivity maps.

Whatever is done, images stay in the units of the scan's own coils, whose root sum of squares fastMRI's target is:
where maps are found in whitened or compressed coils, `Coils` says by how much an image in these differs, pixel by
pixel. Maps in files, read or written, are always those of the scan's own coils.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from .calibration import Compression, Whitening, compress_coils, prewhiten
from .calibration.compression import Method
from .errors import InputError
from .io.maps import MapsFile
from .io.noise import read_noise
from .scan import Scan


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
        gain = _ratio(_norm(maps), _norm(combined))
        return combined * gain, gain

    def maps_of_scan(self, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        """The way back: maps (K, H, W) as maps (C, H, W) of the scan's coils, and the same intensity.

        Compressed coils give the maps of least norm: what is not in the virtual coils is lost.
        """
        if not self.whitening and not self.compression:
            return maps, None
        own = maps
        if self.compression:
            own = self.compression.undo_in_images(own)
        if self.whitening:
            own = self.whitening.undo(own)
        gain = _ratio(_norm(own), _norm(maps))
        return own * _ratio(_norm(maps), _norm(own)), gain


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

    def apply(self, scan: Scan) -> tuple[Tensor, Coils]:
        """The k-space (K, H, W) of an undersampled scan, whitened and compressed as asked, and what was done.

        Raises InputError, which names the option, where it cannot be done.
        """
        kspace, whitening, compression = scan.kspace, None, None
        if self.prewhiten:
            with named("--prewhiten"):
                noise = self.prewhiten.samples if isinstance(self.prewhiten, Noise) else None
                kspace, whitening = prewhiten(kspace, noise, mask=scan.mask)
        if self.virtual_coils is not None:
            with named("--compress"):
                kspace, compression = compress_coils(
                    kspace, coils=self.virtual_coils, method=self.method, mask=scan.mask
                )
        return kspace, Coils(whitening, compression)

    def coils_for_energy(self, scan: Scan, energy: float) -> int:
        """How many virtual coils keep this fraction of the scan's calibration energy."""
        kspace, _ = CoilPlan(self.prewhiten).apply(scan)
        with named("--compress"):
            return compress_coils(kspace, energy=energy, method=self.method, mask=scan.mask)[1].virtual_coils


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
