"""A volume's file: slices of several runs in one, and files that are damaged, foreign or older."""

import dataclasses
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from ugodit.errors import InputError
from ugodit.io.hdf5_dataset import HDF5Dataset
from ugodit.io.reconstructions import checksum
from ugodit.reconstruction.finished_slice import FinishedSlice
from ugodit.reconstruction.result import Result
from ugodit.reconstruction.written import read_written

SETTINGS = {"seed": 3, "version": "1", "prior": None, "preset": "fast"}


def finished(index: int, mask: np.ndarray | None = None, **changes: object) -> FinishedSlice:
    one = FinishedSlice(
        index=index,
        image=np.full((4, 6), index, np.float32),
        mask=np.arange(6) % 2 == 0 if mask is None else mask,
        stopped=f"stopped {index}",
        seconds=0.5 * index,
        digest=f"digest {index}",
        uncertainty=np.full((4, 6), 0.1 * index, np.float32),
        prior_mode="adapt" if index % 2 else "reject",
        coils={"kind": "svd", "kept": 0.9 + index / 100, "coils": 4},
        execution={"threads": 1},
    )
    return dataclasses.replace(one, **changes)  # type: ignore[arg-type]


def result(indices: list[int], **changes: object) -> Result:
    return Result.of("a", indices, [finished(index, **changes) for index in indices], None, SETTINGS)  # type: ignore[arg-type]


def test_a_file_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    assert read_written(path) is None
    result([2, 3]).save(path)
    written = read_written(path)
    assert written is not None
    assert (written.settings, written.slices) == (SETTINGS, [2, 3])
    assert written.measurements == {2: "digest 2", 3: "digest 3"}
    assert written.columns["prior_mode"] == ["reject", "adapt"]
    assert written.columns["coils"] == [4, 4]
    assert written.columns["kept"] == [0.92, 0.93]
    assert written.arrays["mask"].shape == (2, 6)
    with h5py.File(path) as file:
        assert file["mask"].shape == (6,)
        assert json.loads(file.attrs["settings"]) == {
            **SETTINGS,
            "slices": [2, 3],
            "measurements": ["digest 2", "digest 3"],
        }


def test_slices_of_two_runs_go_together_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    result([1, 4]).save(path)
    other = np.ones(6, bool)
    newer = result([0, 2, 4], mask=other, stopped="newer")
    newer.add_to(read_written(path), path, seconds_files=0.25)
    written = read_written(path)
    assert written is not None
    assert written.slices == [0, 1, 2, 4]
    assert written.columns["stopped"] == ["newer", "stopped 1", "newer", "newer"]
    assert written.columns["seconds_per_slice"] == [0.0, 0.5, 1.0, 2.0]
    np.testing.assert_array_equal(written.arrays["reconstruction"][:, 0, 0], [0, 1, 2, 4])
    np.testing.assert_array_equal(written.arrays["mask"].all(1), [True, False, True, True])
    with h5py.File(path) as file:
        assert file.attrs["slices"].tolist() == [0, 1, 2, 4]
        assert file.attrs["seconds_files"] == 0.25
        assert file["mask"].shape == (4, 6)
    # Written over, all of it is the newer run's.
    result([0, 1, 2, 4]).add_to(read_written(path), path)
    written = read_written(path)
    assert written is not None
    assert written.columns["stopped"] == [f"stopped {index}" for index in (0, 1, 2, 4)]


