"""Montages of reconstructions and curves of PSNR against seconds, from the records and the cached images."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray
from PIL import Image
from records import KEY, Record, digest

from ugodit.io.atomic import write_file

Picture = NDArray[np.float32]

MONTAGE = ("zero_filling", "cg_sense_best", "l1_wavelet", "aseqdip", "alone", "group_unadapted", "group_adapted")
"""What a montage shows, of what there is."""
ERROR_SCALE = 5.0
LARGEST = 290_000
"""Bytes of a montage."""
GREYS = 64
CURVES = {
    "dip": "#999999",
    "deep_decoder": "#b8860b",
    "self_guided_dip": "#cc79a7",
    "aseqdip": "#d55e00",
    "ugodit_paper": "#56b4e9",
    "alone": "#009e73",
    "group_adapted": "#0047b3",
}
SHOWN_DB = 18.0
"""Of the curves, down from the best."""
LEVELS = {"cg_sense_best": ":", "l1_wavelet": "--", "tv": "-."}
DRAWN = {*CURVES, *LEVELS, "group_unadapted"}

Scan = tuple[str, int]
"""A case and the seed of its mask."""


def image_path(cache: Path, record: Record) -> Path:
    """Where a run's reconstruction is: arrays `image` and, of iterative methods, `best` (its best step)."""
    name = digest({"key": [record[name] for name in KEY], "configuration": record["configuration_hash"]})
    return cache / "images" / f"{name}.npz"


def target_path(cache: Path, record: Record) -> Path:
    """Where a case's target is."""
    return cache / "targets" / f"{digest({name: record[name] for name in ('suite', 'case', 'noise', 'shape')})}.npz"


def save_images(cache: Path, record: Record, images: Mapping[str, Picture], target: Picture) -> None:
    """A run's images, by the names that `image_path` gives them, and its case's target."""
    for path, arrays in ((image_path(cache, record), images), (target_path(cache, record), {"target": target})):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        np.savez_compressed(partial, **arrays)
        partial.replace(path)


def case_picture(records: Sequence[Record], cache: Path, folder: Path) -> Path | None:
    """The montage of one case (records of one slice, acceleration and seed); None where no image is cached."""
    panels: dict[str, Picture] = {}
    notes: dict[str, str] = {}
    by_method = {record["method"]: record for record in reversed(records)}  # the first, where there are variants
    for method in MONTAGE:
        record = by_method.get(method)
        if record is None or not image_path(cache, record).exists():
            continue
        with np.load(image_path(cache, record)) as images:
            panels[record["title"]] = images["image"]
        notes[record["title"]] = f"{record['psnr']:.2f} dB, SSIM {record['ssim']:.3f}, {_seconds(record['seconds'])}"
    if not panels or not target_path(cache, records[0]).exists():
        return None
    with np.load(target_path(cache, records[0])) as stored:
        target = stored["target"]
    path = folder / f"{picture_name(records[0])}.png"
    folder.mkdir(parents=True, exist_ok=True)
    write_file(path, montage(panels, notes, target))
    return path


def picture_name(record: Record) -> str:
    """A file name for a case."""
    parts = [record["suite"], record["case"], f"{record['acceleration']:g}x"]
    parts += [record["noise"]] if record["noise"] != "as measured" else []
    parts += [record["mask"]] if record["mask"] != "equispaced" else []
    parts += [f"seed{record['seed']}"] if record["seed"] else []
    return "quality_" + "_".join(parts).replace(" ", "_").replace("/", "_")


def montage(panels: Mapping[str, Picture], notes: Mapping[str, str], target: Picture) -> bytes:
    """PNG bytes: the panels and the target in one grey scale, the errors times ERROR_SCALE below; under LARGEST bytes.

    The panels are shrunk until the file is small enough.
    """
    for width in (256, 224, 192, 160, 128, 96):
        content = _montage(panels, notes, target, width)
        if len(content) <= LARGEST:
            break
    return content


