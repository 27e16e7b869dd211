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
