"""Small volumes and a quick configuration for tests of the commands."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from helpers import centred_ifft, header_xml, write_fastmri
from scans import small_scan

QUICK = """
preset = "fast"
center-fraction = 0.2

[network]
channels = [4, 8]

[train]
steps = 3

[adapt]
steps = 3

[alone]
steps = 3
"""


def quick_config(folder: Path, text: str = QUICK) -> Path:
    """A configuration under which a command takes seconds."""
    path = folder / "quick.toml"
    path.write_text(text)
    return path


def write_scan(
    path: Path,
    slices: int = 2,
    rows: int = 40,
    columns: int = 40,
    seed: int = 0,
    unit: float = 1.0,
    **datasets: object,
) -> Path:
    """A fully sampled 4-coil volume of small smooth objects, in fastMRI's layout; `datasets` are added or replaced."""
    kspace = np.stack([small_scan(rows=rows, columns=columns, seed=10 * seed + s)[0].numpy() for s in range(slices)])
    kspace = (unit * kspace).astype(np.complex64)
    rss = np.sqrt((np.abs(centred_ifft(kspace)) ** 2).sum(1)).astype(np.float32)
    contents = {
        "kspace": kspace,
        "reconstruction_rss": rss,
        "ismrmrd_header": header_xml((rows, columns), (rows, columns)),
        **datasets,
    }
    return write_fastmri(path, **{name: value for name, value in contents.items() if value is not None})


def methods(text: str) -> list[dict[str, Any]]:
    """The rows of the table, one a method, among the lines of --json."""
    lines = [json.loads(line) for line in text.splitlines()]
    return [line for line in lines if "method" in line]
