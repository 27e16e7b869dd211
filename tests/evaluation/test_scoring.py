"""Scores of files: with the volume's maximum, of the slices and the size that were reconstructed."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers import write_fastmri

from ugodit.errors import InputError
from ugodit.evaluation.metrics import nmse, psnr, ssim
from ugodit.evaluation.scoring import Scores, score
from ugodit.io.reconstructions import checksum, write_reconstruction


@pytest.fixture
def truth(tmp_path: Path) -> np.ndarray:
    """The targets of three slices, in scan.h5; the last is the brightest."""
    target = np.random.default_rng(0).random((3, 20, 16)).astype(np.float32) * np.array([[[1]], [[2]], [[4]]], "f4")
    write_fastmri(tmp_path / "scan.h5", reconstruction_rss=target)
    return target


def noisy(target: np.ndarray) -> np.ndarray:
    return (target + 0.05 * np.random.default_rng(1).standard_normal(target.shape)).astype(np.float32)


def write(path: Path, image: np.ndarray, **attributes: object) -> Path:
    write_reconstruction(path, image, mask=None, attributes=attributes)
    return path


def test_all_slices(tmp_path: Path, truth: np.ndarray) -> None:
    image = noisy(truth)
    found = score(write(tmp_path / "recon.h5", image), tmp_path / "scan.h5")
    assert (found.name, found.slices) == ("recon", 3)
    expected = [psnr(truth, image), ssim(truth, image), nmse(truth, image)]
    assert [found.psnr, found.ssim, found.nmse] == pytest.approx(expected, rel=1e-9)
    assert score(str(tmp_path / "recon.h5"), str(tmp_path / "scan.h5")) == found
    assert isinstance(found, Scores)


def test_some_slices_with_the_maximum_of_all(tmp_path: Path, truth: np.ndarray) -> None:
    image, maximum = noisy(truth)[:2], float(truth.max())
    found = score(write(tmp_path / "recon.h5", image, slices=[0, 1]), tmp_path / "scan.h5")
    assert found.slices == 2
    assert found.psnr == pytest.approx(psnr(truth[:2], image, maximum), rel=1e-9)
    assert found.ssim == pytest.approx(ssim(truth[:2], image, maximum), rel=1e-9)
    assert found.psnr > psnr(truth[:2], image) + 3  # of these two alone it is half as large


def test_a_larger_target_is_cropped_and_both_may_be_made_square(tmp_path: Path, truth: np.ndarray) -> None:
    image = noisy(truth)[:, 4:16, 1:15]
    path = write(tmp_path / "recon.h5", image)
    assert score(path, tmp_path / "scan.h5").nmse == pytest.approx(nmse(truth[:, 4:16, 1:15], image), rel=1e-9)
    square = score(path, tmp_path / "scan.h5", square=True).nmse
    assert square == pytest.approx(nmse(truth[:, 4:16, 2:14], image[..., 1:13]), rel=1e-9)


@pytest.mark.parametrize(
    ("shape", "attributes", "message"),
    [
        ((2, 20, 16), {}, "expected the target's 3 slices, got 2 and no attribute `slices`"),
        ((2, 20, 16), {"slices": [0, 3]}, "expected slices below the target's 3, got up to 3"),
        ((2, 20, 16), {"slices": [0, 0]}, r"attribute slices: expected every slice once, got \[0, 0\]"),
        ((2, 20, 16), {"slices": [0]}, r"attribute slices: expected 2 slice numbers, got \[0\]"),
        ((3, 22, 16), {}, r"expected no more than the target's \(3, 20, 16\), got \(3, 22, 16\)"),
        ((3, 6, 16), {}, "expected at least 7 x 7 pixels for SSIM"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(
    tmp_path: Path, truth: np.ndarray, shape: tuple[int, ...], attributes: dict[str, object], message: str
) -> None:
    path = write(tmp_path / "recon.h5", np.ones(shape), **attributes)
    with pytest.raises(InputError, match=message) as error:
        score(path, tmp_path / "scan.h5")
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_an_empty_target_is_refused(tmp_path: Path) -> None:
    write_fastmri(tmp_path / "scan.h5", reconstruction_rss=np.zeros((1, 8, 8), np.float32))
    path = write(tmp_path / "recon.h5", np.ones((1, 8, 8)))
    with pytest.raises(InputError, match=r"scan\.h5: reconstruction_rss: expected a positive maximum, got 0\.0"):
        score(path, tmp_path / "scan.h5")


@pytest.fixture
def own(tmp_path: Path, truth: np.ndarray) -> Path:
    """Slices 0 and 2 in a file as `ugodit reconstruct` writes it."""
    image, mask = noisy(truth)[[0, 2]], np.arange(16) % 2 == 0
    settings = json.dumps({"slices": [0, 2], "measurements": ["a", "b"]})
    attributes = {"method": "ugodit", "slices": [0, 2], "settings": settings}
    check = checksum({"reconstruction": image, "mask": mask}, settings)
    write_reconstruction(tmp_path / "own.h5", image, mask=mask, attributes={**attributes, "checksum": check})
    return tmp_path / "own.h5"


def test_a_file_of_ours_is_scored_as_it_was_written(tmp_path: Path, truth: np.ndarray, own: Path) -> None:
    found = score(own, tmp_path / "scan.h5")
    assert found.psnr == pytest.approx(psnr(truth[[0, 2]], noisy(truth)[[0, 2]], truth.max()), rel=1e-9)


@pytest.mark.parametrize("name", ["image", "mask", "slices", "settings", "checksum", "extra", "deep"])
def test_a_file_of_ours_that_was_changed_is_not_scored(tmp_path: Path, own: Path, name: str) -> None:
    with h5py.File(own, "r+") as file:
        if name == "image":
            file["reconstruction"][...] *= -1
        elif name == "mask":
            file["mask"][0] = False
        elif name == "slices":
            file.attrs["slices"] = [2, 0]
        elif name == "extra":
            file.create_dataset("extra", (1 << 20,), "f4")
        else:
            file.attrs[{"deep": "settings"}.get(name, name)] = {"deep": "[" * 60_000}.get(name, "{}")
    with pytest.raises(InputError, match=r"own\.h5: .*expected the contents of its checksum") as error:
        score(own, tmp_path / "scan.h5")
    assert "\n" not in str(error.value)
