"""The configuration file: what it changes, what it refuses, and what it called things in 0.1.0."""

import os
import tomllib
from pathlib import Path

import pytest

from ugodit.commands.config_file import configured_preset, read_config, split_tables
from ugodit.commands.options import parse
from ugodit.commands.reconstruct import _parser
from ugodit.errors import InputError
from ugodit.priors.presets import PRESETS, Preset


def configured(text: str, preset: str = "balanced", precision: str | None = None) -> Preset:
    _, tables = split_tables(Path("f.toml"), tomllib.loads(text))
    return configured_preset(preset, tables, seed=5, precision=precision)


def test_tables_change_their_part_of_the_preset() -> None:
    found = configured(
        "[network]\nchannels = [4, 8]\n[model]\niterations = 3\n[train]\nsteps = 7\n[adapt]\nsteps = 8\n"
        "two_stage = false\n[alone]\nsteps = 9\nseed = 2",
        precision="float32",
    )
    assert found.network.channels == (4, 8)
    assert found.model.iterations == found.alone_model.iterations == 3
    assert (found.train.steps, found.adapt.steps, found.alone.steps) == (7, 8, 9)
    assert not found.adapt.two_stage
    assert (found.train.seed, found.adapt.seed, found.alone.seed) == (5, 5, 2)
    assert {found.train.precision, found.adapt.precision, found.alone.precision} == {"float32"}
    assert found.train.mask_bank == PRESETS["balanced"].train.mask_bank


def test_earlier_names_are_taken_with_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    found = configured("[alone]\npool = 3\nunrolls = 2\nstart = 'sparse'\n[adapt]\nimprove_start = false")
    assert found.alone.mask_bank == 3
    assert found.alone_model.iterations == 2
    assert found.alone_model.initial_estimate == "compressed_sensing"
    assert not found.adapt.two_stage
    notes = capsys.readouterr().err.splitlines()
    assert "f.toml: [alone] pool is called mask_bank now" in notes
    assert "f.toml: [alone] start is called initial_estimate = compressed_sensing now" in notes
    assert "f.toml: [alone] iterations belongs into [model] now, for training and fits alike" in notes
    assert "f.toml: [adapt] improve_start is called two_stage now" in notes


