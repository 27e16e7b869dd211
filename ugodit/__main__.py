"""`python -m ugodit` or `ugodit`: the commands."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import ugodit

COMMANDS = {
    "simulate": "write simulated multi-coil scans in fastMRI's layout",
    "train": "learn a group prior from a few undersampled scans",
    "reconstruct": "undersampled volumes to images, with or without a prior",
    "evaluate": "PSNR, SSIM and NMSE of reconstructions against their targets",
    "demo": "all of these in turn on simulated scans",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names; returns its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in COMMANDS:
        command = importlib.import_module(f"ugodit.commands.{words[0]}")
        return int(command.main(words[1:]))
    if words and words[0] == "--version":
        print(f"ugodit {ugodit.__version__}")
        return 0
    if not words or words[0] in ("-h", "--help"):
        print("usage: ugodit COMMAND [OPTIONS]     (or python -m ugodit.COMMAND)\n")
        for name, summary in COMMANDS.items():
            print(f"  {name:<12} {summary}")
        print("\n`ugodit COMMAND --help` lists a command's options.")
        return 0
    print(f"ugodit: error: {words[0]}: expected one of {', '.join(COMMANDS)}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
