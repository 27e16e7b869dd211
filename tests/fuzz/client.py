"""Asks servers for cases: as many at once as asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]


class Server:
    """One process that runs one case after another."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        path = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fuzz.server", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": path,
                "OMP_NUM_THREADS": "1",
                "MKL_NUM_THREADS": "1",
                "CUDA_VISIBLE_DEVICES": "",
            },
        )

    def run(self, kind: str, seed: int, number: int) -> dict[str, Any]:
        """What became of the case; `wrong` is "" where it ended as it should."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        case = {"kind": kind, "seed": seed, "number": number, "folder": str(self.folder / f"{kind}-{number}")}
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        return {**case, **json.loads(self.process.stdout.readline())}

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=100)
        self.process.stdout.close()


def run_cases(folder: Path, cases: Iterable[tuple[str, int, int]], servers: int = 1) -> list[dict[str, Any]]:
    """The outcomes of (kind, seed, number), in no particular order."""
    waiting, lock, found = iter(list(cases)), threading.Lock(), []

    def work(place: int) -> None:
        server = Server(folder / f"server{place}")
        try:
            while True:
                with lock:
                    case = next(waiting, None)
                if case is None:
                    return
                found.append(server.run(*case))
        finally:
            server.close()

    threads = [threading.Thread(target=work, args=(place,)) for place in range(servers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
