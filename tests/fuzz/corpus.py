"""What failed once, each as the code that builds it: the command's words for the seeds in the working directory."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from fuzz.hdf5_changes import zeros_packed
from fuzz.seeds import COILS, SIZE, SLICES, WORDS

Words = tuple[str, list[str]]
SHAPE = (SLICES, COILS, SIZE, SIZE)
CORPUS: dict[str, Callable[[Path], Words]] = {}


def case(build: Callable[[Path], Words]) -> Callable[[Path], Words]:
    CORPUS[build.__name__] = build
    return build


def _reconstruct(*words: str) -> Words:
    return "reconstruct", [*WORDS, "--overwrite", *words]


def _kspace(path: Path, **options: Any) -> None:
    """Another dataset in place of the k-space."""
    with h5py.File(path, "a") as file:
        del file["kspace"]
        file.create_dataset("kspace", **options)


def _virtual(path: Path, source: str, name: str) -> None:
    with h5py.File(path, "a") as file:
        del file["kspace"]
        layout = h5py.VirtualLayout(SHAPE, "c8")
        layout[...] = h5py.VirtualSource(source, name, SHAPE)
        file.create_virtual_dataset("kspace", layout)


@case
def virtual_dataset_of_itself(folder: Path) -> Words:
    _virtual(folder / "scan.h5", ".", "kspace")
    return _reconstruct("--follow-links")


@case
def virtual_dataset_of_itself_by_its_name(folder: Path) -> Words:
    _virtual(folder / "scan.h5", "scan.h5", "kspace")
    return _reconstruct("--follow-links")


@case
def two_virtual_datasets_of_one_another(folder: Path) -> Words:
    _virtual(folder / "scan.h5", "packed.h5", "kspace")
    _virtual(folder / "packed.h5", "scan.h5", "kspace")
    return _reconstruct("--follow-links")


@case
def virtual_dataset_without_its_source(folder: Path) -> Words:
    _virtual(folder / "scan.h5", "nowhere.h5", "kspace")
    return _reconstruct("--follow-links")


@case
def virtual_maps_without_their_source(folder: Path) -> Words:
    with h5py.File(folder / "maps.h5", "a") as file:
        del file["maps"]
        layout = h5py.VirtualLayout(SHAPE, "c8")
        layout[...] = h5py.VirtualSource("nowhere.h5", "maps", SHAPE)
        file.create_virtual_dataset("maps", layout)
    return _reconstruct("--maps", "maps.h5")


@case
def a_billion_slices(folder: Path) -> Words:
    _kspace(folder / "scan.h5", shape=(10**9, 1, 2, 2), dtype="c8", chunks=(1, 1, 2, 2), fillvalue=np.complex64(1))
    return _reconstruct()


@case
def ten_thousand_squared(folder: Path) -> Words:
    _kspace(
        folder / "scan.h5",
        shape=(1, 1, 10_000, 10_000),
        dtype="c8",
        chunks=(1, 1, 100, 10_000),
        fillvalue=np.complex64(1),
    )
    return _reconstruct()


@case
def a_target_of_a_terabyte(folder: Path) -> Words:
    with h5py.File(folder / "scan.h5", "a") as file:
        del file["reconstruction_rss"]
        file.create_dataset("reconstruction_rss", (SLICES, 10**6, 10**6), "f4", chunks=(1, 1000, 1000), fillvalue=1)
    return "evaluate", ["out", "--target", "."]


@case
def noise_of_a_terabyte(folder: Path) -> Words:
    with h5py.File(folder / "noise.h5", "a") as file:
        del file["noise"]
        file.create_dataset("noise", (COILS, 10**12), "c8", chunks=(1, 1000), fillvalue=np.complex64(1))
    return _reconstruct("--prewhiten", "noise.h5")


@case
def a_chunk_that_inflates(folder: Path) -> Words:
    with h5py.File(folder / "scan.h5", "a") as file:
        del file["kspace"]
        dataset = file.create_dataset("kspace", SHAPE, "c8", chunks=(1, *SHAPE[1:]), compression="gzip")
        dataset.id.write_direct_chunk((0, 0, 0, 0), zeros_packed(128))  # 2 GB
    return _reconstruct()


@case
def a_time_for_an_attribute(folder: Path) -> Words:
    with h5py.File(folder / "scan.h5", "a") as file:
        scalar = h5py.h5s.create(h5py.h5s.SCALAR)
        h5py.h5a.create(file.id, b"time", h5py.h5t.UNIX_D32LE.copy(), scalar)
        h5py.h5a.create(file.id, b"\xff\xfe", h5py.h5t.NATIVE_INT32, scalar)
    return _reconstruct()


@case
def names_that_are_no_text(folder: Path) -> Words:
    with h5py.File(folder / "scan.h5", "a") as file:
        del file["kspace"]
        h5py.h5g.create(file.id, b"\xff\xfe\x1b[31m\n")
    return _reconstruct()


@case
def soft_links_in_a_circle(folder: Path) -> Words:
    with h5py.File(folder / "scan.h5", "a") as file:
        del file["kspace"]
        file["kspace"] = h5py.SoftLink("/other")
        file["other"] = h5py.SoftLink("/kspace")
    return _reconstruct()


@case
def tiny_maps(folder: Path) -> Words:
    with h5py.File(folder / "maps.h5", "a") as file:
        file["maps"][...] = np.full(SHAPE, 1e-40, "c8")
    return _reconstruct("--maps", "maps.h5")


@case
def maps_of_an_empty_dataspace(folder: Path) -> Words:
    with h5py.File(folder / "maps.h5", "a") as file:
        del file["maps"]
        file.create_dataset("maps", data=h5py.Empty("c8"))
    return _reconstruct("--maps", "maps.h5")


@case
def negative_target(folder: Path) -> Words:
    with h5py.File(folder / "scan.h5", "a") as file:
        file["reconstruction_rss"][...] *= -1
    return _reconstruct()


@case
def a_target_of_zeros(folder: Path) -> Words:
    with h5py.File(folder / "scan.h5", "a") as file:
        file["reconstruction_rss"][...] = 0
    return _reconstruct()


@case
def cfl_sizes_past_int64(folder: Path) -> Words:
    (folder / "bart_maps.hdr").write_text("# Dimensions\n4294967296 4294967296 4294967296\n")
    return _reconstruct("--maps", "bart_maps.cfl")


@case
def a_fifo_for_a_header(folder: Path) -> Words:
    import os

    (folder / "bart_maps.hdr").unlink()
    os.mkfifo(folder / "bart_maps.hdr")
    return _reconstruct("--maps", "bart_maps.cfl")


@case
def a_config_of_huge_numbers(folder: Path) -> Words:
    with (folder / "quick.toml").open("a") as file:
        file.write("mask_bank = 10000000000000\nlearning_rate = 1e300\n")
    return _reconstruct()


@case
def a_config_that_is_deep(folder: Path) -> Words:
    (folder / "quick.toml").write_text("x = " + "[" * 60_000)
    return _reconstruct()


@case
def an_integer_of_many_digits(folder: Path) -> Words:
    (folder / "quick.toml").write_text("[alone]\nsteps = " + "9" * 5000 + "\n")
    return _reconstruct()


def _prior(folder: Path, name: str, text: str) -> Words:
    """Another metadata entry in the prior."""
    import json

    path = folder / "prior.safetensors"
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"][name] = text
    changed = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(changed)) + changed + content[8 + length :])
    return _reconstruct("--prior", "prior.safetensors")


@case
def a_prior_that_is_deep(folder: Path) -> Words:
    return _prior(folder, "training", '{"a":' * 50_000 + "1" + "}" * 50_000)


@case
def a_prior_with_a_number_of_many_digits(folder: Path) -> Words:
    return _prior(folder, "training", '{"a":' + "9" * 5000 + "}")


@case
def an_absurd_acceleration(folder: Path) -> Words:
    return _reconstruct("--acceleration", "1e300")


@case
def a_poisson_mask_of_nearly_everything(folder: Path) -> Words:
    return _reconstruct("--mask", "poisson", "--acceleration", "1.01")


@case
def k_space_near_the_largest_float(folder: Path) -> Words:
    with h5py.File(folder / "scan.h5", "a") as file:
        file["kspace"][...] = np.full(SHAPE, 1e38 + 1e38j, "c8")
    return _reconstruct()


@case
def nan_in_the_last_slice_of_the_second_volume(folder: Path) -> Words:
    shutil.copy(folder / "scan.h5", folder / "second.h5")
    with h5py.File(folder / "second.h5", "a") as file:
        file["kspace"][SLICES - 1, 0, 3, 3] = np.nan
    return _reconstruct("second.h5")


@case
def texts_in_a_heap_that_is_damaged(folder: Path) -> Words:
    with h5py.File(folder / "scan.h5", "a") as file:
        file.attrs["patient_id"] = np.array(["one", "two"], dtype=h5py.string_dtype())
    path = folder / "scan.h5"
    content = bytearray(path.read_bytes())
    at = content.index(b"GCOL")
    content[at + 8 : at + 48] = b"\xff" * 40  # the heap's size and its first object
    path.write_bytes(content)
    return _reconstruct()


@case
def an_output_folder_that_is_deep(folder: Path) -> Words:
    return _reconstruct("--out", "a/" * 2000 + "a")


@case
def noise_of_other_coils(folder: Path) -> Words:
    with h5py.File(folder / "noise.h5", "a") as file:
        del file["noise"]
        file.create_dataset("noise", data=np.ones((COILS + 1, 100), "c8"))
    return _reconstruct("--prewhiten", "noise.h5")


@case
def noise_that_is_one_number(folder: Path) -> Words:
    with h5py.File(folder / "noise.h5", "a") as file:
        file["noise"][...] = 1
    return _reconstruct("--prewhiten", "noise.h5")


@case
def noise_that_is_not_a_number(folder: Path) -> Words:
    with h5py.File(folder / "noise.h5", "a") as file:
        file["noise"][...] = np.nan
    return _reconstruct("--prewhiten", "noise.h5")


def _packed(path: Path) -> None:
    """The k-space as two chunks with checksums."""
    with h5py.File(path, "a") as file:
        content = file["kspace"][()]
        del file["kspace"]
        options: dict[str, Any] = {"chunks": (1, *SHAPE[1:]), "compression": "gzip", "fletcher32": True}
        file.create_dataset("kspace", data=content, **options)


@case
def a_chunk_shorter_than_its_checksum(folder: Path) -> Words:
    _packed(folder / "scan.h5")
    with h5py.File(folder / "scan.h5", "a") as file:
        file["kspace"].id.write_direct_chunk((0, 0, 0, 0), bytes(3))
    return _reconstruct()


@case
def a_chunk_that_comes_twice(folder: Path) -> Words:
    _packed(folder / "scan.h5")
    content = bytearray((folder / "scan.h5").read_bytes())
    first = content.rindex(b"TREE\x01") + 24  # the index of the chunks: size, filters, offset; where it lies
    second = first + 56
    content[second : second + 48] = content[first : first + 48]
    (folder / "scan.h5").write_bytes(content)
    return _reconstruct()


@case
def settings_of_a_result_that_are_no_text(folder: Path) -> Words:
    with h5py.File(folder / "out" / "scan.h5", "a") as file:
        del file.attrs["settings"]
        file.attrs.create("settings", b"{\xff\xfe}", dtype=h5py.string_dtype())
    return "evaluate", ["out", "--target", "."]
