import io
import sys

from ugodit.evaluation.tables import markdown_table, print_table


def test_tables(capsys, monkeypatch):
    columns, rows = ["file", "PSNR"], [["a|b", "31.20"], ["longer name", "8.1"]]
    assert markdown_table(columns, rows).splitlines() == [
        "| file        |  PSNR |",
        "| ----------- | ----: |",
        "| a\\|b        | 31.20 |",
        "| longer name |   8.1 |",
    ]
    print_table(columns, rows)
    assert capsys.readouterr().out.splitlines() == ["file          PSNR", "a|b          31.20", "longer name    8.1"]
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", terminal)
    print_table(columns, rows, "title")
    assert "longer name" in terminal.getvalue()
    assert "━" in terminal.getvalue()
