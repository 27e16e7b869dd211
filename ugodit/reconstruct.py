"""`python -m ugodit.reconstruct`: ugodit/commands/reconstruct.py."""

import sys

from ugodit.commands.reconstruct import main

if __name__ == "__main__":
    sys.exit(main())
