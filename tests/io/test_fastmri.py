import h5py
import numpy as np
import pytest
import torch
from helpers import centred_ifft, data_folder, header_xml, random_complex, write_fastmri

from ugodit.data.geometry import center_crop
from ugodit.errors import InputError
from ugodit.io.fastmri import write_volume
from ugodit.io.volumes import open_volume

_SHAPE = (3, 2, 16, 12)


def _rss(kspace):
    return np.sqrt((np.abs(centred_ifft(kspace)) ** 2).sum(1)).astype(np.float32)


@pytest.fixture
def volume_path(tmp_path):
    kspace = random_complex(_SHAPE)
    target = center_crop(_rss(kspace), (8, 8))
    header = header_xml((16, 12), (8, 8))
    return write_fastmri(
        tmp_path / "file1.h5",
        kspace=kspace,
        ismrmrd_header=header,
        reconstruction_rss=target,
        attributes={"acquisition": "TEST", "max": np.float64(3.5)},
    )


def test_a_whole_volume_reads_slice_by_slice(volume_path):
    with open_volume(volume_path) as volume, h5py.File(volume_path) as file:
        assert (volume.name, volume.n_slices, volume.shape, volume.crop) == ("file1", 3, _SHAPE, (8, 8))
        assert volume.mask is None
        assert volume.attributes == {"acquisition": "TEST", "max": 3.5}
        scan = volume.scan(2)
        assert scan.kspace.dtype == torch.complex64
        assert (scan.name, scan.slice_index, scan.mask) == ("file1", 2, None)
        np.testing.assert_array_equal(scan.kspace.numpy(), file["kspace"][2])
        np.testing.assert_array_equal(scan.target.numpy(), file["reconstruction_rss"][2])


def test_opening_reads_no_samples(tmp_path):
    # 1 TB of k-space that was never stored: only a reader that leaves it alone can open this file.
    with h5py.File(tmp_path / "large.h5", "w") as file:
        file.create_dataset("kspace", (4000, 128, 640, 368), np.complex64, chunks=(1, 1, 640, 368))
    with open_volume(tmp_path / "large.h5") as volume:
        assert volume.n_slices == 4000


def test_double_precision_kspace_is_accepted(tmp_path):
    kspace = random_complex(_SHAPE).astype(np.complex128)
    with open_volume(write_fastmri(tmp_path / "a.h5", kspace=kspace)) as volume:
        assert volume.crop == (16, 12)
        assert volume.scan(0).target is None
        np.testing.assert_array_equal(volume.scan(0).kspace.numpy(), kspace[0].astype(np.complex64))


@pytest.mark.parametrize(
    ("reconstructed", "target", "expected"),
    [
        ((8, 8), (8, 8), (8, 8)),
        (None, (10, 6), (10, 6)),
        (None, None, (16, 12)),
        ((14, 14), None, (12, 12)),  # a square wider than k-space stays a square, as in fastMRI
        ((20, 10), None, (16, 10)),
        ((15, 14), None, (15, 12)),
        ((10, 10), (10, 8), (10, 8)),
        ((10, 8), (14, 12), (10, 8)),
    ],
)
def test_the_crop_is_the_headers_then_the_targets_within_what_exists(tmp_path, reconstructed, target, expected):
    datasets = {"kspace": random_complex(_SHAPE)}
    if reconstructed is not None:
        datasets["ismrmrd_header"] = header_xml((16, 12), reconstructed)
    if target is not None:
        datasets["reconstruction_rss"] = np.ones((3, *target), np.float32)
    with open_volume(write_fastmri(tmp_path / "a.h5", **datasets)) as volume:
        assert volume.crop == expected
        found = volume.scan(0).target
        assert (found is None) == (target is None)
        assert found is None or tuple(found.shape) == expected


