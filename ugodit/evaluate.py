"""`python -m ugodit.evaluate`: ugodit/commands/evaluate.py."""

import sys

from ugodit.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
