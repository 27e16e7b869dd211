"""Whatever happens to a run over a volume: finished slices are safe, and the next run gives what one run gives."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from command_files import write_scan
from volume_runs import SLICES, Volume, assert_equal, end

from ugodit.commands import reconstruct
from ugodit.reconstruction import reading, volumes

ALL = list(range(SLICES))
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], float]:
    """What an undisturbed run writes, and the seconds that it takes."""
    volume = Volume(tmp_path_factory.mktemp("expected"))
    began = time.monotonic()
    status, fitted, log = volume.run()
    seconds = time.monotonic() - began
    assert (status, fitted) == (0, ALL), log
    assert volume.left_over() == []
    return volume.content(), seconds


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path / "volume")


def goes_on(volume: Volume, expected: dict[str, Any]) -> None:
    """The same command fits what is missing, no more, and the file is that of an undisturbed run."""
    done = set(ALL) if (volume.out / "a.h5").exists() else volume.stored()
    status, fitted, log = volume.run()
    assert status == 0, log
    assert fitted == [index for index in ALL if index not in done]
    assert ("going on where an earlier run stopped" in log) == (bool(done) and "already done" not in log)
    assert volume.left_over() == []
    assert_equal(volume.content(), expected)


@pytest.mark.parametrize(
    "moment", [0.8, *(pytest.param(0.02 + 0.05 * step, marks=pytest.mark.slow) for step in range(20))]
)
def test_a_killed_run_is_gone_on_with(volume: Volume, expected: tuple[dict[str, Any], float], moment: float) -> None:
    content, seconds = expected
    process = volume.start()
    # Any moment round this one: imports, reading, a fit, writing, the files at the end.
    time.sleep(seconds * (moment + 0.05 * random.Random(moment).random()))
    process.kill()
    process.communicate()
    goes_on(volume, content)


@pytest.mark.slow
def test_a_run_that_is_killed_while_it_writes_the_files(volume: Volume, expected: tuple[dict[str, Any], float]) -> None:
    process = volume.start()
    volume.wait_for(SLICES, process)
    process.kill()
    process.communicate()
    goes_on(volume, expected[0])


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
)
def test_a_run_that_is_told_to_end(
    volume: Volume, expected: tuple[dict[str, Any], float], number: signal.Signals, status: int
) -> None:
    process = volume.start()
    volume.wait_for(2, process)
    began = time.monotonic()
    process.send_signal(number)
    found, fitted, log = end(process)
    assert (found, time.monotonic() - began < 5) == (status, True), log
    assert "Traceback" not in log
    kept = volume.stored()
    assert kept >= set(fitted)
    assert f"a: {len(kept)} of 6 slices are kept in {volume.out / 'a.slices'}; the same command goes on" in log
    assert (
        not list(volume.out.rglob("*.partial")) + list(volume.out.rglob("*.claim*")) + list(volume.out.rglob("*.owner"))
    )
    goes_on(volume, expected[0])


def test_two_processes_share_a_volume_and_one_takes_over_what_the_other_had(
    volume: Volume, expected: tuple[dict[str, Any], float]
) -> None:
    one, two = volume.start(), volume.start()
    volume.wait_for(2, one)
    one.kill()
    first, done = end(one)[1], volume.stored()
    status, second, log = end(two)
    assert status == 0, log
    # What the killed one had in hand is done by the other; nothing is done twice.
    assert {*done, *second} == set(ALL)
    assert not {*first} & {*second}
    assert volume.left_over() == []
    assert_equal(volume.content(), expected[0])


@pytest.mark.slow
def test_ranks_of_torchrun_share_a_volume(volume: Volume, expected: tuple[dict[str, Any], float]) -> None:
    status, fitted, log = volume.run(launcher=TORCHRUN)
    assert status == 0, log
    assert sorted(fitted) == ALL
    assert volume.left_over() == []
    assert_equal(volume.content(), expected[0])


@pytest.mark.slow
def test_a_rank_that_is_killed(volume: Volume, expected: tuple[dict[str, Any], float]) -> None:
    launcher = volume.start(launcher=TORCHRUN)
    volume.wait_for(1, launcher)
    ranks = subprocess.run(["pgrep", "-P", str(launcher.pid)], capture_output=True, text=True).stdout.split()
    os.kill(int(ranks[0]), signal.SIGKILL)
    status, _, log = end(launcher)
    # torchrun ends the other rank, too.
    assert status != 0, log
    assert not list(volume.out.rglob("*.partial"))
    goes_on(volume, expected[0])


@pytest.mark.slow
def test_parts_of_a_volume(volume: Volume, expected: tuple[dict[str, Any], float]) -> None:
    status, fitted, log = volume.run("--part", "2/2")
    assert (status, fitted) == (0, [1, 3, 5]), log
    assert "a: part 2 of 2 is done; 3 slices of other parts are missing still" in log
    array = {"ID": "10", "MIN": "10", "MAX": "20", "STEP": "10"}
    environment = {f"SLURM_ARRAY_TASK_{name}": value for name, value in array.items()}
    status, fitted, log = volume.run("--part", "slurm", **environment)
    assert (status, fitted) == (0, [0, 2, 4]), log
    assert volume.left_over() == []
    assert_equal(volume.content(), expected[0])


# ---- in this process -------------------------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], volume: Volume, *words: object) -> tuple[int, str]:
    status = reconstruct.main([*volume.words, *map(str, words)])
    return status, capsys.readouterr().err


@pytest.fixture
def quick(tmp_path: Path) -> Volume:
    return Volume(tmp_path / "volume", steps=1)


def images(path: Path) -> np.ndarray[Any, np.dtype[np.float32]]:
    with h5py.File(path) as file:
        return np.asarray(file["reconstruction"])


def test_slices_of_two_runs_are_merged(quick: Volume, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, quick)[0] == 0
    whole = images(quick.out / "a.h5")
    shutil.rmtree(quick.out)
    for part in ("3:6", "0:2", "1:4"):
        assert run(capsys, quick, "--slices", part)[0] == 0
    np.testing.assert_array_equal(images(quick.out / "a.h5"), whole)
    assert "already done" in run(capsys, quick)[1]
    assert "already done" in run(capsys, quick, "--slices", "2:5")[1]
    # Slices of other settings would be lost.
    status, log = run(capsys, quick, "--slices", "0:2", "--seed", 1)
    assert status == 2
    assert f"{quick.out / 'a.h5'}: holds slices 2 to 5 of other settings" in log
    np.testing.assert_array_equal(images(quick.out / "a.h5"), whole)
    assert run(capsys, quick, "--slices", "0:2", "--seed", 1, "--overwrite")[0] == 0
    assert len(images(quick.out / "a.h5")) == 2


@pytest.fixture
def broken_when_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scans break after they were checked."""
    monkeypatch.setattr(reading, "check_samples", lambda *_: None)