@pytest.mark.parametrize("shape", [(12,), (16, 12)])
@pytest.mark.parametrize("dtype", [bool, np.float32, np.uint8])
def test_a_files_own_mask_is_carried_without_padding_lines(tmp_path, shape, dtype):
    kspace = random_complex(_SHAPE)
    kspace[..., :2] = 0  # fastMRI's padding: never acquired, yet True in its masks
    mask = np.zeros(shape, dtype)
    mask[..., ::2] = 1
    path = write_fastmri(tmp_path / "a.h5", kspace=kspace, mask=mask)
    with h5py.File(path, "a") as file:
        file.attrs["padding_left"] = 2
    with open_volume(path) as volume:
        scan = volume.scan(1)
        assert tuple(volume.mask.shape) == shape
        assert not scan.mask[..., :2].any()
        np.testing.assert_array_equal(scan.mask.numpy()[..., 2:], mask.astype(bool)[..., 2:])
        np.testing.assert_array_equal(scan.kspace.numpy(), kspace[1] * mask.astype(bool))


def _bomb():
    entities = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))
    return f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "lol">{entities}]><x>&a9;</x>'


_GOOD = random_complex(_SHAPE)


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({"image": np.ones(3)}, "expected a dataset `kspace`.*found only image"),
        ({}, "expected a dataset `kspace`.*found only nothing"),
        ({"kspace": _GOOD[:, 0]}, r"\(3, 16, 12\): single-coil data; give a multi-coil file"),
        ({"kspace": _GOOD[None]}, r"got shape \(1, 3, 2, 16, 12\)"),
        ({"kspace": _GOOD[:0]}, "got shape"),
        ({"kspace": _GOOD.real}, "float32; store them as complex64"),
        ({"kspace": _GOOD, "mask": np.ones(16, bool)}, r"mask: expected \(12,\) or \(16, 12\).*\(16,\)"),
        ({"kspace": _GOOD, "mask": np.zeros(12, bool)}, "expected some sampled lines"),
        ({"kspace": _GOOD, "ismrmrd_header": "<broken"}, "ismrmrd_header: expected ISMRMRD XML"),
        ({"kspace": _GOOD, "ismrmrd_header": b"\xff\xfe<x/>"}, "ismrmrd_header: expected"),
        ({"kspace": _GOOD, "ismrmrd_header": np.ones(4)}, "expected one string of XML"),
        ({"kspace": _GOOD, "ismrmrd_header": _bomb()}, "document type declaration"),
        ({"kspace": _GOOD, "ismrmrd_header": header_xml((1, 1), (0, 5))}, "reconSpace/matrixSize/x.*got '0'"),
        ({"kspace": _GOOD, "reconstruction_rss": np.ones((2, 8, 8), "f4")}, r"expected floats \(3, rows, columns\)"),
    ],
)
def test_a_bad_volume_is_refused_in_one_line(tmp_path, datasets, message):
    path = write_fastmri(tmp_path / "bad.h5", **datasets)
    with pytest.raises(InputError, match=message) as error:
        open_volume(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda kspace: kspace.__setitem__((1, 0, 3, 4), np.nan), "kspace, slice 1: expected finite"),
        (lambda kspace: kspace.__setitem__((1, 1, 3, 4), complex(0, np.inf)), "kspace, slice 1: expected finite"),
        (lambda kspace: kspace.__setitem__((1, 0, 0, 0), 1e300), "kspace, slice 1: expected finite"),
        (lambda kspace: kspace.__setitem__((1, 0, 0, 0), 1e38), "kspace, slice 1: expected a largest magnitude from"),
        (lambda kspace: kspace.__setitem__(1, 1e-40), "kspace, slice 1: expected a largest magnitude from 1e-30"),
        (lambda kspace: kspace.__setitem__(1, 0), "kspace, slice 1: every sample is zero"),
    ],
)
def test_bad_samples_are_refused_where_they_are_and_nowhere_else(tmp_path, change, message):
    kspace = _GOOD.astype(np.complex128)
    change(kspace)
    with open_volume(write_fastmri(tmp_path / "a.h5", kspace=kspace)) as volume:
        volume.scan(0)
        with pytest.raises(InputError, match=message):
            volume.scan(1)


