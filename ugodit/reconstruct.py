"""`python -m ugodit.reconstruct`: ugodit/commands/reconstruct.py."""

import sys

from ugodit.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["reconstruct", *sys.argv[1:]]))
