"""The command as its users call it: files in, files out, and one line for what is wrong."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from command_files import QUICK, methods, quick_config, write_scan
from helpers import random_complex
from scans import line_mask

import ugodit.priors.acceptance
from ugodit.commands import reconstruct, train
from ugodit.priors.acceptance import HeldOutErrors
from ugodit.priors.prior import Prior
from ugodit.reconstruction import pipeline


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = reconstruct.main([str(word) for word in words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_without_a_prior(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = write_scan(tmp_path / "a.h5")
    out = tmp_path / "out"
    status, text, log = run(capsys, scan, "--out", out, "--config", quick_config(tmp_path), "--seed", "3")
    assert status == 0, log
    assert "no --prior" in log
    assert "CG-SENSE" in text
    with h5py.File(out / "a.h5") as file:
        image = file["reconstruction"]
        assert image.shape == (2, 40, 40)
        assert image.dtype == np.float32
        assert file["mask"].shape == (40,)
        assert file.attrs["seed"] == 3
        assert file.attrs["version"]
        settings = json.loads(file.attrs["settings"])
        assert settings["alone"]["steps"] == 3
        assert settings["sampling"]["kind"] == "equispaced"
    assert (out / "a.png").read_bytes().startswith(b"\x89PNG")
    assert not [path for path in out.rglob("*") if "tmp" in path.name]


def test_reconstruction_is_in_the_units_of_the_scan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    units, medians, errors = (1.0, 1e-14), [], []
    for name, unit in zip("ab", units, strict=True):
        scan = write_scan(tmp_path / f"{name}.h5", slices=1, unit=unit)
        out = tmp_path / f"out_{name}"
        status, text, log = run(capsys, scan, "--out", out, "--config", quick_config(tmp_path), "--json")
        assert status == 0, log
        ours = methods(text)[2]
        assert ours["method"] == "ugodit"
        errors.append(ours["NMSE"])
        with h5py.File(out / f"{name}.h5") as file:
            medians.append(float(np.median(file["reconstruction"])))
    # Equal but for the rounding of another unit, which the steps of the fit carry on.
    assert medians[1] == pytest.approx(1e-14 * medians[0], rel=1e-3)
    assert errors[1] == pytest.approx(errors[0], rel=1e-3)


def test_with_a_prior(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # Three steps of training fit no scan: kept all the same, so that it is the adaptation that runs.
    monkeypatch.setattr(ugodit.priors.acceptance, "FITS", math.inf)
    scans = [write_scan(tmp_path / f"{name}.h5", 1, seed=seed) for seed, name in enumerate("abc")]
    config = quick_config(tmp_path, QUICK.replace("[train]", "[train]\nshared_decoder = false"))
    prior = tmp_path / "p.safetensors"
    assert train.main([*map(str, scans[:2]), "--out", str(prior), "--config", str(config)]) == 0
    status, _, log = run(capsys, scans[2], "--prior", prior, "--out", tmp_path, "--config", config, "--decoder", "2")
    assert (status, "--decoder: expected mean, fresh or 0 to 1, got 2" in log) == (2, True)
    for extra in (
        [],
        ["--zero-shot"],
        ["--unadapted"],
        ["--decoder", "1"],
        ["--start", "fresh"],
        ["--preset", "paper"],
    ):
        out = tmp_path / ("out" + "".join(extra))
        status, _, log = run(capsys, scans[2], "--prior", prior, "--out", out, "--config", config, *extra)
        assert status == 0, log
        with h5py.File(out / "c.h5") as file:
            assert len(file.attrs["prior_hash"]) == 64
            zero_shot = extra in (["--zero-shot"], ["--unadapted"])
            assert file.attrs["prior_mode"].tolist() == ["zero-shot" if zero_shot else "adapt"]
            assert ("not adapted" in file.attrs["stopped"]) == zero_shot
        # What options were called in 0.1.0 is taken with a note.
        assert ("is called" in log) == (extra[:1] in (["--unadapted"], ["--start"]))


def spoiled_prior(folder: Path, config: Path, scan: Path) -> Path:
    """A prior whose last layer adds an image of its own to every scan."""
    path = folder / "p.safetensors"
    assert train.main([str(scan), "--out", str(path), "--config", str(config)]) == 0
    prior = Prior.load(path)
    *_, last = (name for name in prior.decoder if name.endswith("bias"))
    prior.decoder[last] += 1.0
    prior.save(path)
    return path


def test_a_prior_that_does_not_fit_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scans = [write_scan(tmp_path / f"{name}.h5", 1, seed=seed) for seed, name in enumerate("ab")]
    config = quick_config(tmp_path)
    path = spoiled_prior(tmp_path, config, scans[0])
    status, _, log = run(capsys, scans[1], "--prior", path, "--out", tmp_path / "out", "--config", config)
    assert status == 0, log
    assert "rejected: fitting the scan alone" in log
    with h5py.File(tmp_path / "out" / "b.h5") as file:
        dropped = file["reconstruction"][()]
        assert "the prior was rejected; all 3 steps done" in file.attrs["stopped"]
        assert file.attrs["prior_mode"].tolist() == ["reject"]
    status, _, log = run(capsys, scans[1], "--out", tmp_path / "alone", "--config", config)
    with h5py.File(tmp_path / "alone" / "b.h5") as file:
        np.testing.assert_array_equal(file["reconstruction"][()], dropped)
    # What it is fitted by instead is a part of the settings.
    longer = quick_config(tmp_path, QUICK.replace("[alone]\nsteps = 3", "[alone]\nsteps = 4"))
    status, _, log = run(capsys, scans[1], "--prior", path, "--out", tmp_path / "out", "--config", longer)
    assert "already done" not in log
    status, _, log = run(
        capsys, scans[1], "--prior", path, "--zero-shot", "--out", tmp_path / "raw", "--config", config
    )
    assert status == 0
    assert "used without adaptation nevertheless" in log
    status, _, log = run(
        capsys, scans[1], "--prior", path, "--decoder", "fresh", "--out", tmp_path / "f", "--config", config
    )
    assert "rejected" not in log


def test_a_prior_serves_every_slice_in_its_own_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = write_scan(tmp_path / "a.h5", 3)
    config = quick_config(tmp_path, QUICK.replace("[adapt]", "[adapt]\ntwo_stage = true"))
    path = tmp_path / "p.safetensors"
    assert train.main([str(scan), "--out", str(path), "--config", str(config)]) == 0
    shares = {"fits": (0.9, 0.1), "helps": (0.9, 0.8), "neither": (0.9, 1.8)}

    def found(*names: str) -> Callable[..., HeldOutErrors]:
        first, prior = torch.tensor([shares[name] for name in names]).T
        return lambda *_: HeldOutErrors(first, prior)

    monkeypatch.setattr(pipeline, "held_out_errors", found("fits", "neither", "helps"))
    words = (scan, "--prior", path, "--out", tmp_path / "together", "--config", config, "--batch", 3)
    status, _, log = run(capsys, *words)
    assert (status, log.count("does not fit 1 of 3")) == (0, 2), log
    assert (
        "leaves 89 % of what the initial estimate leaves (70 % is too much); it makes the initial estimates only" in log
    )
    with h5py.File(tmp_path / "together" / "a.h5") as file:
        assert file.attrs["prior_mode"].tolist() == ["adapt", "reject", "initialise"]
        together = file["reconstruction"][()]
    for index, name in ((1, "neither"), (2, "helps")):
        monkeypatch.setattr(pipeline, "held_out_errors", found(name))
        chosen = f"{index}:{index + 1}"
        run(capsys, scan, "--prior", path, "--out", tmp_path / name, "--config", config, "--slices", chosen)
        with h5py.File(tmp_path / name / "a.h5") as file:
            np.testing.assert_allclose(together[index], file["reconstruction"][0], rtol=1e-3, atol=1e-6)


def test_uncertainty_needs_splits_in_every_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = write_scan(tmp_path / "a.h5", 1)
    config, path = quick_config(tmp_path), tmp_path / "p.safetensors"
    assert train.main([str(scan), "--out", str(path), "--config", str(config)]) == 0
    one = quick_config(tmp_path, QUICK + "mask_bank = 1\n")
    for words in (["--preset", "paper"], ["--config", one], ["--prior", path, "--preset", "paper"]):
        out = tmp_path / "out"
        status, _, log = run(capsys, scan, "--out", out, "--uncertainty", *words)
        assert status == 2
        assert log.splitlines()[-1].count("--uncertainty: comes from two random splits") == 1
        assert not out.exists()


def test_uncertainty_is_a_second_dataset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ugodit.priors.acceptance, "FITS", math.inf)
    scans = [write_scan(tmp_path / f"{name}.h5", 1, seed=seed) for seed, name in enumerate("ab")]
    config, prior = quick_config(tmp_path), tmp_path / "p.safetensors"
    assert train.main([str(scans[0]), "--out", str(prior), "--config", str(config)]) == 0
    for extra in ([], ["--prior", prior], ["--prior", prior, "--zero-shot"]):
        out = tmp_path / f"out{len(extra)}"
        words = (scans[1], "--out", out, "--config", config, "--uncertainty", *extra)
        status, _, log = run(capsys, *words)
        assert status == 0, log
        with h5py.File(out / "b.h5") as file:
            image, spread = file["reconstruction"][()], file["uncertainty"][()]
        assert spread.shape == image.shape
        assert spread.dtype == np.float32
        # In the image's units, not 0, and smaller than the image where there is one.
        assert 0 < np.median(spread) < np.median(image)
    other = write_scan(tmp_path / "c.h5", 1, seed=1, unit=1e-6)
    assert run(capsys, other, "--out", tmp_path / "small", "--config", config, "--uncertainty")[0] == 0
    with h5py.File(tmp_path / "small" / "c.h5") as small, h5py.File(tmp_path / "out0" / "b.h5") as large:
        ratio = np.median(small["uncertainty"]) / np.median(large["uncertainty"])
    assert ratio == pytest.approx(1e-6, rel=1e-3)


def test_a_file_with_a_mask_is_taken_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = line_mask(40, 3, 10).numpy()
    scan = write_scan(tmp_path / "a.h5", mask=mask, reconstruction_rss=None)
    status, text, log = run(capsys, scan, "--out", tmp_path / "out", "--config", quick_config(tmp_path))
    assert status == 0, log
    assert "PSNR" not in text
    with h5py.File(tmp_path / "out" / "a.h5") as file:
        assert np.array_equal(file["mask"][()], mask)


def test_what_is_done_is_skipped_and_maps_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = write_scan(tmp_path / "a.h5")
    words = (scan, "--out", tmp_path / "out", "--config", quick_config(tmp_path))
    assert run(capsys, *words)[0] == 0
    maps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "maps").iterdir()}
    assert len(maps) == 2
    written = (tmp_path / "out" / "a.h5").stat().st_mtime_ns
    status, _, log = run(capsys, *words)
    assert status == 0
    assert "skipped" in log
    assert (tmp_path / "out" / "a.h5").stat().st_mtime_ns == written
    # What is there under the name and cannot be read is not replaced without being asked for.
    (tmp_path / "out" / "a.h5").write_bytes(b"damaged")
    status, _, log = run(capsys, *words)
    assert (status, "--overwrite" in log) == (2, True)
    assert run(capsys, *words, "--overwrite")[0] == 0
    written = (tmp_path / "out" / "a.h5").stat().st_mtime_ns
    # The same name with other measurements is another scan.
    write_scan(tmp_path / "a.h5", seed=7)
    assert "skipped" not in run(capsys, *words)[2]
    write_scan(tmp_path / "a.h5")
    assert run(capsys, *words, "--seed", 1)[0] == 0
    assert (tmp_path / "out" / "a.h5").stat().st_mtime_ns > written
    assert {path: path.stat().st_mtime_ns for path in maps} == maps


def test_scores_take_the_whole_volumes_maximum(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = write_scan(tmp_path / "a.h5")
    with h5py.File(scan, "r+") as file:
        for dataset in ("kspace", "reconstruction_rss"):
            file[dataset][1] = 5 * file[dataset][1]
    out = tmp_path / "out"
    words = ("--config", quick_config(tmp_path), "--slices", "0:1", "--json")
    status, text, log = run(capsys, scan, "--out", out, *words)
    assert status == 0, log
    with h5py.File(out / "a.h5") as file, h5py.File(scan) as truth:
        image, target = file["reconstruction"][0].astype(float), truth["reconstruction_rss"][()].astype(float)
    expected = 20 * np.log10(target.max()) - 10 * np.log10(np.mean((image - target[0]) ** 2))
    assert methods(text)[2]["PSNR"] == pytest.approx(expected, rel=1e-5)


def test_slices_and_batches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = write_scan(tmp_path / "a.h5", slices=4)
    config = quick_config(tmp_path)
    images = []
    for out, batch in (("one", 1), ("two", 3)):
        words = (scan, "--out", tmp_path / out, "--config", config, "--slices", "1:4", "--batch", batch)
        status, _, log = run(capsys, *words)
        assert status == 0, log
        with h5py.File(tmp_path / out / "a.h5") as file:
            assert file.attrs["slices"].tolist() == [1, 2, 3]
            images.append(file["reconstruction"][()])
    assert images[0].shape == images[1].shape == (3, 40, 40)


@pytest.mark.parametrize(
    ("datasets", "words", "message"),
    [
        ({"kspace": None}, [], "expected a dataset `kspace`"),
        ({"kspace": random_complex((2, 40, 40))}, [], "single-coil"),
        ({"kspace": np.full((1, 2, 40, 40), np.nan, np.complex64), "reconstruction_rss": None}, [], "NaN or Inf"),
        ({"kspace": np.zeros((1, 2, 40, 40), np.complex64), "reconstruction_rss": None}, [], "every sample is zero"),
        ({"mask": np.ones(7, bool)}, [], "mask: expected"),
        ({}, ["--no-such-option"], "--no-such-option"),
        ({}, ["--acceleration", "0.5"], "--acceleration"),
        ({}, ["--center-fraction", "2"], "--center-fraction"),
        ({}, ["--slices", "7:9"], "--slices: a has slices 0 to 1"),
        ({}, ["--slices", "x"], "--slices: expected A:B"),
        ({}, ["--device", "tpu"], "--device: expected auto"),
        ({}, ["--threads", "0"], "--threads: expected 1 to 1024"),
        ({}, ["--seed", "-1"], "--seed: expected 0 to 2^32 - 1"),
        ({}, ["--accelration", "4"], "--accelration: unknown option, did you mean --acceleration?"),
        ({}, ["--preset", "balancd"], "did you mean balanced?"),
        ({}, ["--zero-shot"], "--zero-shot: needs a prior"),
        ({}, ["--decoder", "1"], "--decoder: needs a prior"),
        ({}, ["--prior", "nowhere.safetensors"], "nowhere.safetensors"),
        ({}, ["--config", "nowhere.toml"], "nowhere.toml"),
        ({}, ["--batch", "0"], "--batch: expected 1 or more"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], datasets: dict[str, object], words: list[str], message: str
) -> None:
    scan = write_scan(tmp_path / "a.h5", **datasets)
    defaults = [] if "--config" in words else ["--config", quick_config(tmp_path)]
    status, text, log = run(capsys, scan, "--out", tmp_path / "out", *defaults, *words)
    assert status == 2
    assert text == ""
    complaint = [line for line in log.splitlines() if "no --prior" not in line]
    assert len(complaint) == 1
    assert message in complaint[0]
    assert not (tmp_path / "out" / "a.h5").exists()


def test_a_truncated_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = write_scan(tmp_path / "a.h5")
    scan.write_bytes(scan.read_bytes()[:3000])
    status, _, log = run(capsys, scan, "--out", tmp_path / "out")
    assert status == 2
    assert "truncated" in log


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz = 3", "stepz: unknown option"),
        ("preset = 'quick'", "preset: expected one of fast, balanced, thorough, paper"),
        ("[alone]\nstepz = 3", "stepz: unknown option"),
        ("[alone]\nsteps = 0", "[alone] steps: expected 1 or more"),
        ("alone = 3", "[alone] expected a table"),
        ("[network]\nin_channels = 3\nout_channels = 3", "in_channels, out_channels: expected 2 and 2"),
        ("overwrite = 'no'", "overwrite: expected true or false"),
        ("seed = true", "seed: expected one value"),
        ("device = [1]", "device: expected one value"),
        ("[alone]\nlearning_rate = inf", "learning_rate: expected a finite number"),
        (
            "center-fraction = 0.2\n[alone]\nlearning_rate = 1e30\nsteps = 3\n[network]\nchannels = [4, 8]",
            "the fit diverged",
        ),
        ("[network]\nchannels = [0]", "channels: expected"),
        ("not toml", "not TOML"),
        ("acceleration = 'four'", "acceleration"),
    ],
)
def test_bad_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    scan = write_scan(tmp_path / "a.h5")
    status, _, log = run(capsys, scan, "--out", tmp_path / "out", "--config", quick_config(tmp_path, text))
    assert status == 2
    complaint = [line for line in log.splitlines() if "error:" in line]
    assert len(complaint) == 1
    assert message in complaint[0]
    assert not (tmp_path / "out" / "a.h5").exists()


def test_the_line_beats_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = write_scan(tmp_path / "a.h5", 1)
    config = quick_config(tmp_path)
    config.write_text("acceleration = 3\nmask = 'random'\n" + config.read_text())
    assert run(capsys, scan, "--out", tmp_path / "out", "--config", config, "--mask", "magic")[0] == 0
    with h5py.File(tmp_path / "out" / "a.h5") as file:
        settings = json.loads(file.attrs["settings"])["sampling"]
    assert settings == {"kind": "magic", "acceleration": 3.0, "center_fraction": 0.2, "seed": 0}


def test_scans_of_the_same_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other").mkdir()
    scans = [write_scan(tmp_path / "a.h5", 1), write_scan(tmp_path / "other" / "a.h5", 1)]
    status, _, log = run(capsys, *scans, "--out", tmp_path / "out")
    assert status == 2
    assert "a: given more than once" in log


def test_the_scan_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = write_scan(tmp_path / "a.h5", 1)
    before = scan.read_bytes()
    status, _, log = run(capsys, scan, "--out", tmp_path, "--overwrite")
    assert status == 2
    assert "is the scan itself" in log
    assert scan.read_bytes() == before
