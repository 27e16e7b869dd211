"""`python -m ugodit.evaluate`: ugodit/commands/evaluate.py."""

import sys

from ugodit.commands.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
