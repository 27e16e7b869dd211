"""A store on disk: what counts as finished, what is dropped, and what is left when it is closed."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from stored_slices import rewrite_slice

from ugodit.errors import InputError
from ugodit.reconstruction.baselines import BASELINES
from ugodit.reconstruction.finished_slice import BASELINE_NAMES, FinishedSlice
from ugodit.reconstruction.slice_store import SliceStore
from ugodit.reconstruction.store import OWN_PRIOR

SETTINGS = {"preset": "fast", "seed": 0}


def finished(index: int = 0, **changes: Any) -> FinishedSlice:
    generator = np.random.default_rng(index)
    one = FinishedSlice(
        index=index,
        image=generator.standard_normal((6, 5), dtype=np.float32),
        mask=np.arange(5) % 2 == 0,
        stopped="all 3 steps done",
        seconds=0.1,
        digest=f"digest {index}",
        coils={"coil_compression_kept_energy": 0.9, "prewhitening": "outer"},
        baselines={"CG-SENSE": np.ones((6, 5), np.float32)},
        together=(index,),
        source="scan.h5 1 2",
        execution={"threads": 2},
    )
    return dataclasses.replace(one, **changes)


def store(folder: Path, settings: Any = None, **options: Any) -> SliceStore:
    return SliceStore(folder / "a.slices", settings or SETTINGS, source="scan.h5 1 2", **options)


def equal(one: FinishedSlice, other: FinishedSlice) -> bool:
    for field in dataclasses.fields(FinishedSlice):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if field.name == "baselines":
            same = mine.keys() == theirs.keys() and all(np.array_equal(mine[key], theirs[key]) for key in mine)
        elif isinstance(mine, np.ndarray):
            same = mine.dtype == theirs.dtype and np.array_equal(mine, theirs)
        else:
            same = mine == theirs
        if not same:
            return False
    return True


def test_a_slice_comes_back_as_it_was(tmp_path: Path) -> None:
    full = finished(
        3,
        uncertainty=np.full((6, 5), 0.5, np.float32),
        target=np.zeros((6, 5), np.float32),
        baselines=dict.fromkeys(BASELINE_NAMES, np.ones((6, 5), np.float32)),
        prior_mode="adapt",
        maps=np.full((2, 6, 5), 1 + 2j, np.complex64),
        mask=np.ones((6, 5), bool),
        seconds=0.1 + 0.2,
    )
    for one in (finished(3), full):
        with store(tmp_path) as opened:
            opened.write(one)
            assert equal(opened.read(3), one)
        with store(tmp_path) as opened:
            assert opened.has(3, (3,))
            assert opened.message == "going on where an earlier run stopped: slices that are there: 1"


def test_only_slices_of_the_same_batch_settings_and_source_count(tmp_path: Path) -> None:
    with store(tmp_path) as opened:
        opened.write(finished(1, together=(0, 1)))
        assert not opened.has(0, (0, 1))
    with store(tmp_path) as opened:
        assert opened.has(1, (0, 1))
        assert not opened.has(1, (1,))
    for digest, counts in (("digest 1", True), ("another", False)):
        with SliceStore(
            tmp_path / "a.slices", SETTINGS, source="scan.h5 9 9", digest=lambda _, digest=digest: digest
        ) as moved:
            assert moved.has(1, (0, 1)) == counts
    with store(tmp_path, with_maps=True) as opened:
        assert not opened.has(1, (0, 1))
    with store(tmp_path, {"preset": "fast", "seed": 1}) as opened:
        assert opened.message == "starting anew: slices of an earlier run (1) have other settings (seed)"
        assert not opened.has(1, (0, 1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "swap", "image", "record", "text"])
def test_a_damaged_slice_does_not_count(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.slices" / "slice_0000.h5"
    with store(tmp_path) as opened:
        opened.write(finished())
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "text":
        path.write_text("no slice")
    else:
        with h5py.File(path, "r+") as file:
            if damage == "image":
                file["image"][0, 0] += 1
            elif damage == "swap":
                file.move("image", "target")
            else:
                file.attrs["record"] = json.dumps({"index": 0})
    with store(tmp_path) as opened:
        assert opened.message == "slices that are damaged, and do not count: 1"
        assert not opened.has(0, (0,))
        opened.write(finished())
        assert opened.has(0, (0,))


SMALL = np.ones((3, 3), np.float32)
IMAGE = np.ones((6, 5), np.float32)
WRONG: dict[str, dict[str, Any]] = {
    "no image": {"image": None},
    "image of another shape": {"image": IMAGE[None]},
    "image of another type": {"image": IMAGE.astype(np.float64)},
    "NaN": {"image": np.full((6, 5), np.nan, np.float32)},
    "infinity": {"uncertainty": np.full((6, 5), np.inf, np.float32)},
    "target of another shape": {"target": SMALL},
    "target without baselines": {"target": IMAGE, "baselines/CG-SENSE": None},
    "another baseline": {"baselines/best of all": IMAGE},
    "baseline of another shape": {"baselines/CG-SENSE": SMALL},
    "mask of numbers": {"mask": np.ones(5)},
    "maps of another type": {"maps": IMAGE[None]},
    "seconds": {"seconds": "x"},
    "besides": {"besides": float("nan")},
    "stopped": {"stopped": None},
    "coils": {"coils": 5},
    "coils of lists": {"coils": {"prewhitening": []}},
    "prior mode": {"prior_mode": []},
    "digest": {"digest": 5},
    "execution": {"execution": 5},
    "deep": {"execution": "deep"},
    "very deep": {"execution": "very deep"},
    "large number": {"execution": {"threads": 10**30}},
    "together": {"together": [[]]},
    "more": {"more": 1},
}


def test_baselines_have_their_names() -> None:
    assert tuple(BASELINES) == BASELINE_NAMES


@pytest.mark.parametrize("what", WRONG)
def test_a_slice_that_no_fit_leaves_does_not_count_whatever_its_checksum_says(tmp_path: Path, what: str) -> None:
    with store(tmp_path) as opened:
        opened.write(finished())
    rewrite_slice(tmp_path / "a.slices" / "slice_0000.h5", {})
    with store(tmp_path) as opened:
        assert opened.has(0, (0,))
    rewrite_slice(tmp_path / "a.slices" / "slice_0000.h5", WRONG[what])
    with store(tmp_path) as opened:
        assert opened.message == "slices that are damaged, and do not count: 1"
        assert not opened.has(0, (0,))
        with pytest.raises(InputError, match="damaged, or no slice of ours"):
            opened.read(0)


@pytest.mark.parametrize(
    "changes",
    [
        {"image": SMALL, "baselines": {}},
        {"coils": {}},
        {"coils": {"coil_compression_kept_energy": "most", "prewhitening": "outer"}},
        {"uncertainty": IMAGE},
        {"prior_mode": "adapt"},
        {"mask": np.ones(4, bool)},
        {"mask": np.ones((4, 5), bool)},
    ],
)
def test_a_slice_that_is_not_like_the_others_does_not_count(tmp_path: Path, changes: dict[str, Any]) -> None:
    settings = {**SETTINGS, "shape": [3, 4, 6, 5]}
    with store(tmp_path, settings) as opened:
        opened.write(finished(0, **changes))
        opened.write(finished(1))
        opened.write(finished(2, mask=np.ones((6, 5), bool)))
    with store(tmp_path, settings) as opened:
        expected = "going on where an earlier run stopped: slices that are there: 2; slices that are damaged, and do "
        assert opened.message == f"{expected}not count: 1"
        assert [opened.has(index, (index,)) for index in range(3)] == [False, True, True]
    for index in (1, 2):
        (tmp_path / "a.slices" / f"slice_{index:04d}.h5").unlink()
    with store(tmp_path, settings) as opened:
        opened.has(0, (0,))  # The only one: nothing tells that it is wrong, until another one is fitted.
        opened.write(finished(1))
        assert [opened.has(index, (index,)) for index in range(2)] == [False, True]


def test_the_folder_is_removed_when_it_holds_no_slice(tmp_path: Path) -> None:
    with store(tmp_path) as one, store(tmp_path) as two:
        one.write(finished(0))
        two.write(finished(1))
        assert one.has(1, (1,))
        assert (one.workers(), two.is_alone()) == (2, False)
        (tmp_path / "a.slices" / OWN_PRIOR).touch()
        one.remove([0, 1])
        # The other process saw nothing of slice 0, but it is done.
        assert two.has(0, (0,))
        assert not two.is_there(0)
        assert not (tmp_path / "a.slices" / OWN_PRIOR).exists()
    assert list(tmp_path.iterdir()) == []
    with store(tmp_path) as opened:
        assert not opened.has(0, (0,))


def test_a_store_of_other_settings_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    with store(tmp_path) as opened:
        opened.write(finished())
        with pytest.raises(InputError, match="another process is at work on this volume with other settings"):
            store(tmp_path, {"seed": 1}).__enter__()
        assert opened.has(0, (0,))
        assert equal(opened.read(0), finished())
        with store(tmp_path) as same:
            assert same.has(0, (0,))


def test_slices_that_a_dead_process_left_after_it_wrote_them_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "a.slices"
    store(tmp_path).remove_left_over([0])
    assert not folder.exists()
    with store(tmp_path) as opened:
        opened.write(finished(0))
        opened.write(finished(1))
    # Not under the eyes of another process, nor with other settings.
    with store(tmp_path):
        store(tmp_path).remove_left_over([0])
    store(tmp_path, {"seed": 1}).remove_left_over([0])
    assert store(tmp_path).is_there(0)
    store(tmp_path).remove_left_over([0, 2])
    assert [store(tmp_path).is_there(index) for index in (0, 1)] == [False, True]
    store(tmp_path).remove_left_over([1])
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_is_found_when_it_is_opened(tmp_path: Path) -> None:
    (tmp_path / "a.slices").write_text("a file")
    with pytest.raises(InputError, match=r"a\.slices: cannot be written"):
        store(tmp_path).__enter__()


FOREIGN = {
    "prior.safetensors", "prior.txt", "slice_backup.h5", "notes.written", "mine.owner", "thesis.partial",
    ".thesis.partial", "a.claim-b", "keep.txt",
}  # fmt: skip


def foreign_folder(folder: Path) -> None:
    folder.mkdir()
    for name in FOREIGN:
        (folder / name).write_text("mine")
        os.utime(folder / name, (1e9, 1e9))


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    foreign_folder(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "slice_0000.h5").write_text("mine")
    (tmp_path / "a.slices").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"a\.slices: is a symbolic link, which is not followed"):
        store(tmp_path).__enter__()
    store(tmp_path).remove_left_over([0])
    assert {path.name for path in (tmp_path / "elsewhere").iterdir()} == {*FOREIGN, "slice_0000.h5"}


def test_files_of_others_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a.slices"
    foreign_folder(folder)
    (folder / "slice_0000.h5").write_text("mine")
    store(tmp_path).remove_left_over([0])
    assert (folder / "slice_0000.h5").read_text() == "mine"
    (folder / "slice_0000.h5").unlink()
    for settings in (SETTINGS, {"seed": 1}):
        with store(tmp_path, settings) as opened:
            opened.write(finished())
            (folder / OWN_PRIOR).touch()
    with store(tmp_path, {"seed": 1}) as opened:
        assert opened.has(0, (0,))
        opened.remove([0])
    assert {path.name for path in folder.iterdir()} == FOREIGN
    assert all((folder / name).read_text() == "mine" for name in FOREIGN)


@pytest.mark.parametrize("content", ["{}", '{"theme": "dark"}'])
def test_a_folder_of_other_settings_altogether_is_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.slices").mkdir()
    path = tmp_path / "a.slices" / "settings.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"settings\.json: expected the settings of a reconstruction, got others"):
        store(tmp_path).__enter__()
    store(tmp_path).remove_left_over([0])
    assert [one.name for one in path.parent.iterdir()] == ["settings.json"]
    assert path.read_text() == content


def test_notes_are_removed_by_the_last_one_even_where_slices_are_left(tmp_path: Path) -> None:
    with store(tmp_path) as opened:
        opened.write(finished(0))
        opened.write(finished(7))
        opened.remove([0])
    assert sorted(path.name for path in (tmp_path / "a.slices").iterdir()) == ["settings.json", "slice_0007.h5"]


@pytest.mark.timeout(30)
def test_folders_and_fifos_under_the_names_of_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "a.slices"
    folder.mkdir()
    os.mkfifo(folder / "settings.json")
    os.mkfifo(folder / "slice_0000.h5")
    os.mkfifo(folder / "01234567.written")
    (folder / "89abcdef.written").mkdir()
    with store(tmp_path) as opened:
        assert not opened.has(0, (0,))
        assert not opened.has(1, (1,))
        opened.write(finished())
        assert opened.has(0, (0,))


@pytest.mark.parametrize("slices", [None, [[0]], {"0": 0}, 0, "0", [None], "deep"])
def test_damaged_notes(tmp_path: Path, slices: object) -> None:
    with store(tmp_path) as opened, store(tmp_path):
        note = {"key": opened.key, "source": opened.source} | ({} if slices is None else {"slices": slices})
        text = "[" * 100_000 if slices == "deep" else json.dumps(note)
        (tmp_path / "a.slices" / "01234567.written").write_text(text)
        assert not opened.has(0, (0,))


@pytest.mark.parametrize("content", ["[" * 100_000, "[1]", "1", "null", "\udcff"])
def test_damaged_settings(tmp_path: Path, content: str) -> None:
    with store(tmp_path) as opened:
        opened.write(finished())
    (tmp_path / "a.slices" / "settings.json").write_text(content, errors="surrogateescape")
    with store(tmp_path) as opened:
        assert opened.has(0, (0,))
    assert json.loads((tmp_path / "a.slices" / "settings.json").read_text()) == SETTINGS


def test_a_slice_under_another_ones_name_does_not_count(tmp_path: Path) -> None:
    folder = tmp_path / "a.slices"
    with store(tmp_path) as opened:
        opened.write(finished(1, together=(0, 1)))
    (folder / "slice_0000.h5").write_bytes((folder / "slice_0001.h5").read_bytes())
    with store(tmp_path) as opened:
        assert opened.has(1, (0, 1))
        assert not opened.has(0, (0, 1))
        with pytest.raises(InputError, match=r"slice_0000\.h5: expected slice 0, got 1"):
            opened.read(0)
