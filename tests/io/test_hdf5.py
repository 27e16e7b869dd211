"""The one door to HDF5: links, storage, sizes, types and names of anybody's files."""

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers import random_complex, write_fastmri

from ugodit.data import limits
from ugodit.errors import InputError
from ugodit.io.fastmri import open_fastmri
from ugodit.io.hdf5 import open_hdf5

SHAPE = (2, 3, 16, 12)
KSPACE = random_complex(SHAPE)


def virtual(path: Path, source: str, name: str = "kspace", shape: tuple[int, ...] = SHAPE) -> Path:
    """A file whose k-space is a virtual dataset of that source."""
    layout = h5py.VirtualLayout(SHAPE, "c8")
    layout[...] = h5py.VirtualSource(source, name, SHAPE)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("kspace", layout)
    return path


def linked(folder: Path, kind: str) -> Path:
    """A file whose k-space lies in data.h5, or data.bin, beside it."""
    write_fastmri(folder / "data.h5", kspace=KSPACE)
    path = folder / "scan.h5"
    if kind == "virtual dataset":
        return virtual(path, "data.h5")
    with h5py.File(path, "w") as file:
        if kind == "external link":
            file["kspace"] = h5py.ExternalLink("data.h5", "/kspace")
        elif kind == "link over a soft link":
            file["kspace"] = h5py.SoftLink("/elsewhere")
            file["elsewhere"] = h5py.ExternalLink("data.h5", "/kspace")
        else:
            (folder / "data.bin").write_bytes(KSPACE.tobytes())
            file.create_dataset("kspace", SHAPE, "c8", external=[("data.bin", 0, KSPACE.nbytes)])
    return path


