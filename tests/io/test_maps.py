"""Sensitivity maps and BART's files, written and read back, and by BART itself."""

import os
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from helpers import random_complex

from ugodit.errors import InputError
from ugodit.io.cfl import read_cfl, write_cfl
from ugodit.io.maps import open_maps, read_maps, write_maps


@pytest.mark.parametrize("suffix", [".h5", ".cfl"])
@pytest.mark.parametrize("shape", [(1, 3, 7, 5), (4, 3, 7, 5), (4, 2, 3, 7, 5), (1, 2, 3, 7, 5)])
def test_maps_come_back(tmp_path: Path, shape: tuple[int, ...], suffix: str) -> None:
    maps = torch.from_numpy(random_complex(shape))
    path = tmp_path / f"some.name{suffix}"
    write_maps(path, maps, {"kernel_width": 6})
    assert torch.equal(read_maps(path, (shape[0], *shape[-3:])), maps)
    if suffix == ".h5":
        with h5py.File(path) as file:
            assert file.attrs["kernel_width"] == 6
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_one_slice_needs_no_slice_axis(tmp_path: Path) -> None:
    maps = random_complex((3, 7, 5))
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        file["maps"] = maps
    assert torch.equal(read_maps(tmp_path / "maps.h5", (1, 3, 7, 5)), torch.from_numpy(maps)[None])
    write_cfl(tmp_path / "maps", np.moveaxis(maps, 0, -1)[:, :, None])
    for name in ("maps", "maps.cfl", "maps.hdr"):
        assert torch.equal(read_maps(tmp_path / name, (1, 3, 7, 5)), torch.from_numpy(maps)[None])


@pytest.mark.parametrize("suffix", [".h5", ".cfl"])
def test_slices_are_read_one_by_one(tmp_path: Path, suffix: str) -> None:
    maps = torch.from_numpy(random_complex((3, 2, 5, 4)))
    path = tmp_path / f"maps{suffix}"
    write_maps(path, maps)
    whole = open_maps(path, (3, 2, 5, 4), range(1, 3))
    assert torch.equal(whole.read(2), maps[2])
    some = open_maps(path, (7, 2, 5, 4), range(3, 6))  # the three that were asked for
    assert torch.equal(some.read(4), maps[1])
    with pytest.raises(InputError, match=r"maps: expected \(7, 2, 5, 4\) .*, or the 2 slices asked for, got \(3, "):
        open_maps(path, (7, 2, 5, 4), range(3, 5))
    digest = some.digest()
    write_maps(path, 2 * maps)
    assert some.digest() != digest


def test_a_file_may_say_which_slices_it_holds(tmp_path: Path) -> None:
    maps = torch.from_numpy(random_complex((2, 3, 5, 4)))
    write_maps(tmp_path / "maps.h5", maps, {"slices": np.array([4, 1])})
    file = open_maps(tmp_path / "maps.h5", (6, 3, 5, 4), [1, 4])
    assert torch.equal(file.read(1), maps[1])
    assert torch.equal(file.read(4), maps[0])
    with pytest.raises(InputError, match=r"maps: expected those of slice 2, got slices \[4, 1\]"):
        open_maps(tmp_path / "maps.h5", (6, 3, 5, 4), range(1, 3))
    write_maps(tmp_path / "maps.h5", maps, {"slices": np.array([4, 1, 2])})
    with pytest.raises(InputError, match=r"maps: expected \(6, 3, 5, 4\)"):
        open_maps(tmp_path / "maps.h5", (6, 3, 5, 4), [1, 4])


