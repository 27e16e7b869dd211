"""`python -m ugodit.simulate`: ugodit/commands/simulate.py."""

import sys

from ugodit.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["simulate", *sys.argv[1:]]))