def test_masks_of_both_kinds_become_the_larger(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    result([0]).save(path)
    plane = np.zeros((5, 6), bool)
    plane[1] = True
    result([1], mask=plane).add_to(read_written(path), path)
    written = read_written(path)
    assert written is not None
    assert written.arrays["mask"].shape == (2, 5, 6)
    np.testing.assert_array_equal(written.arrays["mask"][0], np.broadcast_to(np.arange(6) % 2 == 0, (5, 6)))


@pytest.mark.parametrize("name", ["reconstruction", "mask", "uncertainty", "settings", "checksum", "columns", "masks"])
def test_a_damaged_file_is_said_to_be(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.h5"
    result([0, 1]).save(path)
    with h5py.File(path, "r+") as file:
        if name == "mask":
            file[name][0] = False
        elif name in file:
            file[name][0, 0, 0] += 1
        elif name == "settings":
            file.attrs[name] = file.attrs[name].replace("fast", "slow")
        elif name == "checksum":
            file.attrs[name] = "0" * 64
        else:
            del file.attrs[name]
    with pytest.raises(InputError, match=r"a\.h5: this result of an earlier run is damaged; --overwrite makes it anew"):
        read_written(path)


def test_what_is_not_ours_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["reconstruction"] = np.zeros((1, 4, 6), np.float32)
    with pytest.raises(InputError, match=r"was not written by `ugodit reconstruct`; choose another folder"):
        read_written(path)
    path.write_text("text")
    with pytest.raises(InputError, match="damaged; --overwrite"):
        read_written(path)


def test_a_file_of_an_earlier_version_has_other_settings(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    result([0, 1]).save(path)
    with h5py.File(path, "r+") as file:
        del file.attrs["checksum"]
    written = read_written(path)
    assert written is not None
    assert (written.slices, written.settings) == ([0, 1], {})
    assert "preset" in written.changed(SETTINGS)


DEEP = "[" * 60_000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("settings", DEEP),
        ("columns", DEEP),
        ("columns", "[]"),
        ("columns", '["seed"]'),
        ("columns", "[[1]]"),
        ("stopped", 5),
        ("stopped", ["one"]),
        ("execution", [5.0, 6.0]),
        ("seconds_per_slice", ["x", "y"]),
        ("seconds_besides_per_slice", [1.0]),
        ("kind", h5py.Empty("f4")),
        ("slices", [1, 0]),
        ("masks", "one a slice"),
    ],
)
def test_attributes_that_are_not_as_they_were_written_are_damage(tmp_path: Path, name: str, value: object) -> None:
    path = tmp_path / "a.h5"
    result([0, 1]).save(path)
    with h5py.File(path, "r+") as file:
        file.attrs[name] = value
    with pytest.raises(InputError, match=r"a\.h5: this result of an earlier run is damaged; --overwrite makes it anew"):
        read_written(path)


@pytest.mark.parametrize("slices", [None, [[1]], [1, 1], [], [True], [-1], ["x"], {}])
@pytest.mark.parametrize("checked", [True, False])
def test_settings_without_sensible_slices_are_damage(tmp_path: Path, slices: object, checked: bool) -> None:
    path = tmp_path / "a.h5"
    result([0, 1]).save(path)
    with h5py.File(path, "r+") as file:
        file.attrs["settings"] = json.dumps({**json.loads(file.attrs["settings"]), "slices": slices})
        if checked:
            arrays = {name: file[name][()] for name in file}
            file.attrs["checksum"] = checksum(arrays, file.attrs["settings"])
        else:
            del file.attrs["checksum"]
    with pytest.raises(InputError, match="damaged; --overwrite"):
        read_written(path)


def large(file: h5py.File, name: str, shape: tuple[int, ...], kind: str = "f4") -> None:
    if name in file:
        del file[name]
    file.create_dataset(name, shape, kind, fillvalue=1)


@pytest.mark.parametrize(
    ("name", "shape", "kind"),
    [
        ("extra", (100, 1 << 18), "f4"),
        ("reconstruction", (2, 4, 6), "f8"),
        ("reconstruction", (2, 8192, 8192), "f4"),
        ("uncertainty", (2, 4096, 2048), "f4"),
        ("mask", (2, 8192, 2048), "?"),
        ("mask", (2, 4, 6), "f4"),
    ],
)
def test_datasets_that_no_result_has_are_found_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, shape: tuple[int, ...], kind: str
) -> None:
    path = tmp_path / "a.h5"
    result([0, 1]).save(path)
    with h5py.File(path, "r+") as file:
        large(file, name, shape, kind)
    monkeypatch.setattr(HDF5Dataset, "read", lambda *_: pytest.fail("something was read"))
    with pytest.raises(InputError, match="damaged; --overwrite"):
        read_written(path)


def test_slices_that_do_not_go_together_are_an_error_and_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    others = {
        "kind": {"coils": {"kept": 0.9, "coils": 4}},
        "kept": {"coils": {"kind": "svd", "kept": "x", "coils": 4}},
        "uncertainty": {"uncertainty": None},
        "reconstruction, uncertainty": {
            "image": np.zeros((5, 6), np.float32),
            "uncertainty": np.zeros((5, 6), np.float32),
        },
        "mask": {"mask": np.ones(7, bool)},
    }
    for what, changes in others.items():
        result([0], **changes).save(path)
        content = path.read_bytes()
        with pytest.raises(InputError, match=f"has other {what} than these slices; --overwrite"):
            result([1]).add_to(read_written(path), path)
        assert path.read_bytes() == content