@pytest.mark.parametrize(
    ("text", "preset", "message"),
    [
        ("[adapt]\nunrolls = 2", "balanced", "[adapt] iterations: it comes with the prior"),
        ("[train]\nunrolls = 1\n[alone]\nunrolls = 2", "balanced", "[alone] iterations: [model] or another table"),
        ("[alone]\nshared_decoder = true", "balanced", "[alone] shared_decoder: belongs into [train]"),
        ("[train]\ntwo_stage = true", "balanced", "[train] two_stage: belongs into [adapt]"),
        ("[train]\nheld_out = 0.1", "balanced", "[train] held_out: expected 0: training fits all measured lines"),
        ("[alone]\npatience = 5", "balanced", "[alone] patience: without held_out above 0 it has no effect"),
        ("[alone]\ninner_steps = 2", "balanced", "[alone] inner_steps: without a next_input of output"),
        ("[alone]\nmask_bank = 2", "paper", "[alone] mask_bank: without splitting random it has no effect"),
        ("[model]\nmu = 0.1", "paper", "[model] mu: without iterations of 1 or more it has no effect"),
        ("[model]\nloss_fraction = 0.1", "paper", "[model] loss_fraction: without splitting random"),
        ("[model]\ninitial_iterations = 9", "paper", "[model] initial_iterations: without initial_estimate"),
        ("[alone]\nstep = 3", "balanced", "[alone] step: unknown option, did you mean steps?"),
        ("[model]\niteration = 3", "balanced", "did you mean iterations?"),
        ("[network]\nskip_channels = 2", "balanced", "[network] skip_channels: a unet hands over its whole"),
        ("[network]\nin_channels = 1\nout_channels = 1", "balanced", "[network] in_channels, out_channels: expected 2"),
    ],
)
def test_what_could_not_have_an_effect_is_refused(text: str, preset: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        configured(text, preset)
    assert message in str(error.value)


def test_every_field_of_a_preset_has_an_effect() -> None:
    for chosen in PRESETS.values():
        for field in ("prior_variance", "mu", "solve_iterations", "loss_fraction", "initial_iterations"):
            if getattr(chosen.model, field) != type(chosen.model)().__getattribute__(field):
                assert chosen.model.without_effect(field) is None


def test_earlier_options_in_the_file_are_taken_with_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, scan = tmp_path / "f.toml", tmp_path / "a.h5"
    config.write_text("unadapted = true\nstart = 'fresh'\n")
    scan.touch()
    arguments = parse(_parser(), [str(scan), "--out", "x", "--config", str(config)]).arguments
    assert (arguments.zero_shot, arguments.decoder) == (True, "fresh")
    assert capsys.readouterr().err.count("is called") == 2
    config.write_text("acelleration = 3\n")
    with pytest.raises(InputError, match="acelleration: unknown option, did you mean acceleration"):
        parse(_parser(), [str(scan), "--out", "x", "--config", str(config)])


def test_the_command_line_beats_the_file(tmp_path: Path) -> None:
    config, scan = tmp_path / "f.toml", tmp_path / "a.h5"
    config.write_text("acceleration = 3\npreset = 'fast'\nzero-shot = true\nthreads = 1\n")
    scan.touch()
    words = [str(scan), "--out", "x", "--config", str(config), "--acceleration", "6"]
    parsed = parse(_parser(), words)
    assert (parsed.arguments.acceleration, parsed.arguments.zero_shot) == (6.0, True)
    assert parsed.preset.name == "fast"
    assert configured("[alone]\nsteps = 3").name == "balanced, changed"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = " + "[" * 60_000, "not TOML"),
        ("x = " + "[" * 50 + "]" * 50, "tables at most 8 deep"),
        ("[" + ".".join(["a"] * 100) + "]", "tables at most 8 deep"),
        ("[" + ".".join(["a"] * 5000) + "]", "at most 100 dots in a line"),
        (".".join(["a"] * 30_000) + " = 1", "at most 100 dots in a line"),
        ("a = {" + ".".join(["'a'"] * 10_000) + " = 1}", "at most 100 dots in a line"),
        ("[alone]\nsteps = " + "9" * 5000, "not TOML"),
        ("[alone]\nsteps = 0x" + "f" * 5000, "integers of 64 bits"),
        ("[alone]\nsteps = 10000000000000", r"\[alone\] steps: expected at most 1e\+07"),
        ("[alone]\nmask_bank = 10000000000000", r"\[alone\] mask_bank: expected at most 1000"),
        ("[alone]\nlearning_rate = 1e300", r"\[alone\] learning_rate: expected at most 1e\+30"),
        ("[model]\nmu = 1e300", r"\[model\] mu: expected at most 1e\+06"),
        ("[model]\nmu = 1e-300", r"\[model\] mu: expected a finite number above 0"),
        ("[model]\niterations = 100000", r"\[model\] iterations: expected at most 100"),
        ("[model]\nsolve_iterations = 10000000000000", r"\[model\] solve_iterations: expected at most 1000"),
        ("[network]\nchannels = [4, 1000000]", r"\[network\] channels: expected 2 to 8 integers from 1 to 1024"),
        ("acceleration = 1e300", "`acceleration`: expected a number from 1 to 1000"),
        ("x = '" + "x" * (1 << 16) + "'", "of at most 65536 bytes"),
        ('out = "a\\u0000"', "printable characters"),
    ],
)
def test_absurd_values_are_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    config, scan = tmp_path / "f.toml", tmp_path / "a.h5"
    config.write_text(text)
    scan.touch()
    with pytest.raises(InputError, match=message):
        parse(_parser(), [str(scan), *(["--out", "x"] * ("out =" not in text)), "--config", str(config)])


def test_a_configuration_is_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.toml")
    for path in (tmp_path / "fifo.toml", Path("/dev/zero"), tmp_path):
        with pytest.raises(InputError, match=r"--config: .*expected a TOML file, got a folder or a device"):
            read_config(path)
