"""How well maps reconstruct: ours beside sigpy's, CG-SENSE at 4x on every scan, the same lines for all.

    python benchmarks/bench_maps.py --out benchmarks/results/maps.json

Two masks a scan, both equispaced at 4x: with 24 central lines, which sigpy's defaults want, and with the 8 % of lines
that the commands keep by default, where sigpy is given as many as there are (its other defaults: kernel 6, threshold
0.02, crop 0.95; from fewer than ten lines these find no maps at all: null). `same settings` is ugodit with sigpy's,
`shipped` what `reconstruct` finds for the mask; of sigpy's and these, the fast preset's own reconstruction is scored
too. Scores are PSNR in dB by fastMRI's definition, of real scans against
the root sum of squares of all lines, of simulated knees against the object.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sigpy.mri
import torch
from cases import Slice, Wanted, load_suite
from records import environment
from torch import Tensor

from ugodit.calibration import estimate_maps, maps_from_block
from ugodit.calibration.maps import WIDE_ACS, reconstruction_maps
from ugodit.data.geometry import center_crop, central
from ugodit.data.masks import cartesian_mask
from ugodit.data.scan import Scan
from ugodit.data.undersampling import acs_width, undersample
from ugodit.evaluation import metrics
from ugodit.evaluation.baselines import cg_sense
from ugodit.operators.scale import normalize
from ugodit.operators.sense import SenseOperator
from ugodit.priors.adaptation import adapt, from_scratch
from ugodit.priors.presets import preset

TOLERANCE = 0.05
"""dB that ours may score below sigpy's."""


def sigpy_maps(scan: Scan, lines: int) -> Tensor:
    """sigpy's EspiritCalib, whose defaults are calib_width 24, thresh 0.02, kernel_width 6, crop 0.95, max_iter 100."""
    kspace = (scan.kspace / scan.kspace.abs().max()).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it divides 0 by 0 where maps are 0
        maps = sigpy.mri.app.EspiritCalib(kspace, calib_width=lines, show_pbar=False).run()
    return torch.from_numpy(np.nan_to_num(maps))


def same_settings(scan: Scan, lines: int) -> Tensor:
    """Ours from the very samples that sigpy takes, with its kernel, threshold and crop."""
    rows, columns = scan.kspace.shape[-2:]
    block = scan.kspace[None, :, central(rows, lines), central(columns, lines)]
    return maps_from_block(block, (rows, columns), kernel_width=6, threshold=0.02, crop=0.95)[0][0, 0]


MAPS: dict[str, Callable[[Scan, int], Tensor]] = {
    "sigpy": sigpy_maps,
    "same settings": same_settings,
    "estimate_maps": lambda scan, lines: estimate_maps(scan.kspace, mask=scan.mask),
    "shipped": lambda scan, lines: reconstruction_maps(scan),
}


def cg(operator: SenseOperator) -> Tensor:
    """CG-SENSE: 30 iterations, Tikhonov weight 0.01; its coil images' magnitude, as the commands report it."""
    return cg_sense(operator) * operator.sensitivity


def fitted(operator: SenseOperator) -> Tensor:
    """What `reconstruct --preset fast` makes of it without a prior."""
    chosen = preset("fast")
    *_, last = adapt(operator, from_scratch(operator, chosen.network, chosen.alone_model, chosen.alone))
    return last.averages()[0]


def psnr(tested: Slice, scan: Scan, maps: Tensor, reconstruct: Callable[[SenseOperator], Tensor]) -> float | None:
    """Of a reconstruction with these maps, in the scan's units; None for empty maps."""
    if not bool((maps != 0).any()):
        return None
    assert scan.mask is not None
    assert scan.target is not None
    unit = float(scan.kspace.abs().max())
    operator, scale = normalize(SenseOperator.from_kspace(scan.kspace / unit, maps, scan.mask, rows=scan.crop[0]))
    magnitude = (reconstruct(operator) * operator.support).square().sum(1)[0].sqrt() * (scale * unit)
    return round(metrics.psnr(scan.target.numpy(), center_crop(magnitude, scan.crop).numpy(), tested.maximum), 3)


def compare(tested: Slice, central_lines: int | None, with_fit: bool) -> dict[str, Any]:
    """Scores and seconds of every kind of maps; central_lines None: 8 % of them, as the commands keep."""
    width = tested.scan.kspace.shape[-1]
    fraction = 0.08 if central_lines is None else central_lines / width
    scan = undersample(tested.scan, cartesian_mask("equispaced", width, 4, fraction, seed=0))
    assert scan.mask is not None
    lines = min(acs_width(scan.mask), 24)
    result: dict[str, Any] = {"scan": tested.name, "acs_lines": lines, "sampled": float(scan.mask.float().mean())}
    for name, find in MAPS.items():
        began = time.perf_counter()
        maps = find(scan, lines)
        result[f"{name}_seconds"] = round(time.perf_counter() - began, 3)
        result[f"{name}_psnr_db"] = psnr(tested, scan, maps, cg)
        if with_fit and name in ("sigpy", "shipped"):
            result[f"{name}_fast_preset_psnr_db"] = psnr(tested, scan, maps, fitted)
    for name in ("same settings", "shipped"):
        ours, theirs = result[f"{name}_psnr_db"], result["sigpy_psnr_db"]
        result[f"{name}_minus_sigpy_db"] = None if ours is None or theirs is None else round(ours - theirs, 3)
    result["shipped_soft"] = lines >= WIDE_ACS
    return result


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Our lowest score less sigpy's, in dB, for each kind of maps, where both have any."""
    worst = {}
    for name, theirs, ours in (
        ("same settings", "sigpy", "same settings"),
        ("shipped", "sigpy", "shipped"),
        ("shipped, fast preset", "sigpy_fast_preset", "shipped_fast_preset"),
    ):
        pairs = [(row.get(f"{ours}_psnr_db"), row.get(f"{theirs}_psnr_db")) for row in rows]
        differences = [mine - other for mine, other in pairs if mine is not None and other is not None]
        if differences:
            worst[name] = round(min(differences), 3)
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="the data folder (default: UGODIT_DATA or ../shared/data)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--skip-fit", action="store_true", help="CG-SENSE only: under a minute")
    parser.add_argument("--suites", nargs="+", default=["brains", "knees"])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    record = environment(torch.device("cpu"))
    slices = [one for suite in arguments.suites for one in load_suite(suite, Wanted(data=arguments.data)).test]
    rows = []
    for central_lines in (24, None):
        for tested in slices:
            rows.append(compare(tested, central_lines, not arguments.skip_fit))
            print(json.dumps(rows[-1]), flush=True)
    worst = summary(rows)
    passed = {name: value >= -TOLERANCE for name, value in worst.items()}
    result = {"environment": record, "tolerance_db": TOLERANCE, "worst_db": worst, "passed": passed, "rows": rows}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
