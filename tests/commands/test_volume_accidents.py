"""Runs over a volume that meet others, damaged files and disks that are full: each ends in a line or goes on."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from stored_slices import rewrite_slice
from volume_runs import SLICES, Volume, assert_equal, end

from ugodit.commands import reconstruct
from ugodit.io import atomic
from ugodit.reconstruction.slice_store import SliceStore

ALL = list(range(SLICES))
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture
def quick(tmp_path: Path) -> Volume:
    return Volume(tmp_path / "volume", steps=1)


def run(capsys: pytest.CaptureFixture[str], volume: Volume, *words: object) -> tuple[int, list[int], str]:
    """The command in this process: exit status, the slices that it fitted, standard error."""
    status = reconstruct.main([*volume.words, *map(str, words)])
    found = capsys.readouterr()
    lines = [json.loads(line) for line in found.out.splitlines()]
    return status, [line["slice"] for line in lines if "slice" in line], found.err


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run that nothing happens to writes, of the volume `quick`."""
    volume = Volume(tmp_path_factory.mktemp("undisturbed") / "volume", steps=1)
    assert reconstruct.main(volume.words) == 0
    return volume.content()


def errors(log: str) -> list[str]:
    return [line for line in log.splitlines() if "ugodit: error" in line]


# ---- files that are damaged, or more than they should be -------------------------------------------------------------


def test_a_damaged_slice_is_made_anew(
    quick: Volume, undisturbed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, quick, "--part", "1/2")[:2] == (0, [0, 2, 4])
    path = quick.out / "a.slices" / "slice_0002.h5"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    status, fitted, log = run(capsys, quick)
    assert (status, fitted) == (0, [1, 2, 3, 5]), log
    assert quick.left_over() == []
    assert_equal(quick.content(), undisturbed)


def test_a_slice_that_no_fit_leaves_is_made_anew_whatever_its_checksum_says(
    quick: Volume, undisturbed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, quick, "--part", "1/2")[:2] == (0, [0, 2, 4])
    folder = quick.out / "a.slices"
    rewrite_slice(folder / "slice_0000.h5", {"image": np.full((64, 48), np.nan, np.float32)})
    rewrite_slice(folder / "slice_0002.h5", {"seconds": "x"})
    (folder / "01234567.written").mkdir()
    status, fitted, log = run(capsys, quick)
    assert (status, fitted) == (0, [0, 1, 2, 3, 5]), log
    assert "slices that are there: 1; slices that are damaged, and do not count: 2" in log
    shutil.rmtree(folder)
    assert quick.left_over() == []
    assert_equal(quick.content(), undisturbed)


