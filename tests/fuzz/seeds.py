"""Small valid inputs of every kind, which the fuzzer then damages."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path

import h5py
import numpy as np
import torch
from command_files import write_scan
from helpers import random_complex, write_fastmri
from small_priors import prior, quick

from ugodit.commands.reconstruct import main as reconstruct
from ugodit.io.cfl import write_cfl
from ugodit.io.maps import read_maps

SIZE, COILS, SLICES = 40, 4, 2

QUICK = """preset = "fast"
center-fraction = 0.2
threads = 1

[network]
channels = [2, 4]

[model]
initial_iterations = 2
solve_iterations = 2

[train]
steps = 2

[adapt]
steps = 2

[alone]
steps = 2
mask_bank = 1
"""

WORDS = ["scan.h5", "--out", "out", "--config", "quick.toml", "--json"]
"""Reconstructs the scan of the seeds; what a case adds comes after it."""


def write_seeds(folder: Path) -> None:
    """scan.h5, masked.h5, packed.h5 (gzip), maps.h5, noise.h5, maps.cfl, noise.cfl, prior.safetensors, quick.toml, and
    out/ as a run on scan.h5 leaves it."""
    write_scan(folder / "scan.h5", slices=SLICES, rows=SIZE, columns=SIZE)
    (folder / "quick.toml").write_text(QUICK)
    with h5py.File(folder / "scan.h5", "a") as file:
        file.attrs["acquisition"] = "FUZZ"
        file.attrs["max"] = 1.0
        kspace = file["kspace"][()]
        rss = file["reconstruction_rss"][()]
    mask = np.arange(SIZE) % 2 == 0
    mask[SIZE // 2 - 5 : SIZE // 2 + 5] = True
    write_fastmri(folder / "masked.h5", kspace=kspace * mask, mask=mask)
    with h5py.File(folder / "packed.h5", "w") as file:
        chunks = (1, 1, SIZE, SIZE)
        file.create_dataset("kspace", data=kspace, chunks=chunks, compression="gzip", shuffle=True, fletcher32=True)
        file.create_dataset("reconstruction_rss", data=rss, chunks=chunks[1:], compression="lzf")
    noise = random_complex((COILS, 400))
    write_fastmri(folder / "noise.h5", noise=noise)
    write_cfl(folder / "bart_noise", noise.T.reshape(400, 1, 1, COILS))
    _write_prior(folder / "prior.safetensors")
    cwd_words = [str(folder / word) if word in ("scan.h5", "out", "quick.toml") else word for word in WORDS]
    with contextlib.redirect_stdout(io.StringIO()):
        status = reconstruct([*cwd_words, "--write-maps", str(folder / "maps.h5")])
    assert status == 0
    maps = read_maps(folder / "maps.h5", (SLICES, COILS, SIZE, SIZE)).numpy()
    axes = np.moveaxis(maps, (2, 3, 1, 0), (0, 1, 2, 3))[:, :, None]  # H, W, 1, C, S
    write_cfl(folder / "bart_maps", axes.reshape(*axes.shape[:4], *[1] * 9, SLICES))


def _write_prior(path: Path) -> None:
    torch.manual_seed(0)
    prior(quick("fast")).save(path)


def fresh_copy(seeds: Path, folder: Path) -> None:
    """The seeds in a folder of their own."""
    shutil.copytree(seeds, folder)
