"""Slices that are done are not done again, and what is missing of a volume's files is made up for."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from volume_runs import Volume

from ugodit.commands import reconstruct
from ugodit.reconstruction import volumes


def run(capsys: pytest.CaptureFixture[str], volume: Volume, *words: object) -> tuple[int, str]:
    status = reconstruct.main([*volume.words, *map(str, words)])
    return status, capsys.readouterr().err


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path / "volume", steps=1)


def test_only_what_is_missing_is_fitted(
    volume: Volume, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[int] = []
    original = volumes.reconstruct_batch

    def counted(slices, *others):  # type: ignore[no-untyped-def]
        fitted.extend(one.slice_index for one in slices)
        return original(slices, *others)

    monkeypatch.setattr(volumes, "reconstruct_batch", counted)
    assert run(capsys, volume, "--slices", "1:3")[0] == 0
    status, log = run(capsys, volume, "--slices", "0:4")
    assert (status, fitted) == (0, [1, 2, 0, 3]), log
    assert volume.left_over() == []
    with h5py.File(volume.out / "a.h5") as file:
        assert file.attrs["slices"].tolist() == [0, 1, 2, 3]
        before = file["reconstruction"][()]
    # Done again with the same settings, the others stay.
    assert run(capsys, volume, "--slices", "2:4", "--overwrite")[0] == 0
    assert fitted[4:] == [2, 3]
    with h5py.File(volume.out / "a.h5") as file:
        np.testing.assert_array_equal(file["reconstruction"][()], before)


def test_a_missing_picture_is_made_up_for(volume: Volume, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, volume, "--slices", "1:3")[0] == 0
    picture = (volume.out / "a.png").read_bytes()
    (volume.out / "a.png").unlink()
    status, log = run(capsys, volume, "--slices", "1:3")
    assert (status, "already done" in log) == (0, True)
    assert (volume.out / "a.png").read_bytes() == picture


def test_written_maps_add_up(volume: Volume, capsys: pytest.CaptureFixture[str]) -> None:
    maps = volume.folder / "maps.h5"
    for part in ("0:2", "3:5"):
        assert run(capsys, volume, "--slices", part, "--write-maps", maps)[0] == 0
    with h5py.File(maps) as file:
        assert file.attrs["slices"].tolist() == [0, 1, 3, 4]
        assert file["maps"].shape == (4, 4, 64, 48)
        assert all(np.abs(file["maps"][place]).max() > 0.5 for place in range(4))
    assert "already done" in run(capsys, volume, "--slices", "0:2", "--write-maps", maps)[1]
    assert volume.left_over() == []


def test_a_scan_that_is_replaced_is_not_taken_for_the_one_before(
    volume: Volume, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, volume, "--slices", "0:1")[0] == 0
    with h5py.File(volume.scan, "r+") as file:
        file["kspace"][0] *= 2
    status, log = run(capsys, volume, "--slices", "0:1")
    assert (status, "already done" in log) == (0, False)