KINDS = ["external link", "link over a soft link", "external storage", "virtual dataset"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_in_another_file_is_refused_by_its_name(tmp_path: Path, kind: str) -> None:
    with pytest.raises(
        InputError, match=r"scan\.h5: kspace: .*another file, 'data\.(h5|bin)'.*--follow-links"
    ) as caught:
        open_fastmri(linked(tmp_path, kind))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_files_beside_the_scan_are_followed_where_that_is_asked_for(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = linked(tmp_path, kind)
    monkeypatch.chdir("/")
    with open_fastmri(path, follow_links=True) as volume:
        np.testing.assert_array_equal(volume.scan(1).kspace.numpy(), KSPACE[1])


@pytest.mark.parametrize("kind", KINDS)
def test_files_elsewhere_are_never_followed(tmp_path: Path, kind: str) -> None:
    path = linked(tmp_path, kind)
    (tmp_path / "elsewhere").mkdir()
    for name in ("data.h5", "data.bin"):
        if (tmp_path / name).exists():
            os.replace(tmp_path / name, tmp_path / "elsewhere" / name)
            (tmp_path / name).symlink_to(tmp_path / "elsewhere" / name)
    with pytest.raises(InputError, match=r"does not lie beside scan\.h5"):
        open_fastmri(path, follow_links=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_part_is_an_error_and_not_zeros(tmp_path: Path, kind: str) -> None:
    path = linked(tmp_path, kind)
    for name in ("data.h5", "data.bin"):
        (tmp_path / name).unlink(missing_ok=True)
    with pytest.raises(InputError, match="there is no such file"):
        open_fastmri(path, follow_links=True)


def test_a_source_without_its_dataset_or_too_small_is_an_error(tmp_path: Path) -> None:
    write_fastmri(tmp_path / "data.h5", other=KSPACE)
    with pytest.raises(InputError, match="a part of a virtual dataset is missing"):
        open_fastmri(virtual(tmp_path / "a.h5", "data.h5"), follow_links=True)
    write_fastmri(tmp_path / "small.h5", kspace=KSPACE[:1])
    with pytest.raises(InputError, match="a part of a virtual dataset is missing"):
        open_fastmri(virtual(tmp_path / "b.h5", "small.h5"), follow_links=True)


def test_a_virtual_dataset_that_contains_itself_is_found_before_it_is_read(tmp_path: Path) -> None:
    itself = [virtual(tmp_path / "dot.h5", "."), virtual(tmp_path / "name.h5", "name.h5")]
    virtual(tmp_path / "b.h5", "a.h5")
    for path in [*itself, virtual(tmp_path / "a.h5", "b.h5")]:
        with pytest.raises(InputError, match="contains itself"):
            open_fastmri(path, follow_links=True)


def test_sources_are_not_read_through_further_links(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["kspace"] = h5py.ExternalLink("/etc/passwd", "/kspace")
    with pytest.raises(InputError, match="a part of a virtual dataset is missing"):
        open_fastmri(virtual(tmp_path / "scan.h5", "data.h5"), follow_links=True)


def test_soft_links_lead_to_datasets_or_end(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["deep/er/data"] = KSPACE
        file["kspace"] = h5py.SoftLink("deep/er/data")
        file["circle"] = h5py.SoftLink("/other")
        file["other"] = h5py.SoftLink("circle")
        file["nowhere"] = h5py.SoftLink("/deep/none")
        group = file["/"]
        for _ in range(100):
            group = group.create_group("g")
    with open_hdf5(tmp_path / "a.h5") as found:
        np.testing.assert_array_equal(found.dataset("kspace").read(), KSPACE)
        np.testing.assert_array_equal(found.dataset("deep/er/data").read(1), KSPACE[1])
        with pytest.raises(InputError, match="circle: leads through more than 32 groups and links"):
            found.dataset("circle")
        with pytest.raises(InputError, match="expected a dataset `nowhere`"):
            found.dataset("nowhere")
        with pytest.raises(InputError, match="leads through more than 32"):
            found.dataset("g/" * 100)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((10**9, 1, 2, 2), "expected at most 4000 slices, got 1000000000"),
        ((1, 1, 10_000, 10_000), "expected at most 8192 readout samples, got 10000"),
        ((1, 1, 8000, 8000), "expected at most 8388608 samples in a slice of one coil"),
        ((1, 10**6, 10, 10), "expected at most 512 coils"),
        ((1, 1, 10**6, 10**6), "expected at most 8192 readout samples"),
    ],
)
def test_declared_sizes_are_checked_before_anything_is_allocated(
    tmp_path: Path, shape: tuple[int, ...], message: str
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("kspace", shape, "c8", chunks=tuple(min(one, 16) for one in shape))
    with pytest.raises(InputError, match=message):
        open_fastmri(tmp_path / "a.h5")


def test_a_slice_must_fit_into_the_memory_that_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_fastmri(tmp_path / "a.h5", kspace=KSPACE)
    assert limits.available_memory() > 1 << 20
    monkeypatch.setattr(limits, "available_memory", lambda: 50_000)
    with pytest.raises(InputError, match=r"a\.h5: kspace: a slice would need .* of memory or more"):
        open_fastmri(path)


def test_chunks_that_are_too_large_too_small_or_inflate_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"

    def written(**options: object) -> h5py.Dataset:
        with h5py.File(path, "w") as file:
            return file.create_dataset("kspace", dtype="c8", **options)

    written(shape=(4096, 1, 4096, 512), chunks=(64, 1, 4096, 512))
    with pytest.raises(InputError, match="kspace: expected chunks of at most"):
        open_fastmri(path)
    written(shape=(1, 1, 1024, 1024), chunks=(1, 1, 1, 1))
    with open_fastmri(path) as volume, pytest.raises(InputError, match="expected larger chunks"):
        volume.scan(0)
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("kspace", SHAPE, "c8", chunks=(1, *SHAPE[1:]), compression="gzip")
        dataset[1] = KSPACE[1]
        dataset.id.write_direct_chunk((0, 0, 0, 0), zlib.compress(bytes(1 << 27)))
    with open_fastmri(path) as volume:
        np.testing.assert_array_equal(volume.scan(1).kspace.numpy(), KSPACE[1])
        with pytest.raises(InputError, match="a chunk does not hold what it declares"):
            volume.scan(0)


@pytest.mark.parametrize("options", [{"fletcher32": True}, {"fletcher32": True, "compression": "gzip"}])
def test_a_chunk_without_room_for_its_checksum_is_refused(tmp_path: Path, options: dict[str, object]) -> None:
    """HDF5 itself crashes on one."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("kspace", SHAPE, "c8", chunks=(1, *SHAPE[1:]), **options)
        dataset[1] = KSPACE[1]
        dataset.id.write_direct_chunk((0, 0, 0, 0), bytes(3))
    with open_fastmri(tmp_path / "a.h5") as volume, pytest.raises(InputError, match="the file is damaged"):
        volume.scan(0)


@pytest.mark.parametrize(
    "options", [{"compression": "gzip"}, {"compression": "lzf", "shuffle": True, "fletcher32": True}]
)
def test_usual_compression_is_read(tmp_path: Path, options: dict[str, object]) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("kspace", data=KSPACE, chunks=(1, 2, 16, 5), **options)
    with open_fastmri(tmp_path / "a.h5") as volume:
        np.testing.assert_array_equal(volume.scan(1).kspace.numpy(), KSPACE[1])


def test_other_filters_are_refused_by_their_name(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("kspace", data=KSPACE)
        file.create_dataset("mask", data=np.ones(12, np.int32), chunks=(12,), scaleoffset=0)
    with pytest.raises(InputError, match="mask: expected gzip, lzf or no compression, got the filters scaleoffset"):
        open_fastmri(tmp_path / "a.h5")


def _time(file: h5py.File) -> None:
    h5py.h5d.create(file.id, b"kspace", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple(SHAPE))


WRONG_TYPES: list[Callable[[h5py.File], object]] = [
    _time,
    lambda file: file.create_dataset("kspace", data=h5py.Empty("c8")),
    lambda file: file.create_dataset("kspace", SHAPE, h5py.ref_dtype),
    lambda file: file.create_dataset("kspace", SHAPE, h5py.vlen_dtype(np.float32)),
    lambda file: file.create_dataset("kspace", SHAPE, h5py.opaque_dtype(np.dtype("V8"))),
    lambda file: file.create_dataset("kspace", SHAPE, [("a", "f4"), ("b", "S3")]),
    lambda file: file.create_dataset("kspace", SHAPE, h5py.enum_dtype({"a": 1})),
    lambda file: file.create_dataset("kspace", SHAPE, h5py.string_dtype()),
    lambda file: file.create_group("kspace"),
    lambda file: file.__setitem__("kspace", np.dtype("c8")),
]


@pytest.mark.parametrize("write", WRONG_TYPES)
def test_other_types_end_in_one_line(tmp_path: Path, write: Callable[[h5py.File], object]) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write(file)
    with pytest.raises(InputError, match="kspace") as caught:
        open_fastmri(tmp_path / "a.h5")
    assert "\n" not in str(caught.value)


def test_names_in_errors_are_few_and_readable(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        h5py.h5g.create(file.id, b"\xff\xfe")
        for number in range(2000):
            file.create_group(f"group{number}")
    with pytest.raises(InputError, match=r"found only .*, \.\.\.$") as caught:
        open_fastmri(tmp_path / "a.h5")
    assert len(str(caught.value)) < 400


def test_a_fifo_or_a_device_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.h5")
    for path in (tmp_path / "fifo.h5", Path("/dev/zero"), tmp_path):
        with pytest.raises(InputError, match="expected an HDF5 file, got a folder or a device"):
            open_hdf5(path)


@pytest.mark.parametrize("value", [-1.0, 1e300, np.nan])
def test_targets_are_finite_and_not_negative(tmp_path: Path, value: float) -> None:
    target = np.full((2, 8, 8), value)
    path = write_fastmri(tmp_path / "a.h5", kspace=KSPACE, reconstruction_rss=target)
    expected = "reconstruction_rss, slice 0: expected finite numbers from 0"
    with open_fastmri(path) as volume, pytest.raises(InputError, match=expected):
        volume.scan(0)


def test_a_target_of_zeros_is_no_intensity_range(tmp_path: Path) -> None:
    target = np.zeros((2, 8, 8), "f4")
    with open_fastmri(write_fastmri(tmp_path / "a.h5", kspace=KSPACE, reconstruction_rss=target)) as volume:
        assert volume.scan(0).target is not None
        with pytest.raises(InputError, match="expected a positive maximum, got 0"):
            volume.target_maximum()
