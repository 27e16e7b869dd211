"""Maps that were found before come from a folder, for the same measurements only."""

import dataclasses
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from scans import line_mask, small_scan
from torch import Tensor

from ugodit.calibration import cache
from ugodit.calibration.cache import MapsCache, cached_maps
from ugodit.calibration.maps import reconstruction_maps
from ugodit.data.scan import Scan
from ugodit.data.undersampling import undersample
from ugodit.errors import InputError


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


def test_the_folder_is_made_where_it_can_be(tmp_path: Path) -> None:
    own = scan()
    cached_maps(own, tmp_path / "new" / "maps", own.digest())
    assert len(list((tmp_path / "new" / "maps").iterdir())) == 1


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(cache._LOG, "warning", found.append)
    return found


def test_a_cache_that_cannot_be_written_is_a_warning_once(
    tmp_path: Path, calibrations: list[Scan], said: list[str]
) -> None:
    own = scan()
    (tmp_path / "file").write_text("")
    kept = MapsCache(tmp_path / "file")
    maps = [cached_maps(own, kept, own.digest()) for _ in range(2)]
    assert torch.equal(*maps)
    assert len(calibrations) == 2
    assert len(said) == 1
    assert "cannot be kept here" in said[0]


def test_a_symbolic_link_is_not_followed(tmp_path: Path, calibrations: list[Scan], said: list[str]) -> None:
    own = scan()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    kept = MapsCache(tmp_path / "link")
    for _ in range(2):
        cached_maps(own, kept, own.digest())
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert len(calibrations) == 2
    assert len(said) == 1
    assert "is a symbolic link, which is not followed" in said[0]


@pytest.mark.parametrize("damage", ["rolled", "swapped", "linked", "fifo"])
def test_what_is_not_what_was_kept_is_made_anew(tmp_path: Path, calibrations: list[Scan], damage: str) -> None:
    own, other = scan(), scan(3)
    expected = cached_maps(own, tmp_path / "a", own.digest())
    cached_maps(other, tmp_path / "b", other.digest())
    (entry,), (another,) = (tmp_path / "a").iterdir(), (tmp_path / "b").iterdir()
    if damage == "rolled":
        with h5py.File(entry, "a") as file:
            file["maps"][...] = np.roll(file["maps"][...], 1, axis=1)
    elif damage == "swapped":
        entry.write_bytes(another.read_bytes())
    else:
        entry.unlink()
        os.mkfifo(entry) if damage == "fifo" else entry.symlink_to(another)
    assert torch.equal(cached_maps(own, tmp_path / "a", own.digest()), expected)
    assert len(calibrations) == 3
    assert entry.is_file()
    assert not entry.is_symlink()
    assert torch.equal(cached_maps(own, tmp_path / "a", own.digest()), expected)
    assert len(calibrations) == 3


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    scans = [dataclasses.replace(scan(), slice_index=index) for index in range(4)]
    cached_maps(scans[0], MapsCache(tmp_path), "0")
    (entry,) = tmp_path.iterdir()
    kept = MapsCache(tmp_path, 3.5 * entry.stat().st_size / 1e9)
    (tmp_path / "notes.txt").write_text("somebody's")
    for index in (1, 2, 0, 3):
        cached_maps(scans[index], kept, str(index))
        time.sleep(0.02)
    assert sorted(path.name.split("_")[1] for path in tmp_path.glob("*.h5")) == ["slice000", "slice002", "slice003"]
    assert (tmp_path / "notes.txt").exists()
    tiny = MapsCache(tmp_path / "tiny", 1e-6)
    cached_maps(scans[0], tiny, "0")
    assert not (tmp_path / "tiny").exists()
    for size in (0, 1e308, float("nan")):
        with pytest.raises(InputError, match="`maps_cache_size`: expected gigabytes above 0"):
            MapsCache(tmp_path, size)


def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    """Each makes, reads and removes entries while the other does."""
    own = scan()
    maps = reconstruction_maps(own)
    size = maps.nbytes + 4096

    def work(seed: int) -> None:
        kept = MapsCache(tmp_path, 3 * size / 1e9)
        for turn in range(40):
            name = f"a_slice{(turn * (seed + 1)) % 5:03d}_{'0' * 16}.h5"
            found = kept.read(name, "key", (maps.shape[0], maps.shape[1], maps.shape[2]))
            assert found is None or torch.equal(found, maps)
            kept.write(name, "key", maps)
        assert not kept._said

    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(_share, [str(tmp_path)] * 2, range(2)))
    work(0)
    assert not list(tmp_path.glob(".*"))
    assert len(list(tmp_path.glob("*.h5"))) <= 3


def _share(folder: str, seed: int) -> None:
    """In another process: the same, with maps that are quick to make."""
    maps = torch.ones((4, 40, 48), dtype=torch.complex64)
    kept = MapsCache(folder, 3 * (maps.nbytes + 4096) / 1e9)
    for turn in range(40):
        name = f"b_slice{(turn * (seed + 1)) % 5:03d}_{'0' * 16}.h5"
        found = kept.read(name, "key", (4, 40, 48))
        assert found is None or torch.equal(found, maps)
        kept.write(name, "key", maps)
    assert not kept._said
