import os
import resource
import subprocess
import sys

import h5py
import numpy as np
import pytest
from helpers import random_complex, write_fastmri

from ugodit.errors import InputError
from ugodit.io.hdf5_dataset import HDF5Dataset
from ugodit.io.reconstructions import read_arrays, read_attributes, read_reconstruction, write_reconstruction

_MAPS = random_complex((2, 16, 12))


def test_a_reconstruction_round_trips_with_its_settings(tmp_path):
    image = np.random.default_rng(0).standard_normal((2, 8, 6))
    mask = np.arange(12) % 3 == 0
    attributes = {"seed": 3, "acceleration": 4.0, "preset": "fast", "prior": None}
    path = tmp_path / "out.h5"
    write_reconstruction(path, image, mask=mask, attributes=attributes, extra={"maps": _MAPS})
    np.testing.assert_array_equal(read_reconstruction(path), image.astype(np.float32))
    assert read_attributes(path) == {"seed": 3, "acceleration": 4.0, "preset": "fast"}
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["mask"][()], mask)
        np.testing.assert_array_equal(file["maps"][()], _MAPS)
    assert os.listdir(tmp_path) == ["out.h5"]
    write_reconstruction(path, image + 1, mask=None, attributes={})
    np.testing.assert_array_equal(read_reconstruction(path), (image + 1).astype(np.float32))


@pytest.mark.parametrize("image", [np.ones((8, 6)), np.ones((2, 8, 6), np.complex64), np.full((1, 2, 2), np.nan)])
def test_a_bad_reconstruction_is_refused(tmp_path, image):
    path = write_fastmri(tmp_path / "a.h5", reconstruction=image)
    with pytest.raises(InputError, match="reconstruction: expected"):
        read_reconstruction(path)


def test_a_missing_folder_is_the_users_fault(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        write_reconstruction(tmp_path / "absent" / "a.h5", np.ones((1, 2, 2)), mask=None, attributes={})


_WRITE = """
import sys, numpy as np
from ugodit.errors import InputError
from ugodit.io.reconstructions import write_reconstruction
try:
    write_reconstruction(sys.argv[1], np.ones((4, 320, 320)), mask=None, attributes={})
except InputError as error:
    print(error)
    sys.exit(2)
"""


def _limit_file_size():
    # A write past the limit raises OSError (EFBIG), as one on a full disk does (ENOSPC); Python ignores SIGXFSZ.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def _assert_failed_cleanly(path, limit):
    result = subprocess.run(
        [sys.executable, "-c", _WRITE, str(path)], preexec_fn=limit, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2, result.stderr
    assert result.stdout.startswith(f"{path}: cannot be written")
    assert result.stderr == ""


def test_a_write_that_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"the old one")
    _assert_failed_cleanly(path, _limit_file_size)
    assert os.listdir(tmp_path) == ["a.h5"]
    assert path.read_bytes() == b"the old one"


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], check=False).returncode != 0:
        pytest.skip("no right to mount a small file system; the limited file size covers the same path")
    try:
        _assert_failed_cleanly(tmp_path / "a.h5", None)
        assert os.listdir(tmp_path) == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_file_of_arrays_is_no_larger_than_it_declares(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["whole"], file["group/whole"] = np.arange(6.0), np.arange(3)
        file.attrs["text"] = "x"
    arrays, attributes = read_arrays(path)
    assert (sorted(arrays), attributes) == (["group/whole", "whole"], {"text": "x"})
    np.testing.assert_array_equal(arrays["whole"], np.arange(6.0))
    monkeypatch.setattr(HDF5Dataset, "read", lambda *_: pytest.fail("something was read"))
    with h5py.File(path, "a") as file:
        file.create_dataset("filled", (1 << 20,), "f4", fillvalue=1)
    with pytest.raises(InputError, match=r"a\.h5: expected datasets no larger than the file, got 4194376 bytes"):
        read_arrays(path)
    with h5py.File(path, "w") as file:
        for number in range(65):
            file[f"{number}"] = 1
    with pytest.raises(InputError, match=r"a\.h5: expected at most 64 datasets"):
        read_arrays(path)
