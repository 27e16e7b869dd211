"""Processes that keep cores busy."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """That many, each as fast as it can, until the block ends."""
    code = "print(flush=True)\nwhile True: pass"
    started: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            process = subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE)
            started.append(process)  # One at a time: those that run are ended where the next cannot be started.
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()  # It runs.
        yield
    finally:
        for process in started:
            process.kill()
            process.communicate()
