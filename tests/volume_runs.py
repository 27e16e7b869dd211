"""Runs of `ugodit reconstruct` as processes of their own, to be killed."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from command_files import write_scan

SLICES = 6
CONFIG = """
preset = "fast"
center-fraction = 0.2
threads = 1

[network]
channels = [8, 16]

[train]
steps = 2

[adapt]
steps = 2

[alone]
steps = {steps}
mask_bank = 4
"""


@dataclass
class Volume:
    """A scan of six slices and a folder for what becomes of it."""

    folder: Path
    steps: int = 6
    scan: Path = field(init=False)
    out: Path = field(init=False)
    others: list[Path] = field(default_factory=list)
    """More scans for the same command."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.scan, self.out = self.folder / "a.h5", self.folder / "out"
        write_scan(self.scan, SLICES, rows=64, columns=48)
        (self.folder / "quick.toml").write_text(CONFIG.format(steps=self.steps))

    @property
    def words(self) -> list[str]:
        return [
            str(self.scan),
            *map(str, self.others),
            "--out",
            str(self.out),
            "--config",
            str(self.folder / "quick.toml"),
            "--json",
        ]

    def start(self, *words: object, launcher: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[str]:
        """Begin the command."""
        command = [sys.executable, *launcher, "-m", "ugodit.reconstruct", *self.words, *map(str, words)]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )

    def run(self, *words: object, **options: Any) -> tuple[int, list[int], str]:
        """The command to its end: exit status, the slices that it fitted, standard error."""
        return end(self.start(*words, **options))

    def stored(self) -> set[int]:
        """The finished slices in the store."""
        return {int(path.stem[-4:]) for path in (self.out / "a.slices").glob("slice_*.h5")}

    def wait_for(self, slices: int, process: subprocess.Popen[str]) -> None:
        """Until so many slices are in the store, or the process ended."""
        deadline = time.monotonic() + 120
        while len(self.stored()) < slices and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)

    def left_over(self) -> list[str]:
        """What should not be there at the end."""
        expected = {"a.h5", "a.png", "maps"}
        names = [path.name for path in self.out.iterdir() if path.name not in expected]
        return names + [path.name for path in self.out.rglob("*.partial")]

    def content(self) -> dict[str, Any]:
        """All of the volume's file that no clock has a part in."""
        with h5py.File(self.out / "a.h5") as file:
            arrays = {name: file[name][()] for name in file}
            attributes = {key: value for key, value in file.attrs.items() if not key.startswith("seconds")}
        return {**arrays, **{f"attribute {key}": np.asarray(value) for key, value in attributes.items()}}


def end(process: subprocess.Popen[str], timeout: float = 240) -> tuple[int, list[int], str]:
    """Exit status, fitted slices and standard error of a command that runs."""
    text, log = process.communicate(timeout=timeout)
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]
    return process.returncode, [line["slice"] for line in lines if "slice" in line], log


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """To the last bit."""
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
