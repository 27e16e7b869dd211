"""`python -m ugodit.demo`: ugodit/commands/demo.py."""

import sys

from ugodit.commands.demo import main

if __name__ == "__main__":
    sys.exit(main())
