"""Errors as one line."""

from ugodit.errors import LINE_LENGTH, one_line


def test_a_line_keeps_its_ends_and_loses_its_middle() -> None:
    assert one_line("a  b\n\tc") == "a b c"
    assert one_line("é ü 日本") == "é ü 日本"
    long = one_line("start " + "x" * 10_000_000 + " end", 50)
    assert len(long) == 50
    assert long.startswith("start xxx")
    assert " ... " in long
    assert len(one_line("\x07" * 1000)) == LINE_LENGTH


def test_nothing_in_it_controls_a_terminal() -> None:
    hostile = "\x00\x07\x1b[2J\x7f\x85\u200b\u202e\u2066\ud800\ufeff"
    shown = one_line(hostile)
    assert shown.isprintable()
    assert shown.startswith(r"\x00\x07\x1b[2J\x7f")
    assert r"\u202e" in shown
    assert r"\ud800" in shown
