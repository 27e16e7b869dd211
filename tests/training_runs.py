"""Runs of `ugodit train` as processes of their own, to be killed or to work together."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from command_files import write_scan
from safetensors.numpy import load_file

CONFIG = """
preset = "{preset}"
center-fraction = 0.2
threads = 1

[network]
channels = [4, 8]

[train]
steps = {steps}
shared_decoder = {shared}
"""
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@dataclass
class Run:
    """Three scans and what a prior is trained from them by."""

    folder: Path
    steps: int = 40
    preset: str = "balanced"
    shared: bool = False
    scans: list[Path] = field(init=False)
    out: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.scans = [write_scan(self.folder / f"{name}.h5", 1, seed=seed) for seed, name in enumerate("abc")]
        self.out = self.folder / "p.safetensors"
        text = CONFIG.format(preset=self.preset, steps=self.steps, shared=str(self.shared).lower())
        (self.folder / "c.toml").write_text(text)

    @property
    def checkpoint(self) -> Path:
        return self.folder / "p.safetensors.checkpoint"

    def start(self, *words: object, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Begin the command; later options replace earlier ones."""
        command = [sys.executable, *launcher, "-m", "ugodit.train", *map(str, self.scans), "--out", str(self.out)]
        return subprocess.Popen(
            [*command, "--config", str(self.folder / "c.toml"), "--checkpoint-every", "2", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def run(self, *words: object, launcher: tuple[str, ...] = ()) -> tuple[int, str]:
        """The command to its end: exit status and standard error."""
        process = self.start(*words, launcher=launcher)
        _, log = process.communicate(timeout=240)
        return process.returncode, log

    def wait_for_checkpoint(self, process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + 120
        while not self.checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)

    def weights(self) -> dict[str, bytes]:
        """Of the prior: every tensor's bytes."""
        return {name: array.tobytes() for name, array in load_file(self.out).items()}

    def left_over(self) -> set[str]:
        """What should not be there at the end."""
        return {path.name for path in self.folder.iterdir()} - {"a.h5", "b.h5", "c.h5", "c.toml", "p.safetensors"}