def test_a_link_in_place_of_the_slices_folder_is_not_followed(
    quick: Volume, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = quick.folder / "elsewhere"
    elsewhere.mkdir()
    for name in ("settings.json", "slice_0000.h5", "prior.safetensors"):
        (elsewhere / name).write_text("mine")
    quick.out.mkdir()
    (quick.out / "a.slices").symlink_to(elsewhere)
    status, fitted, log = run(capsys, quick)
    assert (status, fitted, len(errors(log))) == (2, [], 1)
    assert "a.slices: is a symbolic link, which is not followed" in log
    assert [path.read_text() for path in elsewhere.iterdir()] == ["mine"] * 3


def test_a_damaged_file_of_the_volume_is_not_written_over_unasked(
    quick: Volume, undisturbed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, quick, "--slices", "0:2")[:2] == (0, [0, 1])
    with h5py.File(quick.out / "a.h5", "r+") as file:
        file["reconstruction"][0, 0, 0] += 1
    content = (quick.out / "a.h5").read_bytes()
    status, fitted, log = run(capsys, quick)
    assert (status, fitted) == (2, [])
    assert len(errors(log)) == 1
    assert "a.h5: this result of an earlier run is damaged; --overwrite makes it anew" in log
    assert (quick.out / "a.h5").read_bytes() == content
    assert run(capsys, quick, "--overwrite")[:2] == (0, ALL)
    assert_equal(quick.content(), undisturbed)


def test_slices_that_are_left_when_the_files_are_written_are_removed(
    quick: Volume, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(store: SliceStore, indices: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SliceStore, "remove", killed)
    assert run(capsys, quick, "--slices", "0:2")[0] == 130
    assert (quick.stored(), (quick.out / "a.h5").exists()) == ({0, 1}, True)
    monkeypatch.undo()
    status, fitted, log = run(capsys, quick, "--slices", "0:2")
    assert (status, fitted) == (0, [])
    assert "already done" in log
    assert quick.left_over() == []


def test_half_written_files_of_a_killed_process_are_removed(quick: Volume, capsys: pytest.CaptureFixture[str]) -> None:
    (quick.out / "maps").mkdir(parents=True)
    ended = subprocess.Popen(["true"])
    ended.wait()
    whose = f"{atomic._HOST}-{ended.pid}-01234567.partial"
    for path in (quick.out / f".a.h5.{whose}", quick.out / "maps" / f".a_slice000_abc.h5.{whose}"):
        path.touch()
    assert run(capsys, quick, "--slices", "0:1")[0] == 0
    assert quick.left_over() == []


# ---- others on the same volume ---------------------------------------------------------------------------------------


def test_another_command_with_other_settings_is_refused(
    quick: Volume, undisturbed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    first = quick.start()
    quick.wait_for(1, first)
    first.send_signal(signal.SIGSTOP)  # It is alive, and has a slice in hand.
    try:
        status, fitted, log = run(capsys, quick, "--seed", 1)
        assert (status, fitted) == (2, [])
        assert len(errors(log)) == 1
        assert "a.slices: another process is at work on this volume with other settings; wait for it" in log
    finally:
        first.send_signal(signal.SIGCONT)
    status, fitted, log = end(first)
    assert (status, fitted) == (0, ALL), log
    assert quick.left_over() == []
    assert_equal(quick.content(), undisturbed)


@pytest.mark.slow
def test_parts_at_the_same_time_and_slices_at_the_same_time(
    quick: Volume, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    for words in ([("--part", f"{which}/3") for which in (1, 2, 3)], [("--slices", "0:4"), ("--slices", "2:6")]):
        found = [end(process) for process in [quick.start(*each) for each in words]]
        assert [status for status, _, _ in found] == [0] * len(words), found
        if words[0][0] == "--part":
            assert [fitted for _, fitted, _ in found] == [[0, 3], [1, 4], [2, 5]]
        assert quick.left_over() == []
        assert_equal(quick.content(), undisturbed)
        shutil.rmtree(quick.out)


@pytest.mark.slow
def test_torchrun_goes_on_by_itself_where_it_may_restart(quick: Volume, undisturbed: dict[str, Any]) -> None:
    launcher = quick.start(launcher=(*TORCHRUN, "--max-restarts", "1"))
    quick.wait_for(1, launcher)
    ranks = subprocess.run(["pgrep", "-P", str(launcher.pid)], capture_output=True, text=True).stdout.split()
    os.kill(int(ranks[-1]), signal.SIGKILL)
    status, fitted, log = end(launcher)
    assert status == 0, log
    assert set(fitted) <= set(ALL)
    assert quick.left_over() == []
    assert_equal(quick.content(), undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", range(4))
def test_told_to_end_at_any_moment(
    quick: Volume, undisturbed: dict[str, Any], number: signal.Signals, moment: int
) -> None:
    process = quick.start()
    quick.wait_for(1 + moment, process)
    time.sleep(0.2 * random.Random(moment).random())
    began = time.monotonic()
    process.send_signal(number)
    status, fitted, log = end(process)
    assert time.monotonic() - began < 5
    assert status in (0, 128 + number), log
    assert "Traceback" not in log
    left = [
        path.name for path in quick.out.rglob("*") if path.suffix in (".partial", ".owner") or ".claim-" in path.name
    ]
    assert left == []
    kept = quick.stored()
    status, again, log = quick.run()
    assert status == 0, log
    assert set(again) <= set(ALL) - kept
    assert not set(again) & set(fitted)
    assert quick.left_over() == []
    assert_equal(quick.content(), undisturbed)


# ---- disks -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 400 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a file system needs more rights")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_keeps_what_is_finished(
    quick: Volume, undisturbed: dict[str, Any], disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick.out = disk
    status, fitted, log = run(capsys, quick)
    assert status == 2
    assert len(errors(log)) == 1
    assert "cannot be written (No space left on device); free some space or choose another folder" in log
    assert fitted
    assert quick.stored() == set(fitted)
    assert not list(disk.rglob("*.partial"))
    assert subprocess.run(["mount", "-o", "remount,size=20m", str(disk)]).returncode == 0
    status, again, log = run(capsys, quick)
    assert (status, again) == (0, ALL[len(fitted) :]), log
    assert quick.left_over() == []
    assert_equal(quick.content(), undisturbed)


def test_a_disk_that_becomes_read_only(
    quick: Volume, undisturbed: dict[str, Any], disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert subprocess.run(["mount", "-o", "remount,size=20m", str(disk)]).returncode == 0
    quick.out = disk
    assert run(capsys, quick, "--part", "1/2")[:2] == (0, [0, 2, 4])
    assert subprocess.run(["mount", "-o", "remount,ro", str(disk)]).returncode == 0
    status, fitted, log = run(capsys, quick)
    assert (status, fitted) == (2, [])
    assert errors(log) == [
        f"ugodit: error: {disk / 'a.slices'}: cannot be written (Read-only file system); free some space or choose "
        "another folder"
    ]
    assert subprocess.run(["mount", "-o", "remount,rw", str(disk)]).returncode == 0
    assert run(capsys, quick)[:2] == (0, [1, 3, 5])
    assert subprocess.run(["mount", "-o", "remount,ro", str(disk)]).returncode == 0
    status, _, log = run(capsys, quick)  # Nothing is to be written.
    assert (status, "already done" in log) == (0, True)
    np.testing.assert_array_equal(quick.content()["reconstruction"], undisturbed["reconstruction"])
