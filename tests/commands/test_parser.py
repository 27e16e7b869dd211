import os
from pathlib import Path

import pytest

from ugodit.commands.parser import Parser, run
from ugodit.errors import InputError


def _command(argv):
    parser = Parser(prog="ugodit thing")
    parser.add_argument("--number", type=int)
    if parser.parse_args(argv).number == 7:
        raise InputError("scan.h5: kspace: expected this,\n got that")
    return 0


def test_a_command_that_succeeds_returns_its_status(capsys):
    assert run(_command, ["--number", "1"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("argv", [["--unknown"], ["--number", "x"], ["--number", "7"]])
def test_a_users_fault_is_one_line_and_status_2(argv, capsys):
    assert run(_command, argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("ugodit: error: ")
    assert captured.err.count("\n") == 1


def test_help_still_exits_0(capsys):
    with pytest.raises(SystemExit) as exit_:
        run(_command, ["--help"])
    assert exit_.value.code == 0
    assert "--number" in capsys.readouterr().out


def test_an_interrupt_is_130(capsys):
    def interrupted(argv):
        raise KeyboardInterrupt

    assert run(interrupted) == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_a_programmers_error_is_not_hidden():
    def broken(argv):
        raise TypeError("a bug")

    with pytest.raises(TypeError, match="a bug"):
        run(broken)


def test_an_errors_line_is_short_and_printable(capsys):
    def hostile(argv):
        raise InputError("scan\x1b[31m\u202e\udcff.h5: " + "x" * 5000 + " the end\n")

    assert run(hostile) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert len(line) <= 301
    assert line[:-1].isprintable()
    assert line.startswith(r"ugodit: error: scan\x1b[31m\u202e\udcff.h5: xxx")
    assert line.endswith("xxx the end\n")


@pytest.mark.parametrize("name", ["x" * 300, "a\x1b[31m", os.fsdecode(b"\xff"), "a/" * 3000])
def test_paths_that_cannot_be_are_told_by_whatever_option_has_them(capsys, tmp_path, name):
    def command(argv):
        parser = Parser(prog="ugodit thing")
        parser.add_argument("scans", nargs="*", type=Path)
        parser.add_argument("--out", type=Path)
        parser.parse_args(argv)
        return 0

    for argv in ([name], ["--out", str(tmp_path / name)]):
        assert run(command, argv) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert run(command, ["a.h5", "--out", str(tmp_path / "new" / "folder")]) == 0
