"""`python -m fuzz --cases N --seed S`, in tests/: runs cases and prints what failed; --help lists the options."""

import argparse
import collections
import tempfile
import time
from pathlib import Path

from fuzz.cases import KINDS, kind_of
from fuzz.client import run_cases
from fuzz.corpus import CORPUS

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--first", type=int, default=0)
parser.add_argument("--cases", type=int, default=200)
parser.add_argument("--kind", choices=[*KINDS, *CORPUS, "corpus"])
parser.add_argument("--servers", type=int, default=1)
options = parser.parse_args()
began = time.monotonic()
numbers = range(options.first, options.first + options.cases)
cases = [(options.kind or kind_of(options.seed, number), options.seed, number) for number in numbers]
if options.kind == "corpus":
    cases = [(name, 0, 0) for name in CORPUS]
with tempfile.TemporaryDirectory() as folder:
    outcomes = run_cases(Path(folder) / "fuzz", cases, options.servers)
counts: collections.Counter[str] = collections.Counter()
for outcome in sorted(outcomes, key=lambda one: one["number"]):
    counts[outcome["wrong"] or f"status {outcome['code']}"] += 1
    if outcome["wrong"]:
        print(f"== {outcome['kind']} {outcome['number']}: {outcome['wrong']} ({outcome['seconds']:.1f} s)")
        print(f"{outcome['words']}\n{outcome['log']}")
slowest = max(outcomes, key=lambda one: one["seconds"])
print(
    dict(counts),
    f"{time.monotonic() - began:.0f} s; slowest {slowest['kind']} {slowest['number']}: {slowest['seconds']:.1f} s",
)
