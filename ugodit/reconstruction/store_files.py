"""The files in a store on disk: their names, and the notes on slices that are in the volume's file by now.

What has other names is somebody else's, and never touched.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from ugodit.io.atomic import write_file
from ugodit.io.claims import is_of_claims
from ugodit.io.files import read_json
from ugodit.reconstruction.store import OWN_CHECKPOINT, OWN_PRIOR

SETTINGS = "settings.json"
SHARED = (OWN_PRIOR, OWN_CHECKPOINT)
"""What all slices need."""
SLICE = re.compile(r"slice_[0-9]{4,}\.h5")
NOTE = re.compile(r"[0-9a-f]{8}\.written")


def slice_name(index: int) -> str:
    return f"slice_{index:04d}.h5"


def files_of(folder: Path, name: re.Pattern[str]) -> list[Path]:
    """Those of such names, in order."""
    try:
        return sorted(path for path in folder.iterdir() if name.fullmatch(path.name))
    except OSError:
        return []


def write_note(folder: Path, key: str, source: str, indices: Iterable[int]) -> None:
    """Note that these slices, of settings with this key and of that source, are in the volume's file. OutputError."""
    note = {"key": key, "source": source, "slices": list(indices)}
    write_file(folder / f"{secrets.token_hex(4)}.written", json.dumps(note).encode())


def noted(folder: Path, key: str, source: str) -> set[int]:
    """The slices that such notes tell of."""
    found: set[int] = set()
    for path in files_of(folder, NOTE):
        note = read_json(path)
        if isinstance(note, dict) and (note.get("key"), note.get("source")) == (key, source):
            slices = note.get("slices")
            found.update(index for index in (slices if isinstance(slices, list) else ()) if isinstance(index, int))
    return found


def remove_if_empty(folder: Path) -> None:
    """Remove the folder, unless there are slices in it, other processes at work, or files of somebody else."""
    with contextlib.suppress(OSError):
        names = [path.name for path in folder.iterdir()]
        if not any(SLICE.fullmatch(name) or name in SHARED or is_of_claims(name) for name in names):
            for name in names:
                if name == SETTINGS or NOTE.fullmatch(name):
                    (folder / name).unlink(missing_ok=True)
            folder.rmdir()


def unlink(path: Path) -> None:
    """Remove a file, where it is one and may be removed."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
