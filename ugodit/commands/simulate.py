"""The command `simulate`: write a simulated multi-coil scan in fastMRI's layout."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from ugodit.commands.parser import Parser, check_seed, run
from ugodit.commands.threads import take_threads
from ugodit.data.limits import check_kspace_size
from ugodit.errors import InputError, named
from ugodit.io.atomic import remove_left_over
from ugodit.io.files import check_path

ANATOMIES = ("knee", "brain")
"""What `simulation.phantom` draws."""

MAX_MAGNITUDE = 1000
"""Bytes of the name of a file and a dataset in it."""

_NOTE = "simulated by ugodit: not a measurement of anybody"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return run(_main, argv)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="ugodit simulate",
        description="Write a simulated, fully sampled multi-coil scan in fastMRI's layout. The seed is the subject.",
    )
    parser.add_argument("out", metavar="OUT.h5", type=Path, help="the file to write")
    parser.add_argument("--anatomy", choices=ANATOMIES, default="knee", help="what is drawn (default: knee)")
    parser.add_argument(
        "--magnitude",
        metavar="FILE.h5[:DATASET]",
        help="put coils round these magnitudes (slices, rows, columns) instead; DATASET is `magnitude` by default",
    )
    parser.add_argument("--seed", type=int, default=0, help="subject, coil positions and noise (default: 0)")
    parser.add_argument("--slices", default="1", metavar="N|A:B", help="the first N slices, or A to B - 1 (default: 1)")
    parser.add_argument(
        "--size", default="320x320", metavar="ROWSxCOLUMNS", help="the size of a drawn slice (default: 320x320)"
    )
    parser.add_argument("--coils", type=int, default=8, help="how many receive coils there are (default: 8)")
    parser.add_argument("--snr", type=float, default=35.0, metavar="DB", help="mean signal over noise (default: 35 dB)")
    parser.add_argument(
        "--oversampling", type=int, default=1, metavar="N", help="of the readout, as scanners do: 2 (default: 1)"
    )
    return parser


def _main(argv: Sequence[str] | None) -> int:
    options = _parser().parse_args(argv)
    if options.out.suffix != ".h5":
        raise InputError(f"{options.out}: expected a file name that ends in .h5")
    check_seed(options.seed)
    slices = _slices(options.slices)
    if options.magnitude is None and min(options.coils, options.oversampling) > 0:
        rows, columns = _size(options.size)
        with named("--slices, --coils, --size, --oversampling"):
            check_kspace_size((slices.stop - slices.start, options.coils, rows * options.oversampling, columns))
    take_threads(quiet=True)
    from ugodit.io.fastmri import write_volume  # these need torch or scipy: after the arguments are checked
    from ugodit.io.reconstructions import read_reconstruction
    from ugodit.simulation import phantom

    if options.magnitude is None:
        shape = _size(options.size)
        magnitude = phantom.draw(options.anatomy, shape, slices, options.seed)
        plane, shading, source = phantom.PLANES[options.anatomy], 0.5, options.anatomy
        subject = f"{source}-{options.seed}"
        pixel = phantom.field_of_view(options.anatomy) / max(shape)
    else:
        path, dataset = _split(options.magnitude)
        magnitude = read_reconstruction(path, dataset)
        if slices.stop > len(magnitude):
            raise InputError(f"--slices: {path} has {len(magnitude)} slices, expected no more, got {options.slices}")
        magnitude = magnitude[slices.start : slices.stop]
        _, rows, columns = magnitude.shape
        if min(options.coils, options.oversampling) > 0:
            with named("--magnitude, --slices, --coils, --oversampling"):
                check_kspace_size((len(magnitude), options.coils, rows * options.oversampling, columns))
        plane, shading, source = "axial", 0.0, f"{path.stem}:{dataset}"
        subject = f"{source}-{options.slices}"  # whoever that is, the seed only places the coils round them
        pixel = 160.0 / max(magnitude.shape[1:])  # of an unknown field of view: that of a knee or a small head
    kspace, _, _ = phantom.simulate_volume(
        magnitude,
        options.coils,
        options.seed,
        snr_db=options.snr,
        oversampling=options.oversampling,
        shading=shading,
        pixel_mm=pixel,
        plane=plane,
    )
    attributes = {
        "acquisition": f"SIMULATED_{source.upper()}",
        "patient_id": f"simulated-{subject}",
        "simulated": True,
        "note": _NOTE,
        "seed": options.seed,
        "snr_db": options.snr,
        "slices": options.slices,
    }
    remove_left_over(options.out.parent)
    target = phantom.root_sum_of_squares(kspace, magnitude.shape[1])
    write_volume(options.out, kspace, target, attributes=attributes, pixel_mm=pixel)
    shape_text = " x ".join(str(n) for n in kspace.shape)
    print(f"{options.out}: simulated {source}, {shape_text} (slices, coils, readout, phase encode)")
    return 0


def _slices(text: str) -> range:
    first, colon, last = text.partition(":")
    try:
        found = range(int(first or 0), int(last)) if colon else range(int(first))
    except ValueError:
        found = range(0)
    # A range may be longer than `len` can say.
    if not 0 <= found.start < found.stop:
        raise InputError(f"--slices: expected a number of slices or a range such as 0:4, got {text!r}")
    return found


def _size(text: str) -> tuple[int, int]:
    rows, _, columns = text.partition("x")
    if not (rows.isdecimal() and columns.isdecimal()) or max(len(rows), len(columns)) > 9:
        raise InputError(f"--size: expected ROWSxCOLUMNS such as 320x320, got {text!r}")
    return int(rows), int(columns)


def _split(text: str) -> tuple[Path, str]:
    path, colon, dataset = text.rpartition(":")
    with named("--magnitude"):
        if len(os.fsencode(text)) > MAX_MAGNITUDE:
            raise InputError(f"expected FILE.h5 or FILE.h5:DATASET, got {len(text)} characters")
        if not colon or os.path.exists(text):  # unlike Path's, False for a name that is too long
            path, dataset = text, "magnitude"
        check_path(Path(path))
        if not dataset.isprintable():
            raise InputError(f"{path}: expected the name of a dataset, got other characters")
    return Path(path), dataset
