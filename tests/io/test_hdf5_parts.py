"""Datasets that are made of parts: what the parts leave out is an error, and never zeros."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers import random_complex, write_fastmri

from ugodit.errors import InputError
from ugodit.io import hdf5_parts
from ugodit.io.fastmri import open_fastmri
from ugodit.io.hdf5_parts import cover

SHAPE = (2, 3, 16, 12)
KSPACE = random_complex(SHAPE)


def read(path: Path) -> np.ndarray:
    with open_fastmri(path, follow_links=True) as volume:
        return np.stack([volume.scan(index).kspace.numpy() for index in range(SHAPE[0])])


def stored(folder: Path, *parts: tuple[int, int, int]) -> Path:
    """k-space in raw files, of which there are as many bytes as the last number says: (offset, size, length)."""
    content, taken = KSPACE.tobytes(), 0
    external = []
    for number, (offset, size, length) in enumerate(parts):
        raw = (bytes(offset) + content[taken : taken + size])[:length]
        (folder / f"{number}.bin").write_bytes(raw)
        external.append((f"{number}.bin", offset, size))
        taken += size
    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_dataset("kspace", SHAPE, "c8", external=external)
    return folder / "scan.h5"


def test_external_storage_that_is_whole_is_read(tmp_path: Path) -> None:
    half = KSPACE.nbytes // 2
    path = stored(tmp_path, (100, half, half + 100), (0, h5py.h5f.UNLIMITED, half))
    np.testing.assert_array_equal(read(path), KSPACE)


@pytest.mark.parametrize("lost", [1, KSPACE.nbytes // 5, KSPACE.nbytes // 2 - 1])
def test_external_storage_that_is_truncated_is_an_error(tmp_path: Path, lost: int) -> None:
    half = KSPACE.nbytes // 2
    path = stored(tmp_path, (100, half, half + 100), (0, h5py.h5f.UNLIMITED, half - lost))
    with pytest.raises(InputError, match=rf"kspace: expected {half} bytes in 1\.bin, got {half - lost}.*truncated"):
        read(path)
    path = stored(tmp_path, (100, half, half + 100 - lost), (0, half, half))
    with pytest.raises(InputError, match=r"expected \d+ bytes in 0\.bin.*truncated"):
        read(path)


def virtual(folder: Path, *places: tuple[object, ...]) -> Path:
    """A file whose k-space is made of these places of another's."""
    write_fastmri(folder / "data.h5", kspace=KSPACE)
    layout = h5py.VirtualLayout(SHAPE, "c8")
    for place in places:
        layout[place] = h5py.VirtualSource("data.h5", "kspace", SHAPE)[place]
    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_virtual_dataset("kspace", layout)
    return folder / "scan.h5"


WHOLE = [
    ((slice(0, 1),), (slice(1, 2),)),
    ((slice(None), slice(None), slice(0, 9)), (slice(None), slice(None), slice(7, 16))),  # which overlap
    ((..., slice(0, 12, 2)), (..., slice(1, 12, 2))),
    ((..., slice(0, 5)), (0, slice(None), slice(None), slice(5, 12)), (1, slice(None), slice(None), slice(5, 12))),
]


@pytest.mark.parametrize("places", WHOLE)
def test_parts_that_cover_a_virtual_dataset_are_read(tmp_path: Path, places: tuple[tuple[object, ...], ...]) -> None:
    np.testing.assert_array_equal(read(virtual(tmp_path, *places)), KSPACE)


@pytest.mark.parametrize("places", [*(one[:-1] for one in WHOLE), (), ((..., slice(0, 12, 2)), (..., slice(3, 12, 2)))])
def test_parts_that_leave_some_of_a_virtual_dataset_empty_are_an_error(
    tmp_path: Path, places: tuple[tuple[object, ...], ...]
) -> None:
    with pytest.raises(InputError, match="kspace: is a virtual dataset whose parts leave some of it empty"):
        read(virtual(tmp_path, *places))


def test_boxes_cover_an_array_exactly_when_every_element_is_in_one() -> None:
    random = np.random.default_rng(0)
    answers = set()
    for _ in range(300):
        shape = tuple(random.integers(1, 5, 3))
        first = random.integers(0, shape, (random.integers(1, 9), 3))
        boxes = np.stack([first, first + random.integers(1, 5, first.shape)], axis=-1)
        covered = np.zeros(shape, bool)
        for box in boxes:
            covered[tuple(slice(*ends) for ends in box)] = True
        assert cover([boxes], shape) == covered.all()
        answers.add(bool(covered.all()))
    assert answers == {True, False}


def test_parts_without_measure_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = virtual(tmp_path, *WHOLE[2])
    monkeypatch.setattr(hdf5_parts, "MAX_BOXES", 11)
    with pytest.raises(InputError, match="kspace: is made of too many parts"):
        read(path)


def percent_in_the_file(folder: Path) -> tuple[str, str]:
    for name in ("x%%.h5", "x%.h5"):  # the first is looked at, the second is what HDF5 opens
        write_fastmri(folder / name, kspace=KSPACE * (1 + (name == "x%.h5")))
    return "x%%.h5", "kspace"


def percent_in_the_dataset(folder: Path) -> tuple[str, str]:
    write_fastmri(folder / "data.h5", **{"k%%": KSPACE, "k%": 2 * KSPACE})
    return "data.h5", "k%%"


@pytest.mark.parametrize("prepare", [percent_in_the_file, percent_in_the_dataset])
def test_names_that_hdf5_reads_otherwise_are_refused(
    tmp_path: Path, prepare: Callable[[Path], tuple[str, str]]
) -> None:
    layout = h5py.VirtualLayout(SHAPE, "c8")
    layout[...] = h5py.VirtualSource(*prepare(tmp_path), SHAPE)
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file.create_virtual_dataset("kspace", layout)
    with pytest.raises(InputError, match="kspace: is made of parts with % in their names"):
        read(tmp_path / "scan.h5")


@pytest.mark.parametrize("variable", ["HDF5_VDS_PREFIX", "HDF5_EXTFILE_PREFIX"])
def test_an_environment_that_leads_elsewhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    for path in (virtual(tmp_path, (...,)), stored(tmp_path, (0, KSPACE.nbytes, KSPACE.nbytes))):
        with pytest.raises(InputError, match=f"kspace: .* but {variable} is set and leads HDF5 to another folder"):
            read(path)
    plain = write_fastmri(tmp_path / "plain.h5", kspace=KSPACE)
    np.testing.assert_array_equal(read(plain), KSPACE)
