"""--follow-links, --maps-cache and --maps-cache-size as users give them."""

from pathlib import Path

import h5py
import pytest
from command_files import quick_config, write_scan

from ugodit.commands import evaluate, reconstruct, train

Capture = pytest.CaptureFixture[str]


def linked_scan(folder: Path) -> Path:
    """A scan whose datasets are links to data.h5 beside it."""
    write_scan(folder / "data.h5", slices=1)
    with h5py.File(folder / "a.h5", "w") as file:
        for name in ("kspace", "reconstruction_rss", "ismrmrd_header"):
            file[name] = h5py.ExternalLink("data.h5", name)
    return folder / "a.h5"


def test_links_are_refused_or_followed_by_every_command(tmp_path: Path, capsys: Capture) -> None:
    scan, config = str(linked_scan(tmp_path)), str(quick_config(tmp_path))
    out, prior = str(tmp_path / "out"), str(tmp_path / "p.safetensors")
    commands = (
        (reconstruct.main, [scan, "--out", out, "--config", config]),
        (train.main, [scan, "--out", prior, "--config", config]),
        (evaluate.main, [out, "--target", str(tmp_path)]),
    )
    for main, words in commands:
        assert main(words) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith("ugodit: error: ")
        assert main is evaluate.main or "links to another file, 'data.h5'" in line
        assert main([*words, "--follow-links"]) == 0, capsys.readouterr().err
        capsys.readouterr()
    assert evaluate.main([out, "--target", str(tmp_path)]) == 2
    assert "links to another file, 'data.h5'" in capsys.readouterr().err


def test_the_cache_is_where_it_is_asked_for(tmp_path: Path, capsys: Capture) -> None:
    scan, config = str(write_scan(tmp_path / "a.h5", slices=1)), str(quick_config(tmp_path))
    words = [scan, "--config", config, "--overwrite", "--out", str(tmp_path / "out")]
    assert reconstruct.main([*words, "--maps-cache", "off"]) == 0
    assert not (tmp_path / "out" / "maps").exists()
    assert reconstruct.main([*words, "--maps-cache", str(tmp_path / "kept")]) == 0
    assert len(list((tmp_path / "kept").iterdir())) == 1
    assert not (tmp_path / "out" / "maps").exists()
    assert reconstruct.main([*words, "--maps-cache-size", "1e-6"]) == 0
    assert not (tmp_path / "out" / "maps").exists()
    assert reconstruct.main(words) == 0
    assert len(list((tmp_path / "out" / "maps").iterdir())) == 1
    training = [scan, "--config", config, "--out", str(tmp_path / "p.safetensors")]
    assert train.main(training) == 0
    assert train.main([*training, "--maps-cache", str(tmp_path / "kept")]) == 0
    assert len(list((tmp_path / "kept").iterdir())) == 1
    capsys.readouterr()
    assert reconstruct.main([*words, "--maps-cache-size", "nan"]) == 2
    assert "error: --maps-cache-size: expected gigabytes above 0, up to 1e+09, got nan" in capsys.readouterr().err
