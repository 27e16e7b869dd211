"""The demo in small: the table's numbers are those of the files, and the picture is a picture."""

from pathlib import Path

import pytest
from matplotlib.image import imread

from ugodit.commands import demo
from ugodit.evaluation import metrics
from ugodit.io.reconstructions import read_attributes, read_reconstruction
from ugodit.io.volumes import open_volume

CONFIG = (
    """
center-fraction = 0.2
[network]
channels = [4, 8]
"""
    + "[model]\ninitial_iterations = 2\n"
    + "".join(f"[{part}]\nsteps = 2\nmask_bank = 2\n" for part in ("train", "adapt", "alone"))
)
METHODS = ["zero filling", "CG-SENSE", "L1-wavelet, best weight", "ugodit, zero-shot", "ugodit, adapted"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "demo"
    config = out.parent / "quick.toml"
    config.write_text(CONFIG)
    words = ["--out", str(out), "--size", "48x96", "--subjects", "2", "--config", str(config)]
    assert demo.main(words) == 0
    return out


def _table(folder: Path) -> list[list[str]]:
    rows = [line.strip("|").split("|") for line in (folder / "table.md").read_text().splitlines()]
    return [[cell.strip() for cell in row] for row in rows]


def test_the_table_has_a_row_a_method(folder: Path) -> None:
    head, _, *rows = _table(folder)
    assert head[1:] == ["PSNR (dB)", "SSIM", "NMSE", "seconds"]
    assert [row[0] for row in rows] == METHODS
    assert all(float(cell) > 0 for row in rows for cell in row[1:])


@pytest.mark.parametrize("name", ["zero-shot", "adapted"])
def test_its_numbers_are_those_of_the_files(folder: Path, name: str) -> None:
    row = next(row for row in _table(folder) if row[0] == f"ugodit, {name}")
    path = folder / name / "knee100.h5"
    image = read_reconstruction(path)[0]
    with open_volume(folder / "scans" / "knee100.h5") as volume:
        target = volume.scan(0).target
    assert target is not None
    truth = target.numpy()
    assert row[1] == f"{metrics.psnr(truth, image):.2f}"
    assert row[2] == f"{metrics.ssim(truth, image):.4f}"
    assert row[3] == f"{metrics.nmse(truth, image):.5f}"
    assert row[4] == f"{read_attributes(path)['seconds_per_slice'][0]:.2g}"


def test_the_unseen_subject_was_not_trained_on(folder: Path) -> None:
    trained = {path.name for path in (folder / "scans").glob("*.h5")} - {"knee100.h5"}
    assert trained == {"knee1.h5", "knee2.h5"}


def test_the_picture_has_all_methods_and_the_target_side_by_side(folder: Path) -> None:
    height, width = imread(folder / "demo.png").shape[:2]
    # Two rows of 48 x 96 panels, and room for the titles.
    assert width / (len(METHODS) + 1) > 200
    assert 2 * 48 / 96 < height / (width / (len(METHODS) + 1)) < 2 * 48 / 96 + 0.5


def test_bad_options_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--subjects", "0"], ["--preset", "huge"]):
        assert demo.main(["--out", str(tmp_path / "demo"), *words]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("words", [["--config", "nowhere.toml", "--size", "48x96"], ["--size", "large"]])
def test_a_command_that_fails_ends_the_demo_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        demo.main(["--out", str(tmp_path / "demo"), *words])
    assert len(capsys.readouterr().err.splitlines()) == 1
