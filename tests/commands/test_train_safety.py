"""Whatever happens to a training: the next run goes on, and its prior is that of an undisturbed run."""

import os
import random
import resource
import signal
import time
from pathlib import Path

import pytest
from training_runs import Run

STEPS = 40


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], float]:
    """The weights of an undisturbed run, and the seconds that it takes."""
    run = Run(tmp_path_factory.mktemp("expected"), STEPS)
    began = time.monotonic()
    status, log = run.run()
    assert status == 0, log
    assert run.left_over() == set()
    return run.weights(), time.monotonic() - began


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run", STEPS)


def broken_off(run: Run) -> bytes:
    """End a run after a checkpoint; the checkpoint."""
    process = run.start()
    run.wait_for_checkpoint(process)
    process.kill()
    process.communicate()
    return run.checkpoint.read_bytes()


def goes_on(run: Run, expected: dict[str, bytes]) -> str:
    status, log = run.run("--resume")
    assert status == 0, log
    assert run.weights() == expected
    assert run.left_over() == set()
    return log


@pytest.mark.parametrize("moment", [0.6, 0.95, *(pytest.param(m, marks=pytest.mark.slow) for m in range(8))])
def test_a_killed_training_is_gone_on_with(run: Run, expected: tuple[dict[str, bytes], float], moment: float) -> None:
    weights, seconds = expected
    share = moment if isinstance(moment, float) else random.Random(moment).random()
    process = run.start()
    time.sleep(share * seconds)
    process.kill()
    process.communicate()
    kept = run.checkpoint.exists()
    log = goes_on(run, weights)
    assert ("going on from step" in log) == kept


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_training_that_is_told_to_end(
    run: Run, expected: tuple[dict[str, bytes], float], number: signal.Signals, status: int
) -> None:
    process = run.start()
    run.wait_for_checkpoint(process)
    process.send_signal(number)
    _, log = process.communicate(timeout=60)
    assert process.returncode == status, log
    assert "--resume goes on from there" in log
    assert "Traceback" not in log
    assert run.left_over() == {run.checkpoint.name}
    assert "going on from step" in goes_on(run, expected[0])


def test_a_checkpoint_that_does_not_fit_is_not_used(run: Run, expected: tuple[dict[str, bytes], float]) -> None:
    kept = broken_off(run)
    run.checkpoint.write_bytes(kept[: len(kept) // 2])
    assert "damaged file; beginning anew" in goes_on(run, expected[0])
    run.checkpoint.write_bytes(run.out.read_bytes())
    assert "got another or a damaged file; beginning anew" in goes_on(run, expected[0])
    run.checkpoint.write_bytes(kept)
    status, log = run.run("--resume", "--seed", 1)
    assert status == 0
    assert "other scans or settings; beginning anew" in log
    assert run.weights() != expected[0]
    run.checkpoint.write_bytes(kept)
    status, log = run.run()
    assert "--resume would go on from step" in log
    assert (status, run.weights()) == (0, expected[0])


def test_an_output_that_cannot_be_written_is_found_first(run: Run) -> None:
    taken = run.folder / "c.toml"
    for out in (run.folder / "nowhere" / "p.safetensors", taken / "p.safetensors"):
        status, log = run.run("--out", out)
        assert (status, len(log.splitlines())) == (2, 1), log
        assert "step" not in log


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only(run: Run) -> None:
    folder = run.folder / "closed"
    folder.mkdir(mode=0o555)
    status, log = run.run("--out", folder / "p.safetensors")
    assert (status, len(log.splitlines())) == (2, 1), log
    assert "cannot be written" in log


def test_a_full_disk_at_the_end_keeps_the_checkpoint(run: Run, expected: tuple[dict[str, bytes], float]) -> None:
    process = run.start()
    run.wait_for_checkpoint(process)
    # No file may grow beyond this from now on: as a disk that is full.
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (8192, 8192))
    _, log = process.communicate(timeout=240)
    assert process.returncode == 2, log
    assert "going on without a checkpoint" in log
    assert log.splitlines()[-1].startswith("ugodit: error: ")
    assert "is kept: --resume goes on from it" in log.splitlines()[-1]
    assert run.left_over() == {run.checkpoint.name}
    assert not run.out.exists()
    assert "going on from step" in goes_on(run, expected[0])
