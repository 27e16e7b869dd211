"""Tables for people: on a terminal, in a log, in Markdown."""

import sys
from collections.abc import Sequence

from ugodit.errors import one_line


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose source is aligned too; the first column is text (left), the others numbers (right)."""
    cells = [[text.replace("|", "\\|") for text in row] for row in (columns, *rows)]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(columns))]
    lines = [f"| {' | '.join(_align(row, widths))} |" for row in cells]
    ruler = [("-" * width) if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    return "\n".join([lines[0], f"| {' | '.join(ruler)} |", *lines[1:]]) + "\n"


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """Print a table to standard output: drawn by rich on a terminal, plain aligned lines in a log or a pipe."""
    rows = [[one_line(text) for text in row] for row in rows]  # names of files may hold anything
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title, header_style="bold", title_style="bold")
        for index, name in enumerate(columns):
            table.add_column(name, justify="left" if index == 0 else "right")
        for row in rows:
            table.add_row(*(Text(text) for text in row))
        Console().print(table)
        return
    widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
    for row in (columns, *rows):
        print("  ".join(_align(row, widths)).rstrip())


def _align(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        text.ljust(width) if i == 0 else text.rjust(width)
        for i, (text, width) in enumerate(zip(row, widths, strict=True))
    ]
