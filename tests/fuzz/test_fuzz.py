"""Damaged and hostile files end in one line, or in a finite image: never in a traceback, a signal, a hang, left-overs.

More cases: `python -m fuzz --cases 3000 --seed 7` in tests/, and the tests marked slow. A case that fails belongs into
corpus.py, as the code that builds it.
"""

import os
from pathlib import Path

import pytest
from fuzz.cases import KINDS, kind_of
from fuzz.client import run_cases
from fuzz.corpus import CORPUS

SEED = int(os.environ.get("UGODIT_FUZZ_SEED", "0"))
MANY = int(os.environ.get("UGODIT_FUZZ_CASES", "3000"))


def _assert_none_wrong(folder: Path, cases: list[tuple[str, int, int]], servers: int = 1) -> list[int]:
    outcomes = run_cases(folder / "fuzz", cases, servers)
    wrong = [f"{one['kind']} {one['number']}: {one['wrong']}\n{one['log']}" for one in outcomes if one["wrong"]]
    assert len(outcomes) == len(cases)
    assert not wrong, "\n\n".join(wrong)
    return [one["code"] for one in outcomes]


def test_what_failed_once(tmp_path: Path) -> None:
    codes = _assert_none_wrong(tmp_path, [(name, 0, 0) for name in CORPUS])
    assert codes.count(2) >= len(CORPUS) - 5  # nearly all of these have to be refused


def test_a_few_cases_of_every_kind(tmp_path: Path) -> None:
    chosen = [(kind_of(SEED, number), SEED, number) for number in range(170)]
    assert {kind for kind, _, _ in chosen} == set(KINDS)
    codes = _assert_none_wrong(tmp_path, chosen)
    assert 0 in codes
    assert 2 in codes


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_thousands(tmp_path: Path) -> None:
    chosen = [(kind_of(SEED + 1, number), SEED + 1, number) for number in range(MANY)]
    flips = [(kind, SEED + 1, number) for kind in ("scan_flip", "prior_flip") for number in range(300)]
    _assert_none_wrong(tmp_path, chosen + flips, servers=os.cpu_count() or 1)