@pytest.mark.usefixtures("broken_when_checked")
def test_other_settings_and_other_measurements_start_anew(quick: Volume, capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File(quick.scan, "r+") as file:
        whole = file["kspace"][()]
        file["kspace"][3] = np.nan
    status, log = run(capsys, quick)
    assert (status, quick.stored()) == (2, {0, 1, 2})
    assert "slice 3: expected finite numbers" in log
    with h5py.File(quick.scan, "r+") as file:
        file["kspace"][...] = whole
        file["kspace"][0] *= 2
    # The file is another now: its slices are compared one by one.
    process = quick.start()
    status, fitted, log = end(process)
    assert (status, fitted) == (0, [0, 3, 4, 5]), log
    with h5py.File(quick.scan, "r+") as file:
        file["kspace"][3] = np.nan
    assert run(capsys, quick, "--overwrite")[0] == 2
    with h5py.File(quick.scan, "r+") as file:
        file["kspace"][...] = whole
    status, log = run(capsys, quick, "--overwrite", "--seed", 1)
    assert status == 0
    assert "a: starting anew: slices of an earlier run (3) have other settings (" in log
    assert quick.left_over() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ID": "9"}, "expected SLURM_ARRAY_TASK_ID"),
        ({"MAX": "0"}, "expected SLURM_ARRAY_TASK_ID"),
        ({"STEP": "-1"}, "expected SLURM_ARRAY_TASK_ID"),
        ({"ID": "1" * 5000}, "expected SLURM_ARRAY_TASK_ID"),
        ({"COUNT": "3"}, "3 tasks are no even series"),
    ],
)
def test_what_no_slurm_says(
    quick: Volume,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str],
    message: str,
) -> None:
    for name, value in {"ID": "1", "MIN": "1", "MAX": "4", "STEP": "1", **changes}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    status, log = run(capsys, quick, "--part", "slurm")
    assert (status, message in log) == (2, True), log


