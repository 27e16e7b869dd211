"""README and docs: every command and every Python block runs; what is filled in from elsewhere is up to date.

Fenced blocks marked `bash` hold ugodit's own commands, run here in order in a folder of small scans, in the process
of the test. Those that would take minutes are shortened, here and openly: SHORT is added to the command line, and the
steps of the page's own configuration file are cut. Blocks marked `python` run as they are, in order, each after those
above it, with the presets' steps cut; the page's scans are simulated first. `toml` blocks are read by the commands' own
parser. `sh` blocks set up machines (make, pip): what they name has to exist; `make demo` and `make test` are what
.ci/run does.
"""

import dataclasses
import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest
from command_files import QUICK, write_scan

from ugodit.__main__ import main
from ugodit.commands import reconstruct, train
from ugodit.commands.options import parse
from ugodit.fit.fit_config import AdaptConfig, FitConfig, TrainConfig
from ugodit.fit.model_config import ModelConfig
from ugodit.networks.config import NetworkConfig
from ugodit.priors import presets

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHORT = {
    "simulate": ["--size", "64x128"],
    "train": ["--config", "quick.toml"],
    "reconstruct": ["--config", "quick.toml"],
    "demo": ["--size", "64x128", "--config", "quick.toml"],
}
SETUP_COMMANDS = ("make", "pip", "apt")


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.M | re.S)


def _commands(block: str) -> list[list[str]]:
    lines = block.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def _expand(word: str) -> list[str]:
    return sorted(map(str, Path().glob(word))) if "*" in word else [word]


def _fill() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fill", ROOT / "docs" / "fill.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the files that the pages take for granted; presets take seconds."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quick.toml").write_text(QUICK)
    for folder in ("train", "multicoil_test"):
        (tmp_path / folder).mkdir()
    write_scan(tmp_path / "file1000201.h5", 1, rows=64, columns=128)
    for number in (1, 2):
        write_scan(tmp_path / "train" / f"file100000{number}.h5", 20, rows=32, columns=128, seed=number)
    mask = [abs(line - 64) < 8 or line % 4 == 0 for line in range(128)]
    write_scan(tmp_path / "multicoil_test" / "file1000300.h5", 1, 64, 128, 3, mask=mask, reconstruction_rss=None)
    for name, chosen in presets.PRESETS.items():
        quick = {
            **{part: {"steps": 2, "mask_bank": 2} for part in ("train", "adapt", "alone")},
            **{part: {"initial_iterations": 2} for part in ("model", "alone_model")},
        }
        parts = {part: dataclasses.replace(getattr(chosen, part), **changes) for part, changes in quick.items()}
        small = dataclasses.replace(chosen, network=NetworkConfig.unet(4, 2), **parts)
        monkeypatch.setitem(presets.PRESETS, name, small)
    return tmp_path


def _run(page: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """One line of a `bash` block: mkdir, or a command of ours, which has to end with status 0."""
    if words[0] == "mkdir":
        Path(words[1]).mkdir()
        return
    program, command, *arguments = words
    assert program == "ugodit", f"{page.name}: {shlex.join(words)}: no command of ours"
    short = SHORT.get(command, [])
    if "mine.toml" in arguments:
        Path("mine.toml").write_text(re.sub(r"(?m)^steps = \d+$", "steps = 2", _mine(page)))
        short = []
    line = [command, *(part for word in arguments for part in _expand(word)), *short]
    status = main(line)
    assert status == 0, f"{page.name}: {shlex.join(line)}\n{capsys.readouterr().err}"


@pytest.mark.parametrize("page", [page for page in PAGES if _blocks(page, "bash")], ids=lambda page: page.name)
def test_commands_run(page: Path, sandbox: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (words for block in _blocks(page, "bash") for words in _commands(block)):
        _run(page, words, capsys)


@pytest.mark.parametrize("page", [page for page in PAGES if _blocks(page, "python")], ids=lambda page: page.name)
def test_python_runs(page: Path, sandbox: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (words for block in _blocks(page, "bash") for words in _commands(block)):
        if words[0] == "mkdir" or words[:2] == ["ugodit", "simulate"]:
            _run(page, words, capsys)
    names: dict[str, object] = {"__name__": "__main__"}
    for block in _blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)


@pytest.mark.parametrize("page", [page for page in PAGES if _blocks(page, "toml")], ids=lambda page: page.name)
def test_configuration_files_are_understood(page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = write_scan(tmp_path / "scan.h5", 1)
    for number, block in enumerate(_blocks(page, "toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(block)
        for command in (reconstruct, train):
            parsed = parse(command._parser(), [str(scan), "--out", "o", "--config", str(path)])
            assert parsed.arguments.preset == "balanced"
            assert parsed.preset.alone.steps == 400
            # Every field has the name that it has now: there is no note of another.
            assert capsys.readouterr().err == ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_sets_up_a_machine_exists(page: Path) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.M)
    for words in (words for block in _blocks(page, "sh") for words in _commands(block)):
        while "=" in words[0]:
            words.pop(0)
        assert words[0] in SETUP_COMMANDS, f"{page.name}: {shlex.join(words)}"
        if words[0] == "make":
            assert set(words[1:]) <= set(targets)
    # No block is left out for its language's sake.
    assert set(re.findall(r"^```(\w+)$", page.read_text(), flags=re.M)) <= {"bash", "python", "toml", "sh"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_filled_in_is_up_to_date(page: Path) -> None:
    fill = _fill()
    text = page.read_text()
    assert fill.filled(text, fill.SECTIONS) == text, f"{page.name} is out of date: run `make readme`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_every_option_is_in_the_usage_page() -> None:
    text = (ROOT / "docs" / "usage.md").read_text()
    configurations = (NetworkConfig, ModelConfig, FitConfig, TrainConfig, AdaptConfig)
    names = [f.name for cls in configurations for f in dataclasses.fields(cls)]
    actions = [*reconstruct._parser()._actions, *train._parser()._actions]
    names += [option for action in actions for option in action.option_strings]
    missing = [name for name in names if f"`{name}`" not in text and name not in ("-h", "--help")]
    assert not missing


def _mine(page: Path) -> str:
    return next(block for block in _blocks(page, "toml") if block.startswith("# mine.toml"))
