"""An isolated build from a source distribution, and what is in it; the wheel works in an environment of its own."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from ugodit.kernels._modules import COMPILED_FROM, compiled_from

ROOT = Path(__file__).resolve().parents[1]

# torch and the other requirements come from the environment of the test, the package must not.
CHECK = """
import sys
sys.path.append(sys.argv[1])
import torch, ugodit
from ugodit import kernels
from ugodit.kernels import _cpu
from pathlib import Path
assert Path(ugodit.__file__).is_relative_to(sys.prefix), ugodit.__file__
assert Path(_cpu.__file__).is_relative_to(sys.prefix), _cpu.__file__
assert ugodit.__version__ != "0+unknown"
maps = kernels.pack_maps(torch.ones(1, 1, 4, 6, dtype=torch.complex64))
image = torch.randn(1, 2, 4, 6)
loss, gradient = kernels.sense_residual(image, maps, None, torch.ones(1, 6), 1)
assert torch.allclose(gradient, image, atol=1e-6)  # everything measured by one perfect coil: A^H A = I
"""


def _run(*words: object) -> None:
    done = subprocess.run([str(word) for word in words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


@pytest.mark.slow
def test_a_wheel_is_whole_and_works(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in names:  # what a clone has: no module that was built in place, no folder `build`
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    _run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path, source)
    (wheel,) = tmp_path.glob("ugodit-*.whl")
    packed = zipfile.ZipFile(wheel).namelist()
    assert {"ugodit/py.typed", "ugodit/kernels/_cpu.pyi"} <= set(packed)
    record = zipfile.ZipFile(wheel).read(f"ugodit/kernels/{COMPILED_FROM}").decode()
    assert record == compiled_from(source / "csrc")
    assert sum(name.startswith("ugodit/kernels/_cpu.") and name.endswith(".so") for name in packed) == 1
    assert all(name.startswith(("ugodit/", "ugodit-")) for name in packed)
    python_files = {name for name in names if name.startswith("ugodit/")}
    assert python_files <= set(packed)
    assert not [name for name in packed if name.endswith((".cpp", ".cu", ".h", ".txt")) and "dist-info" not in name]

    venv.create(tmp_path / "fresh", with_pip=False, symlinks=True)
    python = tmp_path / "fresh" / "bin" / "python"
    _run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    here = Path(pytest.importorskip("torch").__file__).parents[1]
    script = tmp_path / "check.py"
    script.write_text(CHECK)
    # -I: a PYTHONPATH would put other sources first.
    done = subprocess.run([python, "-I", script, here], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