def _montage(panels: Mapping[str, Picture], notes: Mapping[str, str], target: Picture, width: int) -> bytes:
    dpi = 100
    # Small pictures are enlarged by whole pixels, large ones shrunk.
    sharp = "nearest" if width >= target.shape[1] else "antialiased"
    height = width * target.shape[0] / target.shape[1]
    head = 34
    wide = max(width, 150)  # the titles need that much
    figure = Figure(figsize=(wide * (len(panels) + 1) / dpi, (2 * height + head) / dpi), dpi=dpi, facecolor="black")
    FigureCanvasAgg(figure)
    # The brightest thousandth, often fat next to a coil, may saturate: the rest is easier to see.
    white = float(np.quantile(target, 0.999)) or 1.0
    total = 2 * height + head
    for column, (title, image) in enumerate([*panels.items(), ("target", target)]):
        left = (column + (1 - width / wide) / 2) / (len(panels) + 1)
        size = (width / wide / (len(panels) + 1), height / total)
        for row, shown in enumerate((image, ERROR_SCALE * np.abs(image.astype(np.float64) - target))):
            if row and title == "target":
                continue
            axis = figure.add_axes((left, (1 - row) * height / total, *size))
            axis.imshow(shown, cmap="gray", vmin=0, vmax=white, interpolation=sharp, aspect="auto")
            axis.set_axis_off()
        middle = (column + 0.5) / (len(panels) + 1)
        figure.text(middle, 1 - 10 / total, title, color="white", ha="center", va="center", fontsize=7)
        note = notes.get(title, "fully sampled" if title == "target" else "")
        figure.text(middle, 1 - 24 / total, note, color="#aaaaaa", ha="center", va="center", fontsize=5.5)
    figure.text(
        (len(panels) + 0.5) / (len(panels) + 1), 0.5 * height / total, f"errors × {ERROR_SCALE:g}", color="#aaaaaa",
        ha="center", va="center", fontsize=7,
    )  # fmt: skip
    raw = io.BytesIO()
    figure.savefig(raw, format="png", facecolor="black", metadata={"Software": None})
    small = io.BytesIO()
    Image.open(raw).convert("L").quantize(GREYS, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
    return small.getvalue()


def curves_picture(path: Path, tables: Mapping[str, Sequence[Record]]) -> bool:
    """Write PSNR against seconds, a panel for each title in `tables`; False where no record has a curve.

    A method's line is the mean over the runs, point by point, of seconds and of PSNR; what is not iterative is a level.
    All means in a panel are over the same scans.
    """
    tables = {
        title: records
        for title, records in tables.items()
        if any(record["method"] in CURVES and record["curve"] for record in records)
    }
    if not tables:
        return False
    figure = Figure(figsize=(4.4 * len(tables) + 2.4, 4.0), dpi=100, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    handles: dict[str, Artist] = {}
    for axis, (title, records) in zip(figure.subplots(1, len(tables), squeeze=False)[0], tables.items(), strict=True):
        shared = on_the_same_scans([run for run in records if run["method"] in DRAWN])
        handles |= _draw_curves(axis, shared)
        count = len({_scan(run) for run in shared})
        axis.set(xscale="log", xlabel="seconds", ylabel="PSNR, dB (mean over scans)", title=f"{title}, scans: {count}")
        # Panels of less than a decade are labelled at every step of it by default, one label over the other.
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axis.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        low, high = axis.get_ylim()
        axis.set_ylim(max(low, high - SHOWN_DB), high)  # the first steps of an un-trained network say little
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(list(handles.values()), list(handles), loc="outside right center", fontsize=8, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, buffer.getvalue())
    return True


def on_the_same_scans(records: Sequence[Record]) -> list[Record]:
    """The records of the scans that every label has; while there is none, without the label that has fewest."""
    scans: dict[str, set[Scan]] = {}
    for run in records:
        scans.setdefault(run["label"], set()).add(_scan(run))
    while scans and not set.intersection(*scans.values()):
        del scans[min(scans, key=lambda label: len(scans[label]))]
    common = set.intersection(*scans.values()) if scans else set()
    return [run for run in records if run["label"] in scans and _scan(run) in common]


def _scan(run: Record) -> Scan:
    return run["case"], run["seed"]


def _draw_curves(axis: Axes, records: Sequence[Record]) -> dict[str, Artist]:
    """What is drawn, by its name in the legend."""
    handles: dict[str, Artist] = {}
    for method, colour in CURVES.items():
        width = 2.4 if method in ("group_adapted", "alone") else 1.4
        curved = [record for record in records if record["curve"]]
        for style, (label, runs) in zip(("-", "--", ":", "-."), _by_label(curved, method).items(), strict=False):
            seconds, psnrs = mean_curve([run["curve"] for run in runs])
            handles[label] = axis.plot(seconds, psnrs, style, color=colour, linewidth=width)[0]
    for marker, (label, runs) in zip("os^D", _by_label(records, "group_unadapted").items(), strict=False):
        point = [float(np.mean([run[name] for run in runs])) for name in ("seconds", "psnr")]
        handles[label] = axis.plot(*point, marker, color=CURVES["group_adapted"], markersize=7)[0]
    for method, style in LEVELS.items():
        for label, runs in _by_label(records, method).items():
            level = float(np.mean([run["psnr"] for run in runs]))
            handles[f"{label} (on the truth)"] = axis.axhline(level, color="black", linestyle=style, linewidth=1)
    return handles


def mean_curve(curves: Sequence[Sequence[Sequence[float]]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Seconds and PSNR, averaged point by point; curves that were stopped early hold their last PSNR."""
    longest = max(len(curve) for curve in curves)
    padded = np.array([[*curve, *[curve[-1]] * (longest - len(curve))] for curve in curves], np.float64)
    mean = padded.mean(0)
    return mean[:, 0], mean[:, 1]


def _by_label(records: Sequence[Record], method: str) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        if record["method"] == method:
            found.setdefault(record["label"], []).append(record)
    return found


def _seconds(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
