import h5py
import numpy as np
import pytest

from ugodit.commands.simulate import main
from ugodit.io.volumes import open_volume


def test_a_drawn_scan_is_a_readable_volume(tmp_path, capsys):
    path = tmp_path / "knee.h5"
    arguments = [str(path), "--size", "64x48", "--slices", "2", "--coils", "4", "--oversampling", "2", "--seed", "5"]
    assert main(arguments) == 0
    assert "2 x 4 x 128 x 48" in capsys.readouterr().out
    with open_volume(path) as volume:
        assert volume.shape == (2, 4, 128, 48)
        assert volume.crop == (64, 48)
        assert volume.attributes["patient_id"] == "simulated-knee-5"
        assert "simulated" in volume.attributes["note"]
        assert volume.attributes["simulated"] is True
        assert volume.scan(1).target.max() == pytest.approx(volume.attributes["max"], rel=0.3)
    content = path.read_bytes()
    assert main(arguments) == 0
    assert path.read_bytes() == content  # the seed decides everything


def test_the_header_parses_with_ismrmrd(tmp_path):
    ismrmrd = pytest.importorskip("ismrmrd")
    assert main([str(tmp_path / "a.h5"), "--size", "64x48", "--oversampling", "2", "--anatomy", "brain"]) == 0
    with h5py.File(tmp_path / "a.h5") as file:
        encoding = ismrmrd.xsd.CreateFromDocument(file["ismrmrd_header"][()]).encoding[0]
    assert (encoding.encodedSpace.matrixSize.x, encoding.encodedSpace.matrixSize.y) == (128, 48)
    assert encoding.reconSpace.fieldOfView_mm.x == pytest.approx(220)


@pytest.mark.parametrize("suffix", ["", ":pictures"])
def test_coils_round_a_users_magnitudes(tmp_path, suffix):
    magnitude = 1e9 * np.abs(np.random.default_rng(0).standard_normal((3, 40, 32))).astype(np.float32)
    source = tmp_path / "source.h5"
    with h5py.File(source, "w") as file:
        file[suffix[1:] or "magnitude"] = magnitude
    path = tmp_path / "out.h5"
    arguments = ["--magnitude", f"{source}{suffix}", "--slices", "1:3", "--coils", "3", "--snr", "80"]
    assert main([str(path), *arguments]) == 0
    with open_volume(path) as volume:
        assert volume.shape == (2, 3, 40, 32)
        np.testing.assert_allclose(volume.scan(0).target.numpy(), magnitude[1], atol=1e-3 * magnitude.max())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out.txt"], "ends in .h5"),
        (["out.h5", "--size", "64"], "--size"),
        (["out.h5", "--size", "4x4"], "--size"),
        (["out.h5", "--slices", "0"], "--slices"),
        (["out.h5", "--slices", "2:1"], "--slices"),
        (["out.h5", "--slices", "a"], "--slices"),
        (["out.h5", "--coils", "0", "--size", "32x32"], "--coils"),
        (["out.h5", "--seed", "-1"], "--seed"),
        (["out.h5", "--seed", "9" * 30], "--seed"),
        (["out.h5", "--magnitude", "\udcff.h5"], "expected a path in UTF-8"),
        (["out.h5", "--magnitude", "a\x1b.h5"], "expected a path of printable characters"),
        (["out.h5", "--magnitude", "a.h5:" + "x" * 65_000], "--magnitude: expected FILE.h5"),
        (["out.h5", "--magnitude", "x" * 300 + ":y"], "cannot be reached (file name too long)"),
        (["out.h5", "--unknown"], "--unknown"),
        (["out.h5", "--magnitude", "absent.h5"], "absent.h5: there is no such file"),
        (["out.h5", "--slices", "0:" + "9" * 30], "--slices, --coils, --size, --oversampling: expected at most 4000"),
        (["out.h5", "--coils", "10000000000000"], "expected at most 512 coils"),
        (["out.h5", "--size", "9" * 5000 + "x1"], "--size: expected ROWSxCOLUMNS"),
        (["absent/out.h5", "--size", "32x32"], "cannot be written"),
    ],
)
def test_a_users_fault_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("ugodit: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert list(tmp_path.iterdir()) == []


def test_too_many_slices_of_a_magnitude_file(tmp_path, capsys):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["magnitude"] = np.ones((2, 16, 16), np.float32)
    assert main([str(tmp_path / "b.h5"), "--magnitude", str(tmp_path / "a.h5"), "--slices", "1:3"]) == 2
    assert "has 2 slices" in capsys.readouterr().err
