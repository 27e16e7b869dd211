"""`python -m ugodit.train`: ugodit/commands/train.py."""

import sys

from ugodit.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
