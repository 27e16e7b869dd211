"""Commands whose output goes nowhere, or into an encoding of few characters, end in a line or do their work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_files import quick_config, write_scan

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def run(*words: object, redirect: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    command = f'exec "$0" -m ugodit "$@" {redirect}'
    return subprocess.run(
        ["bash", "-c", command, sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan with its reconstruction in out/; made while matplotlib was told to draw on what is no backend."""
    folder = tmp_path_factory.mktemp("streams")
    write_scan(folder / "a.h5")
    made = run(
        "reconstruct", folder / "a.h5", "--out", folder / "out", "--config", quick_config(folder), MPLBACKEND="nonsense"
    )
    assert made.returncode == 0, made.stderr
    assert (folder / "out" / "a.png").exists()
    return folder


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_full_disk_behind_standard_output(results: Path, words: tuple[str, ...]) -> None:
    ended = run("evaluate", results / "out", "--target", results, *words, redirect="> /dev/full")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert ended.stderr.startswith("ugodit: error: standard output: cannot be written (No space left on device)")


def test_a_full_disk_behind_standard_error(results: Path) -> None:
    assert run("evaluate", results / "nowhere", "--target", results, redirect="2> /dev/full").returncode == 2


def test_closed_standard_output(results: Path) -> None:
    ended = run("evaluate", results / "out", "--target", results, redirect=">&-")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("environment", [ASCII, {"PYTHONIOENCODING": "ascii"}])
def test_an_encoding_of_few_characters(results: Path, environment: dict[str, str]) -> None:
    ended = run("evaluate", results / "out", "--target", results, **environment)
    assert ended.returncode == 0, ended.stderr
    assert "PSNR" in ended.stdout
