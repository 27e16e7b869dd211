"""Attributes and texts of anybody's files: what they add up to, and the heaps that HDF5 keeps texts in."""

import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers import random_complex, write_fastmri

from ugodit.errors import InputError
from ugodit.io import hdf5_attributes, hdf5_heaps
from ugodit.io.fastmri import open_fastmri
from ugodit.io.hdf5 import open_hdf5
from ugodit.io.reconstructions import read_attributes

KSPACE = random_complex((2, 3, 16, 12))


def test_attributes_without_a_plain_value_are_left_out(tmp_path: Path) -> None:
    path = write_fastmri(tmp_path / "a.h5", kspace=KSPACE, attributes={"max": 2.5, "names": ["a", "b"]})
    with h5py.File(path, "a") as file:
        scalar = h5py.h5s.create(h5py.h5s.SCALAR)
        h5py.h5a.create(file.id, b"time", h5py.h5t.UNIX_D32LE.copy(), scalar)
        h5py.h5a.create(file.id, b"\xff\xfe", h5py.h5t.NATIVE_INT32, scalar)
        file.attrs["reference"] = file["kspace"].ref
    assert read_attributes(path) == {"max": 2.5, "names": ["a", "b"]}
    with open_fastmri(path) as volume:
        assert volume.attributes["max"] == 2.5


def test_a_damaged_heap_of_texts_is_found_before_hdf5_steps_through_it_for_ever(tmp_path: Path) -> None:
    path = write_fastmri(tmp_path / "a.h5", kspace=KSPACE, attributes={"names": ["a", "b"]})
    assert read_attributes(path) == {"names": ["a", "b"]}
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    free = heap + 16 + 2 * 24  # after its header and two objects
    assert content[free : free + 2] == b"\0\0"
    content[free + 8 : free + 16] = bytes(8)  # the free space has no length: the next object is itself
    path.write_bytes(content)
    assert read_attributes(path) == {}
    with open_hdf5(path) as file, pytest.raises(InputError, match=r"a\.h5: its texts cannot be read"):
        file.attribute("names")


def with_bytes(path: Path, content: bytes) -> Path:
    """A file with an attribute of texts, and these bytes as a dataset."""
    with h5py.File(path, "w") as file:
        file.attrs["names"] = ["a", "b"]
        place = file.create_dataset("bytes", data=np.frombuffer(content, np.uint8)).id.get_offset()
    assert path.read_bytes()[place : place + len(content)] == content
    return path


def heaps_over_one_another(count: int) -> bytes:
    """Heaps whose objects run into the next heap's, and so on to the end of all."""
    size = 48 * count
    heaps = bytearray(size)
    for number in range(count):
        place = 48 * number
        struct.pack_into("<4sB3xQ", heaps, place, b"GCOL", 1, size - place)
        struct.pack_into("<HH4xQ", heaps, place + 16, 1, 0, 32 if number < count - 1 else 16)
    return bytes(heaps)


@pytest.mark.parametrize("content", [heaps_over_one_another(2000), b"GCOL\x01\0\0\0" * (1 << 17)])
def test_heaps_take_no_longer_than_their_steps(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_heaps, "MAX_STEPS", 1 << 17)
    path = with_bytes(tmp_path / "a.h5", content)
    looks = []
    look = hdf5_attributes.check_heaps
    monkeypatch.setattr(hdf5_attributes, "check_heaps", lambda path: looks.append(path) or look(path))
    with open_hdf5(path) as file:
        for _ in range(3):
            with pytest.raises(InputError, match="holds more texts than are looked through"):
                file.attribute("names")
    assert len(looks) == 1
    assert read_attributes(with_bytes(path, heaps_over_one_another(200))) == {"names": ["a", "b"]}


def test_a_damaged_heap_is_found_whatever_its_unused_bytes_say(tmp_path: Path) -> None:
    heap = struct.pack("<4sB3sQ", b"GCOL", 1, b"xyz", 4096) + bytes(4080)
    with open_hdf5(with_bytes(tmp_path / "a.h5", heap)) as file, pytest.raises(InputError, match="cannot be read"):
        file.attribute("names")


