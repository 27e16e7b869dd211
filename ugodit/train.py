"""`python -m ugodit.train`: ugodit/commands/train.py."""

import sys

from ugodit.commands.train import main

if __name__ == "__main__":
    sys.exit(main())
