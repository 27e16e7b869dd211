"""What the measured k-space says about the coils: sensitivity maps, compression, noise prewhitening."""

from ugodit.calibration.compression import Compression, compress_coils
from ugodit.calibration.espirit import estimate_maps, estimate_maps_and_eigenvalues, maps_from_block
from ugodit.calibration.low_resolution import low_resolution_maps
from ugodit.calibration.prewhitening import Whitening, prewhiten

__all__ = [
    "Compression",
    "Whitening",
    "compress_coils",
    "estimate_maps",
    "estimate_maps_and_eigenvalues",
    "low_resolution_maps",
    "maps_from_block",
    "prewhiten",
]