def test_a_slice_that_does_not_exist_and_a_bad_target(tmp_path):
    target = np.full((3, 16, 12), np.nan, np.float32)
    with open_volume(write_fastmri(tmp_path / "a.h5", kspace=_GOOD, reconstruction_rss=target)) as volume:
        for index in (-1, 3):
            with pytest.raises(InputError, match="expected a slice from 0 to 2"):
                volume.scan(index)
        with pytest.raises(InputError, match="reconstruction_rss, slice 0"):
            volume.scan(0)


def test_what_is_no_hdf5_file_is_refused(tmp_path, volume_path):
    text = tmp_path / "text.h5"
    text.write_text("not a scan")
    empty = tmp_path / "empty.h5"
    empty.touch()
    for path, message in (
        (text, "expected an HDF5 file"),
        (empty, "expected an HDF5 file"),
        (tmp_path, "got a folder"),
        (tmp_path / "absent.h5", "no such file"),
    ):
        with pytest.raises(InputError, match=message):
            open_volume(path)


@pytest.mark.parametrize("fraction", [0.02, 0.3, 0.6, 0.99])
def test_a_truncated_file_is_refused(tmp_path, volume_path, fraction):
    content = volume_path.read_bytes()
    cut = tmp_path / "cut.h5"
    cut.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(InputError, match=r"truncated|damaged"):
        open_volume(cut)


def test_a_damaged_chunk_is_found_when_its_slice_is_read(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        kspace = file.create_dataset("kspace", data=_GOOD, chunks=(1, *_SHAPE[1:]), fletcher32=True)
        offset = kspace.id.get_chunk_info(1).byte_offset
    with path.open("r+b") as raw:
        raw.seek(offset)
        raw.write(b"garbage!")
    with open_volume(path) as volume:
        volume.scan(0)
        with pytest.raises(InputError, match="kspace, slice 1: cannot be read"):
            volume.scan(1)


def test_a_written_volume_is_read_back_and_ismrmrd_parses_its_header(tmp_path):
    ismrmrd = pytest.importorskip("ismrmrd")
    target = center_crop(_rss(_GOOD), (8, 8))
    path = tmp_path / "a.h5"
    write_volume(path, _GOOD, target, attributes={"acquisition": "X", "patient_id": "1"}, mask=np.ones(12, bool))
    with open_volume(path) as volume:
        assert volume.crop == (8, 8)
        assert volume.attributes["max"] == pytest.approx(float(target.max()))
        assert volume.attributes["norm"] == pytest.approx(float(np.linalg.norm(target)), rel=1e-6)
        np.testing.assert_array_equal(volume.scan(1).kspace.numpy(), _GOOD[1])
        np.testing.assert_array_equal(volume.scan(1).target.numpy(), target[1])
    with h5py.File(path) as file:
        header = ismrmrd.xsd.CreateFromDocument(file["ismrmrd_header"][()])
    encoding = header.encoding[0]
    assert (encoding.encodedSpace.matrixSize.x, encoding.encodedSpace.matrixSize.y) == (16, 12)
    assert (encoding.reconSpace.matrixSize.x, encoding.reconSpace.matrixSize.y) == (8, 8)
    assert encoding.encodingLimits.kspace_encoding_step_1.center == 6
    assert header.acquisitionSystemInformation.receiverChannels == 2


def test_real_measurements_are_read_and_agree_with_their_own_target():
    paths = [path for path in sorted((data_folder() / "mri").glob("brain_*.h5")) if "_magnitude_" not in path.name]
    assert paths
    for path in paths:
        with open_volume(path) as volume:
            scan = volume.scan(0)
        expected = np.sqrt((np.abs(centred_ifft(scan.kspace.numpy())) ** 2).sum(0))
        # The files' own float32 transforms: an error of 1e-5 of the maximum at worst.
        assert np.abs(center_crop(expected, scan.crop) - scan.target.numpy()).max() < 1e-5 * expected.max(), path.name
