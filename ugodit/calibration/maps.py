"""Which of the calibration methods' maps reconstructions want."""

from __future__ import annotations

from torch import Tensor

from ugodit.calibration.espirit import estimate_maps
from ugodit.data.scan import Scan
from ugodit.data.undersampling import acs_width

WIDE_ACS = 12
"""Lines. From here on maps are good enough to be used where the signal is weak."""


def reconstruction_maps(scan: Scan) -> Tensor:
    """Sensitivity maps (C, H, W) of the full field of view, as reconstructions want them.

    A hard crop at the object's edge leaves the background black, and with it skin, vessels and whatever else is faint.
    With a wide ACS, maps fade out with the eigenvalue instead. From few lines they are trusted inside the object only.
    """
    assert scan.mask is not None
    if acs_width(scan.mask) >= WIDE_ACS:
        return estimate_maps(scan.kspace, None, mask=scan.mask, crop=0.5, soft=True)
    return estimate_maps(scan.kspace, None, mask=scan.mask)
