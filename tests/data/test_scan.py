import numpy as np
import pytest
import torch
from helpers import random_complex

from ugodit.data.scan import Scan

_KSPACE = torch.zeros(2, 6, 4, dtype=torch.complex64)


def test_a_consistent_scan_is_accepted_with_either_kind_of_mask():
    for shape in ((4,), (6, 4)):
        Scan("a", 0, _KSPACE, torch.ones(shape, dtype=torch.bool), (5, 4), torch.zeros(5, 4))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"kspace": _KSPACE[None]}, "kspace"),
        ({"kspace": _KSPACE.to(torch.complex128)}, "kspace"),
        ({"mask": torch.ones(6, dtype=torch.bool)}, "mask"),
        ({"mask": torch.ones(4)}, "mask"),
        ({"crop": (7, 4)}, "crop"),
        ({"crop": (6, 0)}, "crop"),
        ({"target": torch.zeros(6, 3)}, "target"),
    ],
)
def test_parts_that_do_not_fit_are_refused_by_name(changed, named):
    parts = {"name": "a", "slice_index": 0, "kspace": _KSPACE, "mask": None, "crop": (6, 4), "target": None}
    with pytest.raises(ValueError, match=f"^{named}: expected"):
        Scan(**{**parts, **changed})


# ---- from arrays ----------------------------------------------------------------------------------------------------

_MEASURED = random_complex((3, 6, 4))
_LINES = np.array([True, False, True, True])
_SAMPLES = np.arange(24).reshape(6, 4) % 3 != 1


@pytest.mark.parametrize("mask", [_LINES, _SAMPLES], ids=["lines", "samples"])
@pytest.mark.parametrize("as_torch", [False, True], ids=["numpy", "torch"])
@pytest.mark.parametrize("precision", [np.complex64, np.complex128])
@pytest.mark.parametrize("dtype", [bool, np.float32, np.float64, np.uint8, np.int64])
def test_arrays_become_a_scan(mask, as_torch, precision, dtype):
    measured, given = _MEASURED.astype(precision), (mask * 7).astype(dtype)
    arrays = [torch.from_numpy(array) for array in (measured, given)] if as_torch else [measured, given]
    scan = Scan.from_arrays(*arrays)
    assert (scan.kspace.dtype, scan.mask.dtype) == (torch.complex64, torch.bool)
    np.testing.assert_array_equal(scan.mask.numpy(), mask)
    # What was not measured is no part of it.
    np.testing.assert_array_equal(scan.kspace.numpy(), np.where(mask, _MEASURED, 0))
    assert (scan.name, scan.slice_index, scan.crop) == ("scan", 0, (6, 4))
    assert (scan.maps, scan.target) == (None, None)


def test_the_callers_arrays_stay_as_they_are():
    measured, mask = _MEASURED.copy(), _LINES.astype(np.float32)
    Scan.from_arrays(measured, mask)
    np.testing.assert_array_equal(measured, _MEASURED)
    np.testing.assert_array_equal(mask, _LINES)


def test_without_a_mask_everything_was_measured():
    scan = Scan.from_arrays(_MEASURED)
    assert scan.mask is None
    np.testing.assert_array_equal(scan.kspace.numpy(), _MEASURED)


@pytest.mark.parametrize("precision", [np.complex64, np.complex128])
def test_maps_target_crop_and_name(precision):
    maps, target = random_complex((3, 6, 4), 1).astype(precision), np.ones((5, 2))
    scan = Scan.from_arrays(_MEASURED, _LINES, maps, target=target, name="knee", slice_index=4)
    assert scan.maps.dtype == torch.complex64
    np.testing.assert_array_equal(scan.maps.numpy(), random_complex((3, 6, 4), 1))
    assert (scan.target.dtype, tuple(scan.target.shape)) == (torch.float32, (5, 2))
    assert scan.crop == (5, 2)  # the target's size
    assert (scan.name, scan.slice_index) == ("knee", 4)
    assert Scan.from_arrays(_MEASURED, crop=(4, 4)).crop == (4, 4)
    assert Scan.from_arrays(_MEASURED, target=target, crop=(5, 2)).crop == (5, 2)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kspace": _MEASURED[0]}, r"kspace: expected complex \(coils, readout, phase encode\), got .* \(6, 4\)"),
        ({"kspace": _MEASURED.real.copy()}, r"kspace: expected complex .*got torch.float32 \(3, 6, 4\)"),
        ({"kspace": np.full((3, 6, 4), np.nan + 0j)}, "kspace: expected finite numbers, got NaN or Inf"),
        ({"kspace": [[1j]]}, "kspace: expected a tensor or an array with the DLPack protocol, got list"),
        ({"mask": np.ones(6, bool)}, r"mask: expected \(4,\) or \(6, 4\), got \(6,\)"),
        ({"mask": np.ones((4, 6), bool)}, r"mask: expected \(4,\) or \(6, 4\), got \(4, 6\)"),
        ({"mask": "lines"}, "mask: expected a tensor or an array with the DLPack protocol, got str"),
        ({"maps": _MEASURED[:2]}, r"maps: expected complex64 \(3, 6, 4\) as kspace, got .*\(2, 6, 4\)"),
        ({"maps": 3}, "maps: expected a tensor or an array with the DLPack protocol, got int"),
        ({"target": np.ones((6, 3)), "crop": (6, 4)}, r"target: expected the shape of crop, \(6, 4\), got \(6, 3\)"),
        ({"target": np.ones((7, 4))}, r"crop: expected at most \(6, 4\)"),
        ({"crop": (6, 5)}, r"crop: expected at most \(6, 4\) and at least \(1, 1\), got \(6, 5\)"),
    ],
)
def test_wrong_arrays_are_refused_by_name(changed, message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}") as error:
        Scan.from_arrays(**{"kspace": _MEASURED, **changed})
    assert "\n" not in str(error.value)


def test_the_digest_knows_measurements_mask_and_maps():
    def digest(**changes):
        return Scan.from_arrays(**{"kspace": _MEASURED, "mask": _LINES, **changes}).digest()

    assert digest() == digest(name="other", slice_index=3, kspace=_MEASURED.astype(np.complex128))
    different = [digest(), digest(kspace=2 * _MEASURED), digest(mask=None), digest(maps=_MEASURED)]
    assert len(set(different)) == 4
    strided = np.asfortranarray(_MEASURED)
    assert digest(kspace=strided) == digest()


def test_conjugated_tensors_are_taken():
    """torch conjugates when a value is read, and what reads a tensor's memory has to know."""
    measured, maps = torch.from_numpy(_MEASURED), torch.from_numpy(random_complex((3, 6, 4), 1))
    lazy = Scan.from_arrays(measured.conj(), _LINES, maps.conj())
    plain = Scan.from_arrays(_MEASURED.conj(), _LINES, maps.numpy().conj())
    assert lazy.digest() == plain.digest()
