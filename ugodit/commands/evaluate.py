"""The command `evaluate`: score reconstructions against the fully sampled scans they came from."""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ugodit.commands.parser import Parser, run
from ugodit.errors import InputError
from ugodit.evaluation.metrics import nmse, psnr, ssim
from ugodit.evaluation.report import print_table
from ugodit.io.fastmri import center_crop, read_attributes, read_reconstruction


@dataclass(frozen=True)
class Scores:
    """One volume's quality by fastMRI's definitions, with the target volume's maximum."""

    name: str
    slices: int
    psnr: float
    ssim: float
    nmse: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return run(_main, argv)


def evaluate_file(reconstruction: Path, target: Path, *, square: bool = False) -> Scores:
    """Compare `reconstruction` in one file with `reconstruction_rss` in the other.

    A reconstruction of some slices only says which in its attribute `slices`. A larger target is cropped to the
    reconstruction's size; `square` crops both to columns x columns, as fastMRI's evaluate.py does. Raises InputError
    for files that cannot be read or do not belong together.
    """
    image = read_reconstruction(reconstruction)
    truth = read_reconstruction(target, "reconstruction_rss")
    maximum = float(truth.max())
    if not maximum > 0:
        raise InputError(f"{target}: reconstruction_rss: expected a positive maximum, got {maximum}; check the file")
    truth = truth[_slices(reconstruction, len(image), len(truth))]
    if any(t < i for t, i in zip(truth.shape, image.shape, strict=True)):
        expected = f"expected no more than the target's {truth.shape}, got {image.shape}"
        raise InputError(f"{reconstruction}: reconstruction: {expected}; is {target} its scan?")
    size = image.shape[-2:]
    if square:
        size = (min(size), min(size))
    if min(size) < 7:
        raise InputError(f"{reconstruction}: reconstruction: expected at least 7 x 7 pixels for SSIM, got {size}")
    truth, image = center_crop(truth, size), center_crop(image, size)
    return Scores(
        reconstruction.stem,
        len(image),
        psnr(truth, image, maximum),
        ssim(truth, image, maximum),
        nmse(truth, image),
    )


def _slices(path: Path, found: int, available: int) -> NDArray[np.int64]:
    """Which of the target's slices were reconstructed."""
    slices = np.atleast_1d(read_attributes(path).get("slices", np.arange(found)))
    if slices.dtype.kind not in "iu" or len(slices) != found or slices.min() < 0:
        raise InputError(f"{path}: attribute slices: expected {found} slice numbers, got {slices.tolist()}")
    if slices.max() >= available:
        expected = f"expected slices below the target's {available}, got up to {slices.max()}"
        raise InputError(f"{path}: reconstruction: {expected}; is it another scan's?")
    if "slices" not in read_attributes(path) and found != available:
        raise InputError(
            f"{path}: reconstruction: expected the target's {available} slices, got {found} and no attribute `slices` "
            "that says which"
        )
    return slices


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="ugodit evaluate", description="PSNR, SSIM and NMSE by fastMRI's definitions.")
    parser.add_argument("reconstructions", metavar="RECON_DIR", type=Path, help="folder of .h5 files, or one file")
    parser.add_argument("--target", metavar="DIR", type=Path, required=True, help="folder of scans of the same names")
    parser.add_argument("--square", action="store_true", help="score columns x columns, as fastMRI's evaluate.py does")
    parser.add_argument("--json", action="store_true", help="print JSON for machines")
    return parser


def _main(argv: Sequence[str] | None) -> int:
    options = _parser().parse_args(argv)
    folder, targets = options.reconstructions, options.target
    if not targets.is_dir():
        raise InputError(f"--target: expected a folder of scans, got {targets}")
    paths = [folder] if folder.is_file() else sorted(folder.glob("*.h5"))
    if not paths:
        raise InputError(f"{folder}: expected a folder with .h5 reconstructions, found none")
    scores = []
    for path in paths:
        if not (targets / path.name).exists():
            raise InputError(f"{path}: expected its scan at {targets / path.name}, which does not exist")
        scores.append(evaluate_file(path, targets / path.name, square=options.square))
    if options.json:
        print(json.dumps(_summary(scores), indent=2))
    else:
        _print(scores)
    return 0


def _summary(scores: list[Scores]) -> dict[str, object]:
    values = {name: [getattr(score, name) for score in scores] for name in ("psnr", "ssim", "nmse")}
    return {
        "volumes": [{key: _json(value) for key, value in asdict(score).items()} for score in scores],
        "mean": {name: _json(float(np.mean(column))) for name, column in values.items()},
        "std": {name: _json(_spread(column)) for name, column in values.items()},
    }


def _print(scores: list[Scores]) -> None:
    columns = ["volume", "slices", "PSNR [dB]", "SSIM", "NMSE"]
    formats = {"psnr": ".2f", "ssim": ".4f", "nmse": ".5f"}
    rows = [[s.name, str(s.slices), *(f"{getattr(s, name):{form}}" for name, form in formats.items())] for s in scores]
    last = ["mean ± std", str(sum(s.slices for s in scores))]
    for name, form in formats.items():
        column = [getattr(s, name) for s in scores]
        last.append(f"{np.mean(column):{form}} ± {_spread(column):{form}}")
    print_table(columns, [*rows, last])


def _spread(column: list[float]) -> float:
    """The standard deviation over the volumes; 0 for one volume, not a number where a value is infinite."""
    if not all(math.isfinite(value) for value in column):
        return math.nan
    return float(np.std(column))


def _json(value: object) -> object:
    """JSON knows no infinity (an identical image's PSNR) and no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
