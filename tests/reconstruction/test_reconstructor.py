"""Reconstructor: lists of scans that differ where they may, and are refused before anything is fitted elsewhere."""

import numpy as np
import pytest
import torch
from scans import line_mask, small_scan
from small_priors import quick

from ugodit.data.scan import Scan
from ugodit.reconstruction.reconstructor import Reconstructor


def scan(seed: int = 0, *, mask: torch.Tensor | None = None, target: bool = True, **options: object) -> Scan:
    kspace, maps, image = small_scan(rows=24, columns=40, seed=seed)
    mask = line_mask(40, 3, 6) if mask is None else mask
    truth = image.abs().float() if target else None
    return Scan.from_arrays(kspace, mask, maps, target=truth, **options)  # type: ignore[arg-type]


@pytest.fixture
def reconstructor() -> Reconstructor:
    return Reconstructor(preset=quick(), device="cpu")


def test_scans_of_other_masks_go_together(reconstructor: Reconstructor) -> None:
    result = reconstructor([scan(), scan(10, mask=line_mask(40, 4, 8))])
    assert result.images.shape == (2, 24, 40)
    np.testing.assert_array_equal(result.masks, np.stack([line_mask(40, 3, 6), line_mask(40, 4, 8)]))
    assert result.targets is not None
    assert result.maximum == result.targets.max()
    assert set(result.baselines["zero filling"]) == {0, 1}


def test_a_scan_without_a_target_beside_one_that_has_it(reconstructor: Reconstructor) -> None:
    result = reconstructor([scan(), scan(10, target=False)])
    # Slice by slice beside the images, or none: a shorter stack would be read as that of the first slices.
    assert result.targets is None or result.targets.shape == result.images.shape


def test_scans_whose_results_do_not_stack_are_refused_before_they_are_fitted(reconstructor: Reconstructor) -> None:
    steps: list[int] = []
    plane = line_mask(40, 3, 6).expand(24, 40).clone()
    plane[3] = True
    for other in (scan(10, target=False, crop=(20, 40)), scan(10, mask=plane)):
        with pytest.raises(ValueError, match=r"^scans: expected "):
            reconstructor([scan(target=False), other], on_step=lambda step: steps.append(step.iteration))
    assert steps == []