@pytest.mark.skipif(shutil.which("bart") is None, reason="needs BART (Debian package bart)")
def test_bart_reads_and_writes_the_same_axes(tmp_path: Path) -> None:
    array = random_complex((6, 5, 1, 3))
    write_cfl(tmp_path / "a", array)
    subprocess.run(["bart", "transpose", "0", "1", "a", "b"], cwd=tmp_path, check=True, capture_output=True)
    assert np.array_equal(read_cfl(tmp_path / "b").reshape(5, 6, 1, 3), array.swapaxes(0, 1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"maps": np.zeros((2, 3, 4, 4), np.complex64)}, "maps: expected sensitivity maps, got nothing but zeros"),
        ({"maps": np.full((2, 3, 4, 4), np.nan, np.complex64)}, "maps, slice 0: expected finite numbers"),
        ({"maps": np.ones((2, 3, 4, 5), np.complex64)}, r"maps: expected \(2, 3, 4, 4\)"),
        ({"maps": np.ones((3, 4, 4), np.complex64)}, r"maps: expected \(2, 3, 4, 4\)"),
        ({"maps": np.ones((4, 4), np.complex64)}, r"maps: expected \(2, 3, 4, 4\)"),
        ({"maps": np.ones((2, 3, 4, 4), np.float32)}, "maps: expected a complex dataset"),
        ({"kspace": np.ones((2, 3, 4, 4), np.complex64)}, "maps: expected a complex dataset .*, got kspace"),
    ],
)
def test_bad_maps_are_one_clear_line(tmp_path: Path, content: dict[str, np.ndarray], message: str) -> None:
    path = tmp_path / "maps.h5"
    with h5py.File(path, "w") as file:
        for name, value in content.items():
            file[name] = value
    with pytest.raises(InputError, match=message) as caught:
        read_maps(path, (2, 3, 4, 4))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read it"):
        read_maps(tmp_path / "none.h5", (1, 1, 1, 1))
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(InputError, match="cannot read it"):
        read_maps(tmp_path / "text.h5", (1, 1, 1, 1))
    with pytest.raises(InputError, match="expected a BART header"):
        read_maps(tmp_path / "none.cfl", (1, 1, 1, 1))
    write_cfl(tmp_path / "short", random_complex((4, 4)))
    with (tmp_path / "short.cfl").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(InputError, match=r"short.cfl: expected 128 bytes .* got 100"):
        read_cfl(tmp_path / "short")
    (tmp_path / "short.hdr").write_text("# Something\n4 4\n")
    with pytest.raises(InputError, match="expected a line '# Dimensions'"):
        read_cfl(tmp_path / "short")
    with pytest.raises(InputError, match=r"expected a name that ends in \.h5 or \.cfl"):
        write_maps(tmp_path / "maps.npy", torch.ones(1, 1, 2, 2, dtype=torch.complex64))
    with pytest.raises(InputError, match="cannot be written"):
        write_maps(tmp_path / "no" / "maps.h5", torch.ones(1, 1, 2, 2, dtype=torch.complex64))


@pytest.mark.parametrize("value", [1e-40, 1e-20, 1e30])
def test_maps_of_no_sensible_magnitude_are_refused(tmp_path: Path, value: float) -> None:
    path = tmp_path / "maps.h5"
    with h5py.File(path, "w") as file:
        file["maps"] = np.full((1, 3, 4, 4), value, np.complex64)
    with pytest.raises(InputError, match="maps, slice 0: expected magnitudes of about 1, got up to"):
        open_maps(path, (1, 3, 4, 4)).read(0)


@pytest.mark.parametrize("listed", ["text", [-1], [0.5], [[0]], np.float32(0)])
def test_slices_that_are_no_numbers_of_slices_are_refused(tmp_path: Path, listed: object) -> None:
    path = tmp_path / "maps.h5"
    with h5py.File(path, "w") as file:
        file["maps"] = np.ones((1, 3, 4, 4), np.complex64)
        file.attrs["slices"] = listed
    with pytest.raises(InputError, match="attribute `slices`: expected numbers of slices"):
        open_maps(path, (1, 3, 4, 4))


def test_empty_and_virtual_maps_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file["maps"] = h5py.Empty("c8")
    with pytest.raises(InputError, match="maps: expected data, got an empty dataspace"):
        open_maps(tmp_path / "empty.h5", (1, 3, 4, 4))
    layout = h5py.VirtualLayout((1, 3, 4, 4), "c8")
    layout[...] = h5py.VirtualSource("nowhere.h5", "maps", (1, 3, 4, 4))
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_virtual_dataset("maps", layout)
    for follow, message in ((False, "--follow-links"), (True, "there is no such file")):
        with pytest.raises(InputError, match=message):
            open_maps(tmp_path / "virtual.h5", (1, 3, 4, 4), follow_links=follow)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# Dimensions\n4294967296 4294967296 4294967296\n", "expected 633825300114114700748351602688 bytes"),
        ("# Dimensions\n" + "9" * 5000 + "\n", "expected a line '# Dimensions'"),
        ("# Dimensions\n" + "1 " * 600_000, "at most 1048576 bytes"),
    ],
)
def test_sizes_of_a_cfl_are_told_from_its_length(tmp_path: Path, text: str, message: str) -> None:
    write_cfl(tmp_path / "a", random_complex((4, 4)))
    (tmp_path / "a.hdr").write_text(text)
    with pytest.raises(InputError, match=message):
        read_cfl(tmp_path / "a")


def test_fifos_of_a_cfl_are_refused(tmp_path: Path) -> None:
    for suffix in (".hdr", ".cfl"):
        write_cfl(tmp_path / "a", random_complex((4, 4)))
        (tmp_path / f"a{suffix}").unlink()
        os.mkfifo(tmp_path / f"a{suffix}")
        with pytest.raises(InputError, match="got a folder or a device"):
            read_cfl(tmp_path / "a")
        (tmp_path / f"a{suffix}").unlink()
    with pytest.raises(InputError, match="expected the name of a file"):
        read_cfl(".")
