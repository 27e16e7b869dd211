"""Well-formed HDF5 files that hold something else than they should: types, shapes, links, storage, sizes, names."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.random import Generator

TYPES: list[Any] = [
    "?", "i1", "u8", "f2", "f4", ">f8", "c8", ">c16", "S7", h5py.string_dtype(), np.dtype([("r", "f4"), ("i", "f4")]),
    np.dtype([("a", "i4"), ("b", "S3")]), np.dtype(("f4", (2,))), h5py.ref_dtype, h5py.regionref_dtype,
    h5py.vlen_dtype(np.float32), h5py.enum_dtype({"a": 1, "b": 2}), h5py.opaque_dtype(np.dtype("V8")),
    h5py.opaque_dtype(np.dtype("M8[s]")), h5py.string_dtype("ascii", 5),
]  # fmt: skip
SHAPES: list[Any] = [
    (), (0,), (1,), (3,), (40,), (40, 40), (2, 40, 40), (4, 40, 40), (2, 4, 40, 41), (2, 4, 0, 40), (1, 1, 1, 1),
    (2, 4, 1, 40), (2, 4, 40, 1), (2, 4, 2, 2), (1, 2, 4, 40, 40), (2, 1, 40, 40), (3, 4, 40, 40), (1,) * 32,
]  # fmt: skip
SIZES: list[tuple[int, ...]] = [
    (10**12,), (10**9, 4, 40, 40), (2, 10**9, 40, 40), (1, 4, 10_000, 10_000), (2, 4, 10**6, 10**6), (10**4, 1, 2, 2),
    (2, 4, 2**40, 1), (2, 10**6, 10**6), (10**9, 40, 40), (1, 1000, 40, 40), (4, 10**10), (2, 4, 8192, 8192),
]  # fmt: skip
VALUES = [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-40, 1e-320, 1e38, 1e300, -1e300]

Change = Callable[[h5py.File, str, Generator], None]


def change_hdf5(path: Path, generator: Generator, names: list[str]) -> None:
    """One change, or a few, to some of these datasets."""
    with h5py.File(path, "a") as file:
        for _ in range(int(generator.choice([1, 1, 1, 2, 3]))):
            name = str(generator.choice(names))
            change = CHANGES[int(generator.integers(len(CHANGES)))]
            change(file, name, generator)


def _drop(file: h5py.File, name: str) -> Any:
    """Remove a dataset; what it held, or something."""
    content = None
    if isinstance(file.get(name, getlink=True), h5py.HardLink):
        with contextlib.suppress(OSError, TypeError):  # an earlier change may have left no data there
            found = file[name]
            if (
                isinstance(found, h5py.Dataset)
                and found.shape is not None
                and found.chunks is None
                and not found.is_virtual  # one of itself, say
                and found.size < 10**6
            ):
                content = found[()] if found.dtype.kind in "biufcS" else None
    if file.id.links.exists(name.encode()):
        del file[name]
    return np.ones((2, 4, 40, 40), "c8") if content is None else content


def missing(file: h5py.File, name: str, generator: Generator) -> None:
    _drop(file, name)


def another_type(file: h5py.File, name: str, generator: Generator) -> None:
    shape = np.shape(_drop(file, name))
    file.create_dataset(name, shape, TYPES[int(generator.integers(len(TYPES)))])


def another_shape(file: h5py.File, name: str, generator: Generator) -> None:
    content = np.atleast_1d(_drop(file, name))
    shape = SHAPES[int(generator.integers(len(SHAPES)))]
    content = content if content.dtype.kind in "biufc" else np.ones(4, "f4")
    file.create_dataset(name, data=np.resize(content, shape))


def empty_dataspace(file: h5py.File, name: str, generator: Generator) -> None:
    _drop(file, name)
    file.create_dataset(name, data=h5py.Empty(generator.choice(["c8", "f4", "?"])))


def a_group(file: h5py.File, name: str, generator: Generator) -> None:
    _drop(file, name)
    group = file.create_group(name)
    for depth in range(int(generator.choice([0, 3, 200]))):
        group = group.create_group(f"g{depth}")
    if generator.random() < 0.3:
        group["back"] = file["/"]


def a_named_type(file: h5py.File, name: str, generator: Generator) -> None:
    _drop(file, name)
    file[name] = np.dtype("c8")


def huge(file: h5py.File, name: str, generator: Generator) -> None:
    content = _drop(file, name)
    size = SIZES[int(generator.integers(len(SIZES)))]
    dtype = np.asarray(content).dtype if np.asarray(content).dtype.kind in "biufc" else "c8"
    chunks = tuple(min(one, 16) for one in size) if generator.random() < 0.7 else None
    if chunks and generator.random() < 0.2:
        chunks = tuple(min(one, 2 ** int(generator.integers(12))) for one in size)
    options: dict[str, Any] = {"chunks": chunks} if chunks else {}
    if chunks and generator.random() < 0.5:  # without chunks they would be written
        options["fillvalue"] = np.ones((), dtype)[()]
    try:
        file.create_dataset(name, size, dtype, **options)
    except (ValueError, OSError):
        file.create_dataset(name, size, dtype, chunks=(1,) * len(size))


def values(file: h5py.File, name: str, generator: Generator) -> None:
    content = np.array(_drop(file, name))
    if content.dtype.kind not in "fc":
        content = np.ones((2, 4, 40, 40), "c8")
    wide = generator.random() < 0.3
    content = content.astype("c16" if content.dtype.kind == "c" else "f8") if wide else content
    value = VALUES[int(generator.integers(len(VALUES)))]
    with np.errstate(all="ignore"):
        if generator.random() < 0.5:
            content.flat[int(generator.integers(content.size))] = value
        elif generator.random() < 0.5:
            content[...] = value
        else:
            content = (content * value).astype(content.dtype)
    file[name] = content


def soft_link(file: h5py.File, name: str, generator: Generator) -> None:
    _drop(file, name)
    target = str(generator.choice([name, "/other", "/", "nowhere", "/a/b/c/" * 200, f"./{name}/../x", "é/ü"]))
    file[name] = h5py.SoftLink(target)
    if not file.id.links.exists(b"other"):
        file["other"] = h5py.SoftLink(f"/{name}")


def external_link(file: h5py.File, name: str, generator: Generator) -> None:
    _drop(file, name)
    other = str(
        generator.choice(["packed.h5", "/etc/passwd", "../../x.h5", "nowhere.h5", "scan.h5", "é.h5", "/dev/zero"])
    )
    file[name] = h5py.ExternalLink(other, f"/{name}")


def external_storage(file: h5py.File, name: str, generator: Generator) -> None:
    _drop(file, name)
    other = str(generator.choice(["/etc/passwd", "packed.h5", "/dev/zero", "nowhere.bin", "../x"]))
    shape = (2, 4, 40, 40)
    file.create_dataset(name, shape, "c8", external=[(other, 0, int(np.prod(shape)) * 8)])


def virtual(file: h5py.File, name: str, generator: Generator) -> None:
    _drop(file, name)
    shape = (2, 4, 40, 40)
    layout = h5py.VirtualLayout(shape, "c8")
    other = str(generator.choice([".", os.path.basename(file.filename), "packed.h5", "nowhere.h5", "/etc/passwd"]))
    inside = str(generator.choice([name, "kspace", "nothing"]))
    layout[...] = h5py.VirtualSource(other, inside, shape)
    file.create_virtual_dataset(name, layout)


def inflating(file: h5py.File, name: str, generator: Generator) -> None:
    """A chunk that declares little and inflates to a lot."""
    _drop(file, name)
    shape = (2, 4, 40, 40)
    dataset = file.create_dataset(name, shape, "c8", chunks=(1, 4, 40, 40), compression="gzip")
    dataset.id.write_direct_chunk((0, 0, 0, 0), zeros_packed(int(generator.choice([1, 8, 200]))))


def zeros_packed(blocks: int) -> bytes:
    """So many times 16 MB of zeros, as zlib packs them."""
    packer = zlib.compressobj(9)
    first, again = (packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * (blocks - 1) + packer.flush()


def small_chunks(file: h5py.File, name: str, generator: Generator) -> None:
    content = np.asarray(_drop(file, name))
    if content.ndim and content.dtype.kind in "biufc":
        file.create_dataset(name, data=content, chunks=(1,) * content.ndim)


def odd_names(file: h5py.File, name: str, generator: Generator) -> None:
    _drop(file, name)
    for text in (b"\xff\xfe", b"a\nb\x1b[31m", "é‮".encode(), b"x" * 3000, b" "):
        if not file.id.links.exists(text):
            h5py.h5g.create(file.id, text)


def attributes(file: h5py.File, name: str, generator: Generator) -> None:
    """Attributes of types that NumPy lacks, of undecodable names, large, empty, or of the right name."""
    for key in ("slices", "settings", "max", "acquisition", "checksum"):
        file.attrs.pop(key, None) if key in file.attrs else None
        kind = int(generator.integers(9))
        value: Any = [b"\xff\xfe", np.arange(-3, 3), h5py.Empty("f4"), "x" * 60_000, np.nan, 10**18, ["a", "b"], [], 0][
            kind
        ]
        if kind != 7:
            file.attrs[key] = value
    time_type = h5py.h5t.UNIX_D32LE.copy()
    space = h5py.h5s.create(h5py.h5s.SCALAR)
    for raw in (b"time", b"\xff\xfe", b"slices2"):
        if not h5py.h5a.exists(file.id, raw):
            h5py.h5a.create(file.id, raw, time_type, space)
    if "ref" not in file.attrs:
        file.attrs["ref"] = file["/"].ref


def time_type(file: h5py.File, name: str, generator: Generator) -> None:
    _drop(file, name)
    space = h5py.h5s.create_simple((2, 4, 40, 40))
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.UNIX_D32LE, space)


def swapped(file: h5py.File, name: str, generator: Generator) -> None:
    others = [other for other in ("kspace", "reconstruction_rss", "ismrmrd_header") if other != name and other in file]
    if others and name in file:
        other = str(generator.choice(others))
        file.move(name, "between")
        file.move(other, name)
        file.move("between", other)


def header(file: h5py.File, name: str, generator: Generator) -> None:
    """Another XML header."""
    sizes = generator.choice(["0", "-1", "40", "1e3", "9" * 5000, "9" * 300, "٣", ""], 2)
    matrix = f"<matrixSize><x>{sizes[0]}</x><y>{sizes[1]}</y></matrixSize>"
    text = [
        "", "<", "<x/>", "<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", "<a>" * 20_000, "<a>" * 5000 + "</a>" * 5000,
        f"<ismrmrdHeader xmlns='http://www.ismrm.org/ISMRMRD'><encoding><reconSpace>{matrix}</reconSpace></encoding>"
        "</ismrmrdHeader>", "\u202e\x1b", "x" * 5_000_000,
    ]  # fmt: skip
    if "ismrmrd_header" in file:
        del file["ismrmrd_header"]
    chosen = text[int(generator.integers(len(text)))]
    file["ismrmrd_header"] = chosen.encode() if generator.random() < 0.5 else chosen


CHANGES: list[Change] = [
    missing, another_type, another_type, another_shape, another_shape, empty_dataspace, a_group, a_named_type, huge,
    huge, values, values, soft_link, external_link, external_storage, virtual, virtual, inflating, small_chunks,
    odd_names, attributes, attributes, time_type, swapped, header,
]  # fmt: skip
