"""`python -m ugodit.demo`: ugodit/commands/demo.py."""

import sys

from ugodit.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
