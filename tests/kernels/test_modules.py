"""Sources without compiled modules beside them, as in a clone after `pip install .`, use the installed ones."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ugodit.errors import NotBuiltError
from ugodit.kernels import _cpu, _modules

ROOT = Path(__file__).resolve().parents[2]
MODULE = Path(_cpu.__file__)
WHERE = "from ugodit.kernels import _cpu; import ugodit; print(_cpu.__file__); print(ugodit.__file__)"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the sources alone."""
    compiled = shutil.ignore_patterns("*.so", "*.sha256", "__pycache__")
    shutil.copytree(ROOT / "ugodit", tmp_path / "clone" / "ugodit", ignore=compiled)
    shutil.copytree(ROOT / "csrc", tmp_path / "clone" / "csrc")
    return tmp_path / "clone"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with an installed ugodit, as far as it matters here: the compiled module and what it was made of."""
    kernels = tmp_path / "site" / "ugodit" / "kernels"
    kernels.mkdir(parents=True)
    shutil.copy(MODULE, kernels)
    (kernels / _modules.COMPILED_FROM).write_text(_modules.compiled_from(ROOT / "csrc"), encoding="utf-8")
    return tmp_path / "site"


def _python(clone: Path, site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)


def test_a_clone_uses_the_installed_module(clone: Path, site: Path) -> None:
    done = _python(clone, site, "-c", WHERE)
    assert done.returncode == 0, done.stderr
    module, package = done.stdout.splitlines()
    assert Path(module).is_relative_to(site)
    assert Path(package).is_relative_to(clone)
    done = _python(clone, site, "-m", "ugodit.reconstruct", "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ugodit reconstruct")


def test_a_module_of_other_sources_is_not_used_and_commands_say_what_to_do(clone: Path, site: Path) -> None:
    with (clone / "csrc" / "cpu" / "pack.h").open("a") as file:
        file.write("// changed\n")
    for words in (["ugodit.demo"], ["ugodit", "demo"]):
        done = _python(clone, site, "-m", *words, "--out", words[0], "--size", "64x64")
        assert done.returncode == 2
        assert done.stderr.startswith("ugodit: error: no compiled module _cpu beside")
        assert "compiled from other sources: run `pip install .`" in done.stderr
        assert done.stderr.count("\n") == 1


def test_where_an_installed_module_is_looked_for(clone: Path, site: Path, tmp_path: Path) -> None:
    own = str(MODULE.parents[2])
    found = _modules.installed("_cpu", [str(tmp_path / "none"), own, str(site)], clone / "csrc")
    assert found == site / "ugodit" / "kernels" / MODULE.name
    for search, sources in (([], clone / "csrc"), ([own], clone / "csrc"), ([str(site)], tmp_path / "none" / "csrc")):
        with pytest.raises(NotBuiltError, match=r"run `pip install \.`") as error:
            _modules.installed("_cpu", search, sources)
        assert "\n" not in str(error.value)
    (site / "ugodit" / "kernels" / _modules.COMPILED_FROM).unlink()
    with pytest.raises(NotBuiltError, match="other sources"):
        _modules.installed("_cpu", [str(site)], clone / "csrc")
    with pytest.raises(NotBuiltError, match="_cuda"):
        _modules.installed("_cuda", [str(site)], clone / "csrc")


def test_only_the_cpu_module_is_required(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert _modules.InstalledModules.find_spec("ugodit.kernels._cuda") is None
    assert _modules.InstalledModules.find_spec("ugodit.kernels.ops") is None
    with pytest.raises(NotBuiltError) as error:
        _modules.InstalledModules.find_spec("ugodit.kernels._cpu")
    assert error.value.name == "ugodit.kernels._cpu"
