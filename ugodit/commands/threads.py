"""How many threads a command computes with, and how they wait for each other. Needs no torch until it sets them.

By itself torch starts one thread a core of the machine, also where a container or a batch job may use only a few. Its
OpenMP runtime splits each operation evenly and then waits for the last thread: on a core that another program uses too,
that thread comes late, hundreds of times in a step, and the ones that wait spin for 10 ms before they sleep. So two
threads on two cores take up to three times as long as one where another program keeps one core busy. Therefore

- who asks for a number (`--threads`, OMP_NUM_THREADS) or was given CPUs by Slurm gets that;
- else there is one thread for each core that other programs leave free, as seen once, while torch is being imported,
  and no more than a container's quota. The number does not change later, because the last bits of the results depend
  on it;
- waiting threads sleep after SPINS looks, which limits the harm of programs that start later. Sleeping at once, or
  after 0.1 ms, helps little more then, and on an idle machine makes the small operations of a network slower.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from ugodit.commands.cpus import FreeCores, launcher_had, quota

SPINS = 10_000
"""Looks of a waiting thread before it sleeps: some 0.3 ms. libgomp's own number is 300000."""

MILLISECONDS = 1
"""The same for the OpenMP runtimes of LLVM and Intel, with which conda builds torch. Their own number is 200."""


def take_threads(wanted: int | None = None, *, quiet: bool = False) -> None:
    """Let torch compute with that many threads, by default with `default_threads`. Imports torch: a second.

    Where torch is there already, in a Python program that calls a command, its threads stay as they are without
    `wanted`. quiet: no line on standard error where other programs are why there are few.
    """
    decided = "torch" in sys.modules
    if not decided:
        sleep_soon()
    free = FreeCores()
    import torch

    if wanted is not None:
        torch.set_num_threads(wanted)
    elif not decided:
        threads, possible = default_threads(free)
        torch.set_num_threads(threads)
        if threads < possible and not quiet:
            plural = "s" if threads > 1 else ""
            print(f"other programs are busy: computing with {threads} thread{plural} of {possible}", file=sys.stderr)


def default_threads(
    free: FreeCores, environment: Mapping[str, str] = os.environ, root: Path = Path("/")
) -> tuple[int, int]:
    """The number of threads where `--threads` does not say, and what it would be if nothing else ran; see above.

    A rank that torchrun started beside others has its share of the cores, at least one thread. Free cores are not
    counted then, since all ranks start at once. root: the folder that has proc and sys.
    """
    ranks = (_number(environment, "LOCAL_WORLD_SIZE") or 1) if "TORCHELASTIC_RUN_ID" in environment else 1
    slurm, allowed = _number(environment, "SLURM_CPUS_PER_TASK"), quota(root)
    limits = [limit for limit in (slurm, allowed) if limit is not None]
    wanted = _number(environment, "OMP_NUM_THREADS")
    if wanted == 1 and ranks > 1 and not launcher_had("OMP_NUM_THREADS", root):
        wanted = None  # torchrun's own
    if wanted is not None:
        wanted = min(wanted, max(1, min([len(free.cpus), *limits]) // ranks))
        return wanted, wanted
    share = max(1, min([free.cores, *limits]) // ranks)
    return share if ranks > 1 or slurm is not None else min(share, free.count()), share


def sleep_soon(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let waiting threads sleep soon. The OpenMP runtime reads this when it is loaded, with torch.

    What the user has set, by any of these variables, stands.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", str(SPINS))
        environment.setdefault("KMP_BLOCKTIME", str(MILLISECONDS))


def _number(environment: Mapping[str, str], name: str) -> int | None:
    """A number from 1, or None; the first of a list such as OMP_NUM_THREADS=4,2."""
    first = environment.get(name, "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None
