import os
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from ugodit.errors import InputError
from ugodit.evaluation.pictures import comparison_picture


def _panels(shape=(40, 32)):
    target = np.random.default_rng(0).random(shape)
    return {"zero filling": target * 0.8, "ours": target * 0.99}, target


@pytest.mark.parametrize("shape", [(40, 32), (32, 48), (5, 5)])
def test_a_picture_has_the_panels_side_by_side_and_the_errors_below(tmp_path, shape):
    panels, target = _panels(shape)
    path = tmp_path / "a.png"
    comparison_picture(path, panels, target)
    image = imread(path)
    assert image.ndim == 3
    rows, columns = image.shape[:2]
    assert columns == 3 * round(2.3 * 160)
    quarter = rows // 4
    third = columns // 3
    # Below: a large error (20 % times five: as bright as the target), a small one (1 % times five), the label.
    lower = image[rows - quarter : rows - 4, :, :3].mean(-1)
    left, middle = lower[:, 8 : third - 8].mean(), lower[:, third + 8 : 2 * third - 8].mean()
    assert left > 0.3
    assert 0.005 < middle < 0.1
    assert os.listdir(tmp_path) == ["a.png"]


def test_the_same_picture_has_the_same_bytes_and_no_global_state(tmp_path):
    for name in ("a.png", "b.png"):
        comparison_picture(tmp_path / name, *_panels())
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_without_a_target_there_is_one_row(tmp_path):
    panels, target = _panels()
    comparison_picture(tmp_path / "one.png", panels, None)
    comparison_picture(tmp_path / "two.png", panels, target)
    assert imread(tmp_path / "one.png").shape[0] < 0.6 * imread(tmp_path / "two.png").shape[0]


@pytest.mark.parametrize("scale", [1e-12, 1e13])
def test_every_scale_looks_the_same(tmp_path, scale):
    panels, target = _panels()
    comparison_picture(tmp_path / "a.png", panels, target)
    comparison_picture(tmp_path / "b.png", {k: v * scale for k, v in panels.items()}, target * scale)
    np.testing.assert_allclose(imread(tmp_path / "a.png"), imread(tmp_path / "b.png"), atol=2 / 255)


def test_what_does_not_fit_or_cannot_be_written_is_refused(tmp_path):
    panels, target = _panels()
    with pytest.raises(ValueError, match="'ours'"):
        comparison_picture(tmp_path / "a.png", {**panels, "ours": target[1:]}, target)
    with pytest.raises(ValueError, match="panels"):
        comparison_picture(tmp_path / "a.png", {}, target)
    with pytest.raises(InputError, match="cannot be written"):
        comparison_picture(tmp_path / "absent" / "a.png", panels, target)
    assert os.listdir(tmp_path) == []
