"""The benchmarks are scripts beside each other: their folder must be on the path, as it is when one is run."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
