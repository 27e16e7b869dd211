"""Which maps reconstructions use: soft ones where the ACS is wide enough."""

import torch
from scans import line_mask, small_scan

from ugodit.calibration import estimate_maps
from ugodit.calibration.maps import WIDE_ACS, reconstruction_maps
from ugodit.data.scan import Scan
from ugodit.data.undersampling import undersample


def scan(core: int) -> Scan:
    kspace, _, _ = small_scan(rows=40, columns=48)
    return undersample(Scan("a", 0, kspace, None, (40, 48), None), line_mask(48, 3, core))


def test_maps_fade_out_where_the_acs_is_wide() -> None:
    wide = scan(WIDE_ACS + 2)
    maps = reconstruction_maps(wide)
    assert torch.equal(maps, estimate_maps(wide.kspace, mask=wide.mask, crop=0.5, soft=True))
    norm = torch.linalg.vector_norm(maps, dim=0)
    assert ((norm > 0.01) & (norm < 0.99)).any()


def test_few_lines_are_trusted_inside_the_object_only() -> None:
    narrow = scan(WIDE_ACS - 4)
    maps = reconstruction_maps(narrow)
    assert torch.equal(maps, estimate_maps(narrow.kspace, mask=narrow.mask))
    norm = torch.linalg.vector_norm(maps, dim=0)
    torch.testing.assert_close(norm[norm > 0], torch.ones_like(norm[norm > 0]))