def test_folders_where_files_are_to_be(quick: Volume, capsys: pytest.CaptureFixture[str]) -> None:
    (quick.out / "a.png").mkdir(parents=True)
    status, log = run(capsys, quick)
    assert (status, "a.png is a folder" in log) == (2, True), log


def test_samples_of_all_volumes_are_checked_before_the_first_fit(
    quick: Volume, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_scan(quick.folder / "b.h5", 4, rows=64, columns=48)
    with h5py.File(other, "r+") as file:
        file["kspace"][3, 0, 0, 0] = np.nan
    quick.others = [other]
    monkeypatch.setattr(volumes, "reconstruct_batch", lambda *_: pytest.fail("fitted"))
    status, log = run(capsys, quick)
    assert status == 2
    assert f"{other}: kspace, slice 3: expected finite numbers" in log
    # Each part looks at its own slices only.
    monkeypatch.setattr(volumes.VolumeRun, "fit", lambda *_, **__: None)
    assert run(capsys, quick, "--part", "1/2")[0] == 0
    assert run(capsys, quick, "--part", "2/2")[0] == 2


def test_one_broken_volume_does_not_cost_the_others(
    quick: Volume, broken_when_checked: None, capsys: pytest.CaptureFixture[str]
) -> None:
    other, last = (write_scan(quick.folder / f"{name}.h5", 2, rows=64, columns=48) for name in "bc")
    with h5py.File(other, "r+") as file:
        file["kspace"][1] = np.inf
    quick.others = [other, last]
    status, log = run(capsys, quick)
    assert status == 2
    assert len([line for line in log.splitlines() if "ugodit: error" in line]) == 1
    assert f"{other}: kspace, slice 1: expected finite numbers" in log
    assert {path.name for path in quick.out.glob("*.h5")} == {"a.h5", "c.h5"}
    assert [path.name for path in (quick.out / "b.slices").glob("*.h5")] == ["slice_0000.h5"]


@pytest.mark.parametrize("failure", ["full disk", "removed folder"])
def test_what_cannot_be_written_ends_the_run_in_a_line(
    quick: Volume, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    from ugodit.io import atomic

    synced = atomic._sync
    slices = []

    def fails(path: Path) -> None:
        if "slice_" in path.name:
            slices.append(path)
            if len(slices) == 3:
                if failure == "removed folder":
                    shutil.rmtree(quick.out)
                else:
                    raise OSError(28, "No space left on device")
        synced(path)

    monkeypatch.setattr(atomic, "_sync", fails)
    other = write_scan(quick.folder / "b.h5", 1, rows=64, columns=48)
    quick.others = [other]
    status, log = run(capsys, quick)
    assert status == 2
    errors = [line for line in log.splitlines() if "ugodit: error" in line]
    assert len(errors) == 1
    assert "slice_0002.h5: cannot be written (No " in errors[0]
    assert len(slices) == 3  # the second volume would only fail as well
    if failure == "full disk":
        assert quick.stored() == {0, 1}
        assert not list(quick.out.rglob("*.partial"))
        monkeypatch.setattr(atomic, "_sync", synced)
        assert run(capsys, quick)[0] == 0
        assert not list(quick.out.glob("*.slices"))


def test_a_limit_on_files_sizes_as_a_quota_gives_it(quick: Volume) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    command = [sys.executable, "-m", "ugodit.reconstruct", *quick.words]
    found = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, timeout=240)
    assert found.returncode == 2, found.stderr
    assert "cannot be written (File too large)" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_folder_that_is_a_file(quick: Volume, capsys: pytest.CaptureFixture[str]) -> None:
    quick.out.write_text("")
    status, log = run(capsys, quick)
    assert (status, "--out" in log) == (2, True)


def test_seconds_add_up(volume: Volume, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    assert run(capsys, volume)[0] == 0
    passed = time.monotonic() - began
    with h5py.File(volume.out / "a.h5") as file:
        found = file.attrs
        slices = found["seconds_per_slice"].sum() + found["seconds_besides_per_slice"].sum()
        recorded = slices + found["seconds_before"] + found["seconds_files"]
    # Writing the last file, and the table, come after the records.
    assert 0 < passed - recorded < 0.05 * passed + 0.2
