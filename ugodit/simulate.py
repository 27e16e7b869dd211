"""`python -m ugodit.simulate`: ugodit/commands/simulate.py."""

import sys

from ugodit.commands.simulate import main

if __name__ == "__main__":
    sys.exit(main())
