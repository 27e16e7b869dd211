"""Noise scans from files."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from helpers import random_complex

from ugodit.errors import InputError
from ugodit.io.cfl import write_cfl
from ugodit.io.noise import read_noise


def test_every_layout_gives_a_row_a_coil(tmp_path: Path) -> None:
    noise = random_complex((3, 40))
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["noise"] = noise.reshape(3, 4, 10)
    with h5py.File(tmp_path / "fastmri.h5", "w") as file:
        file["kspace"] = noise.reshape(3, 2, 4, 5).swapaxes(0, 1)
    write_cfl(tmp_path / "bart", np.moveaxis(noise.reshape(3, 4, 10), 0, -1)[:, :, None])
    for name in ("plain.h5", "fastmri.h5", "bart", "bart.cfl", "bart.hdr"):
        assert torch.equal(read_noise(tmp_path / name), torch.from_numpy(noise)), name


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"noise": np.ones((3, 9), np.float32)}, "expected a complex dataset `noise` .*, found only noise"),
        ({"noise": np.ones(9, np.complex64)}, "expected a complex dataset `noise`"),
        ({"kspace": np.ones((3, 9), np.complex64)}, "found only kspace"),
        ({}, "found only nothing"),
        ({"noise": np.full((3, 9), np.inf, np.complex64)}, "noise: expected finite numbers"),
        ({"noise": np.zeros((3, 9), np.complex64)}, "noise: expected samples of noise"),
    ],
)
def test_bad_noise_is_one_clear_line(tmp_path: Path, content: dict[str, np.ndarray], message: str) -> None:
    path = tmp_path / "noise.h5"
    with h5py.File(path, "w") as file:
        for name, value in content.items():
            file[name] = value
    with pytest.raises(InputError, match=message) as caught:
        read_noise(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.h5: expected an HDF5 file with a noise scan"):
        read_noise(tmp_path / "none.h5")
    with pytest.raises(InputError, match="expected a BART header"):
        read_noise(tmp_path / "none")


def test_noise_is_limited_and_links_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "many.h5", "w") as file:
        file.create_dataset("noise", (4, 10**12), "c8", chunks=(1, 1000))
    with pytest.raises(InputError, match=r"many\.h5: noise: expected at most 16777216 samples, got"):
        read_noise(tmp_path / "many.h5")
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["noise"] = h5py.ExternalLink("/etc/passwd", "/noise")
    with pytest.raises(InputError, match="noise: links to another file, '/etc/passwd'"):
        read_noise(tmp_path / "link.h5")
    os.mkfifo(tmp_path / "fifo.h5")
    with pytest.raises(InputError, match="got a folder or a device"):
        read_noise(tmp_path / "fifo.h5")