def the_same_text(path: Path, name: str, size: int, count: int) -> Path:
    """A file with as many texts in an attribute, which are all the same one in it."""
    with h5py.File(path, "w") as file:
        file.attrs["long"] = "x" * size
        file.attrs[name] = ["y" * 20] * count
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        assert file.attrs["long"] == "x" * size
    heap = content.index(b"x" * size) - 16 - 16
    assert content[heap : heap + 4] == b"GCOL"
    short = content.index(b"y" * 20)
    short_heap = content.rindex(b"GCOL", 0, short)
    long_reference = struct.pack("<IQI", size, heap, 1)
    assert long_reference in content
    for number in range(count):  # in one heap, or some: by what refers to them
        place = content.find(struct.pack("<I", 20) + struct.pack("<Q", short_heap))
        if place >= 0:
            content[place : place + 16] = long_reference
        elif number < 20:
            pytest.fail("found no references to texts")
    path.write_bytes(content)
    return path


def test_one_text_many_times_is_no_more_than_the_limit_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hdf5_attributes, "MAX_TEXT_BYTES", 1 << 20)
    path = the_same_text(tmp_path / "a.h5", "names", 1 << 16, 100)
    with h5py.File(path) as file:
        assert len(file.attrs["names"][0]) == 1 << 16
    with open_hdf5(path) as file:
        assert len(file.attribute("long")) == 1 << 16
        with pytest.raises(InputError, match=r"attribute `names`: expected at most .* of their texts"):
            file.attribute("names")
    assert list(read_attributes(path)) == ["long"]


def test_a_long_text_beside_many_short_ones_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {name: [f"{name} {number}" for number in range(3000)] for name in ("a", "b", "c", "d")}
    path = write_fastmri(tmp_path / "a.h5", kspace=KSPACE, attributes={"settings": "x" * 300_000, **names})
    assert read_attributes(path) == {"settings": "x" * 300_000, **names}
    monkeypatch.setattr(hdf5_heaps, "MAX_LONG", -1)
    assert list(read_attributes(path)) == ["settings"]  # so that the closer look is what lets them pass


def test_attributes_have_a_limit_in_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_attributes, "MAX_BYTES", 6000)
    path = write_fastmri(tmp_path / "a.h5", kspace=KSPACE, attributes={n: np.zeros(250) for n in ("a", "b")})
    assert list(read_attributes(path)) == ["a"]
    with open_hdf5(path) as file:
        for _ in range(3):
            assert len(file.attribute("b")) == 250
        with pytest.raises(InputError, match="attribute `a`: expected at most 6000 bytes of attributes in all"):
            file.attribute("a")


def test_texts_and_lists_within_others_are_not_read(tmp_path: Path) -> None:
    path = write_fastmri(tmp_path / "a.h5", kspace=KSPACE)
    text = h5py.string_dtype()
    with h5py.File(path, "a") as file:
        file.attrs.create("pairs", np.array([("a", 1)], dtype=[("name", text), ("number", "i4")]))
        file.attrs.create("lists", np.array([np.arange(3), np.arange(2)], object), dtype=h5py.vlen_dtype("i4"))
        file.attrs["fixed"] = np.bytes_("text")
    assert read_attributes(path) == {"lists": [[0, 1, 2], [0, 1]], "fixed": "text"}


def test_a_header_is_not_read_from_a_file_with_endless_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_fastmri(tmp_path / "a.h5", kspace=KSPACE, ismrmrd_header="<a/>", attributes={"long": "x" * 5000})
    monkeypatch.setattr("ugodit.io.hdf5_dataset.MAX_LONGEST_BYTES", 4999)
    with pytest.raises(InputError, match="ismrmrd_header: the file has texts of more than 4999 bytes"):
        open_fastmri(path)
