"""What every command shares: how it ends. 0 done, 2 the user's input is at fault (one line), 130 interrupted."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ugodit.errors import InputError


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is an InputError: one line, like every other, instead of a page of usage."""

    def __init__(self, **options: Any) -> None:
        # An abbreviated --config would be missed by the parser that looks for it first.
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; `{self.prog} --help` lists the options")


def run(command: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None = None) -> int:
    """Call `command(argv)` and return the exit status, with an InputError turned into one line on standard error.

    A programmer's error passes through with its traceback: hiding it would help nobody. A command module is then

        def main(argv: Sequence[str] | None = None) -> int:
            return run(_main, argv)

        if __name__ == "__main__":
            sys.exit(main())
    """
    try:
        return command(argv)
    except InputError as error:
        line = " ".join(str(error).split())
        print(f"ugodit: error: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ugodit: interrupted", file=sys.stderr)
        return 130
