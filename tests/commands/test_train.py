"""The training command: what is in the file, and that nothing is left where it fails."""

import json
from pathlib import Path

import pytest
from command_files import QUICK, quick_config, write_scan

from ugodit.commands import train
from ugodit.priors.prior import Prior


@pytest.mark.parametrize(("shared", "decoders"), [("true", 1), ("false", 3)])
def test_the_prior_has_its_decoders_and_says_where_it_comes_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shared: str, decoders: int
) -> None:
    config = quick_config(tmp_path, QUICK.replace("[train]", f"[train]\nshared_decoder = {shared}"))
    scans = [write_scan(tmp_path / "a.h5", 2), write_scan(tmp_path / "b.h5", 1, columns=36, seed=1)]
    out = tmp_path / "p.safetensors"
    words = [*map(str, scans), "--out", str(out), "--config", str(config), "--json"]
    assert train.main(words) == 0
    summary = json.loads(capsys.readouterr().out)
    prior = Prior.load(out)
    assert (prior.decoders, summary["scans"]) == (decoders, 3)
    assert prior.hash == summary["hash"]
    assert prior.training["steps"] == 3
    assert [(s["name"], s["slice"]) for s in prior.provenance["scans"]] == [("a", 0), ("a", 1), ("b", 0)]
    assert train.main([*words[:-1], "--seed", "0"]) == 0
    assert Prior.load(out).hash == prior.hash


@pytest.mark.parametrize(
    "words",
    [
        ["--out", "{}/nowhere/p.safetensors"],
        ["--out", "{}/p", "--preset", "huge"],
        ["--out", "{}/" + "x" * 250],  # no room for its checkpoint's name
        [],
    ],
)
def test_bad_options(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    scan = write_scan(tmp_path / "a.h5", 1)
    assert train.main([str(scan), *(word.format(tmp_path) for word in words)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_a_scan_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = write_scan(tmp_path / "a.h5", 1)
    before = scan.read_bytes()
    assert train.main([str(scan), "--out", str(scan)]) == 2
    assert "is one of the scans" in capsys.readouterr().err
    assert scan.read_bytes() == before
    assert train.main([str(scan), "--out", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err


def test_a_diverged_training_saves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = write_scan(tmp_path / "a.h5", 1)
    config = quick_config(tmp_path, QUICK.replace("[train]\nsteps = 3", "[train]\nsteps = 3\nlearning_rate = 1e30"))
    out = tmp_path / "p.safetensors"
    assert train.main([str(scan), "--out", str(out), "--config", str(config)]) == 2
    assert "training diverged" in capsys.readouterr().err
    assert not out.exists()
