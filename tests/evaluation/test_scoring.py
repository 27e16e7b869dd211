"""Scores of files: with the volume's maximum, of the slices and the size that were reconstructed."""

from pathlib import Path

import numpy as np
import pytest
from helpers import write_fastmri

from ugodit.errors import InputError
from ugodit.evaluation.metrics import nmse, psnr, ssim
from ugodit.evaluation.scoring import Scores, score
from ugodit.io.reconstructions import write_reconstruction


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
