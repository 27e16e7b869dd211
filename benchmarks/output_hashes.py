"""Hashes of what the commands write, to tell whether a change of the code changed a bit of any result.

    python benchmarks/output_hashes.py --out before.json
    ... change the code, install it ...
    python benchmarks/output_hashes.py --out after.json --compare before.json

Runs the commands in processes of their own, on one thread, and hashes arrays only: settings and versions may differ.
With measured scans in UGODIT_DATA or ../shared/data, one of them is reconstructed too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from safetensors.numpy import load_file

PUBLISHED = """
[train]
steps = 12
[adapt]
steps = 10
held_out = 0.2
[alone]
steps = 10
[network]
channels = [8, 16, 16]
"""
GROUP = """
[train]
steps = 10
shared_decoder = false
[adapt]
steps = 12
held_out = 0.2
patience = 10
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file of hashes")
    parser.add_argument("--compare", type=Path, help="hashes to compare with; exit code 1 where one differs")
    parser.add_argument("--keep", type=Path, help="folder to run in (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        hashes = _run_all(folder)
    options.out.write_text(json.dumps(hashes, indent=1) + "\n")
    if options.compare is None:
        return 0
    before = json.loads(options.compare.read_text())
    changed = [name for name in sorted(before.keys() | hashes.keys()) if before.get(name) != hashes.get(name)]
    for name in changed:
        print(f"differs: {name}")
    print(f"{len(before)} hashes before, {len(hashes)} after, {len(changed)} differ")
    return 1 if changed else 0


def _run_all(folder: Path) -> dict[str, str]:
    for name, text in (("published", PUBLISHED), ("group", GROUP)):
        (folder / f"{name}.toml").write_text(text)
    knees = [f"knee{seed}.h5" for seed in (1, 2, 3)]
    for seed, name in enumerate(knees, 1):
        _command(folder, "simulate", name, "--seed", seed, "--size", "160x144", "--slices", 2 if seed == 3 else 1)
    _command(folder, "simulate", "brain.h5", "--anatomy", "brain", "--seed", 5, "--size", "96x96", "--oversampling", 2)
    lines = ["--acceleration", 4, "--threads", 1]
    for preset, more in {"fast": [], "balanced": [], "paper": ["--config", "published.toml"]}.items():
        prior = ["--prior", f"{preset}.safetensors"]
        shared = ["--preset", preset, *lines, *more]
        _command(folder, "train", *knees[:2], "--out", prior[1], *shared)
        _command(folder, "reconstruct", knees[2], "--out", f"{preset}_alone", *shared)
        _command(folder, "reconstruct", knees[2], "--out", f"{preset}_adapted", *prior, *shared)
        _command(folder, "reconstruct", knees[2], "--out", f"{preset}_zero_shot", *prior, "--unadapted", *shared)
        _command(folder, "reconstruct", knees[0], "--out", f"{preset}_own", *prior, *shared)
        _command(folder, "reconstruct", "brain.h5", "--out", f"{preset}_misfit", *prior, *shared)
    group = ["--preset", "balanced", *lines, "--config", "group.toml"]
    _command(folder, "train", *knees[:2], "--out", "group.safetensors", *group)
    group += ["--prior", "group.safetensors"]
    _command(folder, "reconstruct", knees[2], "--out", "group_both", "--batch", 2, "--uncertainty", *group)
    _command(folder, "reconstruct", knees[2], "--out", "group_fresh", "--start", "fresh", *group)
    _command(folder, "reconstruct", knees[2], "--out", "group_second", "--start", 1, *group)
    _command(folder, "train", *knees, "--out", "three.safetensors", "--preset", "balanced", *lines)
    three = ["--prior", "three.safetensors", "--preset", "balanced", "--threads", 1]
    eight = ["--acceleration", 8, "--center-fraction", "0.05"]
    _command(folder, "reconstruct", knees[2], "--out", "three_own", "--uncertainty", *three)
    _command(folder, "reconstruct", knees[2], "--out", "three_own_8x", *three, *eight)
    _command(folder, "reconstruct", "brain.h5", "--out", "three_brain_8x", *three, *eight)
    coils = ["--prewhiten", "outer", "--compress", "0.95", "--compress-method", "geometric"]
    _command(folder, "reconstruct", "brain.h5", "--out", "coils", "--preset", "fast", *lines, *coils)
    poisson = ["--mask", "poisson", "--preset", "fast", *lines]
    _command(folder, "reconstruct", "brain.h5", "--out", "poisson", *poisson)
    data = Path(os.environ.get("UGODIT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    real = data / "mri" / "brain_lowres_16ch_96x96.h5"
    if real.exists():
        for preset in ("fast", "balanced"):
            shared = ["--preset", preset, *lines, "--uncertainty"]
            prior = ["--prior", f"{preset}.safetensors"]
            _command(folder, "reconstruct", real, "--out", f"real_{preset}_alone", *shared)
            _command(folder, "reconstruct", real, "--out", f"real_{preset}_prior", *prior, *shared)
            _command(folder, "reconstruct", real, "--out", f"real_{preset}_zero_shot", *prior, "--unadapted", *shared)
        eight = ["--preset", "balanced", "--acceleration", 8, "--center-fraction", "0.08", "--threads", 1, *prior]
        _command(folder, "reconstruct", real, "--out", "real_8x_prior", *eight)
    hashes: dict[str, str] = {}
    for path in sorted(folder.rglob("*.h5")):
        if path.parent.name != "maps":
            with h5py.File(path) as file:
                for name in sorted(file):
                    if name != "ismrmrd_header":
                        hashes[f"{path.relative_to(folder)}: {name}"] = _hash(file[name][()])
    for path in sorted(folder.glob("*.safetensors")):
        for name, array in sorted(load_file(path).items()):
            hashes[f"{path.name}: {name}"] = _hash(array)
    return hashes


def _command(folder: Path, name: str, *arguments: object) -> None:
    words = [sys.executable, "-m", f"ugodit.{name}", *map(str, arguments)]
    print("$", " ".join(words[2:]), flush=True)
    subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _hash(array: np.ndarray) -> str:
    return hashlib.sha256(f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
