"""Reading a volume's slices: what tells that its file is still the one that slices were made from."""

import os
from pathlib import Path

import h5py
from command_files import write_scan

from ugodit.calibration.pipeline import CoilPlan
from ugodit.data.sampling import Sampling
from ugodit.data.volume import select
from ugodit.io.volumes import open_volume
from ugodit.reconstruction.reading import VolumeReader


def test_a_file_that_was_edited_is_another_even_with_its_time_set_back(tmp_path: Path) -> None:
    path = write_scan(tmp_path / "a.h5", 1)

    def source() -> str:
        with open_volume(path) as volume:
            return VolumeReader(select(volume, slice(None)), Sampling(acceleration=4), CoilPlan()).source

    before, times = source(), path.stat()
    assert source() == before
    with h5py.File(path, "r+") as file:
        file["kspace"][...] = file["kspace"][()][:, :, ::-1]
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (times.st_size, times.st_mtime_ns)
    assert source() != before
