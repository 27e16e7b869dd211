"""Kernels from files, and files that hold none."""

import io
from pathlib import Path

import numpy as np
import pytest

from ugodit.data.blur_kernels import motion_kernel
from ugodit.errors import InputError
from ugodit.io.blur_kernels import read_kernel

KERNEL = motion_kernel(7, 0.5, 1)[:5]
KERNEL = KERNEL / KERNEL.sum()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [">f8", "<f4"])
def test_npy(tmp_path: Path, order: str, dtype: str) -> None:
    np.save(tmp_path / "kernel.npy", np.array(KERNEL, dtype=dtype, order=order))  # type: ignore[call-overload]
    np.testing.assert_allclose(read_kernel(tmp_path / "kernel.npy"), KERNEL, rtol=1e-6, atol=1e-9)


def test_integers_count(tmp_path: Path) -> None:
    np.save(tmp_path / "kernel.npy", np.eye(3, dtype=np.uint8))
    np.testing.assert_allclose(read_kernel(tmp_path / "kernel.npy"), np.eye(3) / 3)
    np.save(tmp_path / "kernel.npy", np.eye(3, dtype=bool))
    np.testing.assert_allclose(read_kernel(tmp_path / "kernel.npy"), np.eye(3) / 3)


@pytest.mark.parametrize("delimiter", [" ", ",", "\t"])
def test_text(tmp_path: Path, delimiter: str) -> None:
    np.savetxt(tmp_path / "kernel.txt", KERNEL, delimiter=delimiter, header="a motion")
    np.testing.assert_allclose(read_kernel(str(tmp_path / "kernel.txt")), KERNEL)


def npy_bytes(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


GOOD = npy_bytes(KERNEL)
# A header that declares 10^12 rows over the data of 5, of the same length.
LYING = npy_bytes(KERNEL).replace(b"(5, 7), }             ", b"(1000000000000, 7), } ")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("k.npy", b"", "expected NumPy's .npy, cannot read its header"),
        ("k.npy", GOOD[:40], "expected NumPy's .npy, cannot read its header"),
        ("k.npy", GOOD.replace(b"{'descr'", b"{{descr'"), "expected NumPy's .npy, cannot read its header"),
        ("k.npy", GOOD[:-1], "expected 280 bytes for .5, 7., got 279; copy the file again"),
        ("k.npy", GOOD + b"0", "expected 280 bytes for .5, 7., got 281"),
        ("k.npy", LYING, "expected a real array of two axes, of 511 x 511 at most, got float64 .1000000000000, 7."),
        ("k.npy", npy_bytes(np.ones(3)), "expected a real array of two axes"),
        ("k.npy", npy_bytes(np.ones((3, 3), complex)), "expected a real array .* got complex128"),
        ("k.npy", npy_bytes(np.ones((4, 4))), "`kernel`: expected an odd number of rows"),
        ("k.npy", npy_bytes(np.full((3, 3), np.nan)), "`kernel`: expected finite numbers"),
        ("k.npy", npy_bytes(np.ones((0, 3))), "`kernel`: expected an odd number of rows"),
        ("k.txt", b"", "expected rows of numbers as text, got none"),
        ("k.txt", b"# nothing\n\n", "expected rows of numbers as text, got none"),
        ("k.txt", b"1 2 3\n4 five 6\n7 8 9", "expected rows of numbers as text, or a file NAME.npy"),
        ("k.txt", b"\xff\xfe\x00", "expected rows of numbers as text, or a file NAME.npy"),
        ("k.txt", b"1 2 3\n4 5\n", "`kernel`: expected rows of numbers, all of one length"),
        ("k.txt", b"1 nan 3", "`kernel`: expected finite numbers"),
    ],
)
def test_what_holds_no_kernel(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"^{path}: {message}") as error:
        read_kernel(path)
    assert "\n" not in str(error.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read_kernel(tmp_path / "kernel.npy")
    with pytest.raises(InputError, match="expected a blur kernel, got a folder or a device"):
        read_kernel(tmp_path)


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    with open(tmp_path / "kernel.txt", "wb") as file:
        file.truncate((1 << 23) + 1)
    with pytest.raises(InputError, match="expected a blur kernel of at most 8388608 bytes, got more"):
        read_kernel(tmp_path / "kernel.txt")
