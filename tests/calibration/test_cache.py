"""Maps that were found before come from a folder, for the same measurements only."""

from pathlib import Path

import pytest
import torch
from scans import line_mask, small_scan
from torch import Tensor

from ugodit.calibration import cache
from ugodit.calibration.cache import cached_maps
from ugodit.calibration.maps import reconstruction_maps
from ugodit.data.scan import Scan
from ugodit.data.undersampling import undersample


def scan(acceleration: int = 2) -> Scan:
    kspace, _, _ = small_scan(rows=40, columns=48)
    return undersample(Scan("a", 0, kspace, None, (40, 48), None), line_mask(48, acceleration, 14))


@pytest.fixture
def calibrations(monkeypatch: pytest.MonkeyPatch) -> list[Scan]:
    """The scans whose maps were computed."""
    found: list[Scan] = []

    def counted(one: Scan) -> Tensor:
        found.append(one)
        return reconstruction_maps(one)

    monkeypatch.setattr(cache, "reconstruction_maps", counted)
    return found


def test_the_cache_is_used_and_mended(tmp_path: Path, calibrations: list[Scan]) -> None:
    own = scan()
    maps = cached_maps(own, tmp_path, own.digest())
    (file,) = tmp_path.iterdir()
    assert torch.equal(cached_maps(own, tmp_path, own.digest()), maps)
    assert len(calibrations) == 1  # taken from the cache
    file.write_bytes(b"damaged")
    assert torch.equal(cached_maps(own, tmp_path, own.digest()), maps)
    assert torch.equal(cached_maps(own, tmp_path, own.digest()), maps)
    assert len(calibrations) == 2
    other = scan(3)
    cached_maps(other, tmp_path, other.digest())
    assert len(list(tmp_path.iterdir())) == 2


def test_what_was_done_to_the_coils_is_part_of_the_key(tmp_path: Path, calibrations: list[Scan]) -> None:
    own = scan()
    cached_maps(own, tmp_path, f"{own.digest()} None")
    cached_maps(own, tmp_path, f"{own.digest()} outer")
    assert len(calibrations) == 2
    assert len(list(tmp_path.iterdir())) == 2


def test_without_a_folder_nothing_is_kept(tmp_path: Path, calibrations: list[Scan]) -> None:
    own = scan()
    assert torch.equal(cached_maps(own, None, own.digest()), cached_maps(own, None, own.digest()))
    assert len(calibrations) == 2
    assert list(tmp_path.iterdir()) == []
