import json

import numpy as np
import pytest
from helpers import write_fastmri

from ugodit.commands.evaluate import main
from ugodit.evaluation.metrics import nmse, psnr, ssim
from ugodit.io.reconstructions import write_reconstruction


@pytest.fixture
def folders(tmp_path):
    generator = np.random.default_rng(0)
    (tmp_path / "out").mkdir()
    (tmp_path / "scans").mkdir()
    pairs = {}
    for name, scale in (("knee_1", 1.0), ("knee_2", 1e12)):
        target = (scale * generator.random((3, 20, 16))).astype(np.float32)
        image = target + (0.05 * scale * generator.standard_normal(target.shape)).astype(np.float32)
        write_fastmri(tmp_path / "scans" / f"{name}.h5", reconstruction_rss=target)
        write_reconstruction(tmp_path / "out" / f"{name}.h5", image, mask=None, attributes={})
        pairs[name] = target, image
    write_fastmri(tmp_path / "scans" / "another.h5", reconstruction_rss=np.ones((1, 8, 8)))
    return tmp_path / "out", tmp_path / "scans", pairs


def _run(folders, *more):
    return main([str(folders[0]), "--target", str(folders[1]), *more])


def test_json_has_every_volume_and_their_mean_and_spread(folders, capsys):
    assert _run(folders, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    values = []
    for volume, (name, (target, image)) in zip(found["volumes"], folders[2].items(), strict=True):
        assert (volume["name"], volume["slices"]) == (name, 3)
        values.append([psnr(target, image), ssim(target, image), nmse(target, image)])
        np.testing.assert_allclose([volume["psnr"], volume["ssim"], volume["nmse"]], values[-1], rtol=1e-12)
    for key, expected in (("mean", np.mean(values, axis=0)), ("std", np.std(values, axis=0))):
        np.testing.assert_allclose([found[key][name] for name in ("psnr", "ssim", "nmse")], expected, rtol=1e-9)


def test_a_log_gets_plain_lines(folders, capsys):
    assert _run(folders) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["volume", "knee_1", "knee_2", "mean"]
    assert f"{psnr(*folders[2]['knee_1']):.2f}" in lines[1]
    assert all(line.isprintable() for line in lines)


def test_one_file_may_be_given_instead_of_a_folder(folders, capsys):
    assert main([str(folders[0] / "knee_2.h5"), "--target", str(folders[1]), "--json"]) == 0
    assert [v["name"] for v in json.loads(capsys.readouterr().out)["volumes"]] == ["knee_2"]


def test_some_slices_are_scored_against_theirs_with_the_volumes_maximum(folders, capsys):
    target, image = folders[2]["knee_1"]
    write_reconstruction(folders[0] / "knee_1.h5", image[[0, 2]], mask=None, attributes={"slices": [0, 2]})
    assert _run(folders, "--json") == 0
    volume = json.loads(capsys.readouterr().out)["volumes"][0]
    assert volume["slices"] == 2
    assert volume["psnr"] == pytest.approx(psnr(target[[0, 2]], image[[0, 2]], target.max()), rel=1e-12)


def test_a_larger_target_is_cropped_and_square_crops_both_as_fastmri_does(folders, capsys):
    target, image = folders[2]["knee_1"]
    write_reconstruction(folders[0] / "knee_1.h5", image[:, 1:-1, 2:-2], mask=None, attributes={})
    assert _run(folders, "--json") == 0
    volumes = json.loads(capsys.readouterr().out)["volumes"]
    expected = psnr(target[:, 1:-1, 2:-2], image[:, 1:-1, 2:-2], target.max())
    assert volumes[0]["psnr"] == pytest.approx(expected, rel=1e-12)
    assert _run(folders, "--json", "--square") == 0
    volumes = json.loads(capsys.readouterr().out)["volumes"]
    target, image = (array[:, 2:-2] for array in folders[2]["knee_2"])
    assert volumes[1]["psnr"] == pytest.approx(psnr(target, image, folders[2]["knee_2"][0].max()), rel=1e-12)


def test_a_perfect_reconstruction_is_valid_json(folders, capsys):
    for name, (target, _) in folders[2].items():
        write_reconstruction(folders[0] / f"{name}.h5", target, mask=None, attributes={})
    assert _run(folders, "--json") == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found["volumes"][0]["psnr"] is None
    assert found["volumes"][0]["ssim"] == pytest.approx(1)
    assert _run(folders) == 0


@pytest.mark.parametrize(
    ("folder", "datasets", "message"),
    [
        ("scans", None, "expected its scan at"),
        ("scans", {"kspace": np.ones(3)}, "expected a dataset `reconstruction_rss`"),
        ("scans", {"reconstruction_rss": np.zeros((3, 20, 16))}, "positive maximum"),
        ("out", {"image": np.ones(3)}, "expected a dataset `reconstruction`"),
        ("out", {"reconstruction": np.ones((3, 30, 30))}, "expected no more"),
        ("out", {"reconstruction": np.ones((2, 20, 16))}, "expected the target's 3 slices"),
        ("out", {"reconstruction": np.ones((4, 20, 16))}, "below the target's 3"),
        ("out", {"reconstruction": np.ones((3, 6, 6))}, "at least 7 x 7"),
        ("out", {"reconstruction": np.ones((3, 20, 16)), "attributes": {"slices": [0, 1]}}, "expected 3 slice numbers"),
    ],
)
def test_a_users_fault_is_one_line_and_status_2(folders, capsys, folder, datasets, message):
    path = folders[folder == "scans"] / "knee_1.h5"
    path.unlink()
    if datasets is not None:
        write_fastmri(path, **datasets)
    assert _run(folders) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("ugodit: error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_bad_options(folders, capsys, tmp_path):
    assert main([str(folders[0])]) == 2
    assert "--target" in capsys.readouterr().err
    assert main([str(folders[0]), "--target", str(tmp_path / "absent")]) == 2
    assert "--target: expected a folder" in capsys.readouterr().err
    assert main([str(tmp_path / "absent"), "--target", str(folders[1])]) == 2
    assert "found none" in capsys.readouterr().err
