"""`python -m ugodit.demo --out DIR`: everything in turn on simulated knees, in minutes on two CPU cores.

Simulates a few subjects, trains a group prior on their undersampled scans, reconstructs another subject with it, and
compares with what one would use otherwise. Writes DIR/table.md and DIR/demo.png.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from ugodit.commands import evaluate, reconstruct, simulate, train
from ugodit.commands.parser import Parser, run
from ugodit.commands.threads import take_threads
from ugodit.errors import InputError
from ugodit.priors.presets import PRESETS

if TYPE_CHECKING:
    import numpy as np

    from ugodit.data.scan import Scan

L1_WEIGHTS = (4e-4, 8e-4, 1.6e-3, 3e-3, 6e-3, 1.2e-2)
HELD_OUT_SUBJECT = 100
"""Its seed; the subjects trained on have seeds from 1."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    parser = Parser(prog="ugodit demo", description="Simulate, train, reconstruct and compare, in minutes.")
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--subjects", type=int, default=4, help="to train on (default %(default)s)")
    parser.add_argument("--size", default="320x320", metavar="ROWSxCOLUMNS", help="default: %(default)s")
    parser.add_argument("--preset", choices=list(PRESETS), default="fast", help="default: %(default)s")
    parser.add_argument("--config", type=Path, help="passed on to train and reconstruct")
    options = parser.parse_args(argv)
    if options.subjects < 1:
        raise InputError(f"--subjects: expected 1 or more, got {options.subjects}")
    began = time.perf_counter()
    folder: Path = options.out
    scans = folder / "scans"
    try:
        scans.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out: {folder}: cannot be made a folder: {error.strerror}") from error
    take_threads()
    training = [scans / f"knee{seed}.h5" for seed in range(1, options.subjects + 1)]
    unseen = scans / f"knee{HELD_OUT_SUBJECT}.h5"
    for seed, path in [*enumerate(training, 1), (HELD_OUT_SUBJECT, unseen)]:
        _command(simulate.main, "simulate", [str(path), "--seed", str(seed), "--size", options.size])
    shared = ["--preset", options.preset, "--acceleration", "4", "--center-fraction", "0.08"]
    if options.config:
        shared += ["--config", str(options.config)]
    prior = folder / "prior.safetensors"
    _command(train.main, "train", [*map(str, training), "--out", str(prior), *shared])
    again = [*shared, "--overwrite"]
    from_prior = ["--prior", str(prior), *again]
    _command(reconstruct.main, "reconstruct", [str(unseen), "--out", str(folder / "adapted"), *from_prior])
    quick = [*from_prior, "--zero-shot"]
    _command(reconstruct.main, "reconstruct", [str(unseen), "--out", str(folder / "zero-shot"), *quick])
    _command(evaluate.main, "evaluate", [str(folder / "adapted"), "--target", str(scans)])
    _compare(unseen, folder)
    print(f"\n{folder / 'demo.png'} and {folder / 'table.md'} written, {time.perf_counter() - began:.0f} s in all")
    return 0


def _command(command: Callable[[Sequence[str]], int], name: str, arguments: list[str]) -> None:
    print(f"\n$ ugodit {name} {shlex.join(arguments)}", flush=True)
    status = command(arguments)
    if status:
        raise SystemExit(status)  # the command has said why, in its one line


def _compare(unseen: Path, folder: Path) -> None:
    """Baselines on the very lines and maps that the reconstruction had, then table and picture."""
    from ugodit.data.sampling import Sampling
    from ugodit.evaluation import metrics
    from ugodit.evaluation.pictures import comparison_picture
    from ugodit.evaluation.tables import markdown_table, print_table
    from ugodit.io.atomic import write_file
    from ugodit.io.reconstructions import read_attributes, read_reconstruction
    from ugodit.io.volumes import open_volume

    settings = json.loads(str(read_attributes(folder / "adapted" / unseen.name)["settings"]))
    sampling = Sampling(**settings["sampling"])
    with open_volume(unseen) as volume:
        scan = sampling.apply(volume.scan(0))
    assert scan.target is not None
    target = scan.target.numpy()
    images, seconds = _baselines(scan, target)
    for name in ("zero-shot", "adapted"):
        path = folder / name / unseen.name
        images[f"ugodit, {name}"] = read_reconstruction(path)[0]
        seconds[f"ugodit, {name}"] = fmean(read_attributes(path)["seconds_per_slice"])
    columns = ["simulated knee, 4x", "PSNR (dB)", "SSIM", "NMSE", "seconds"]
    rows = [
        [
            name,
            f"{metrics.psnr(target, image):.2f}",
            f"{metrics.ssim(target, image):.4f}",
            f"{metrics.nmse(target, image):.5f}",
            f"{seconds[name]:.2g}",
        ]
        for name, image in images.items()
    ]
    print()
    print_table(columns, rows)
    write_file(folder / "table.md", markdown_table(columns, rows).encode())
    comparison_picture(folder / "demo.png", images, target)


def _baselines(scan: Scan, target: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    from ugodit.calibration.maps import reconstruction_maps
    from ugodit.data.geometry import center_crop
    from ugodit.evaluation import baselines, metrics
    from ugodit.reconstruction.baselines import BASELINES
    from ugodit.reconstruction.preparation import prepare

    images: dict[str, np.ndarray] = {}
    seconds: dict[str, float] = {}

    def timed(name: str, compute: Callable[[], np.ndarray]) -> None:
        began = time.perf_counter()
        images[name] = compute()
        seconds[name] = time.perf_counter() - began

    assert scan.mask is not None
    prepared, maps, mask = prepare(scan), reconstruction_maps(scan), scan.mask

    def wavelet(weight: float) -> np.ndarray:
        return center_crop(baselines.l1_wavelet(scan.kspace, maps, mask, weight).abs(), scan.crop).numpy()

    def wavelet_score(weight: float) -> float:
        return metrics.psnr(target, wavelet(weight))

    # Oracle-tuned, and only the chosen weight's seconds count: two advantages that no user has.
    weight = max(L1_WEIGHTS, key=wavelet_score)
    for name, compute in BASELINES.items():
        timed(name, partial(compute, prepared))
    timed("L1-wavelet, best weight", lambda: wavelet(weight))
    return images, seconds
