"""Pictures for people: reconstructions side by side, and their errors."""

import io
import os
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ugodit.evaluation.metrics import psnr, ssim
from ugodit.io.atomic import write_file

Picture = NDArray[np.floating]

_PAPER, _INK, _FAINT = "#0d1117", "#e6edf3", "#8b949e"
_PANEL = 2.3  # inches: four panels side by side are as wide as a README
_DPI = 160


def reconstruction_picture(
    path: str | os.PathLike[str],
    image: Picture,
    baselines: Mapping[str, Picture],
    *,
    target: Picture | None,
    maximum: float | None,
) -> None:
    """Write the picture of a reconstruction: what one would have otherwise, ours, the target and the errors.

    Magnitudes (rows, columns) of one slice; baselines by title. Arguments and errors otherwise as for
    `comparison_picture`. Which panels there are is decided here.
    """
    comparison_picture(path, {**baselines, "ugodit": image}, target, maximum=maximum)


def comparison_picture(
    path: str | os.PathLike[str],
    panels: Mapping[str, Picture],
    target: Picture | None,
    error_scale: float = 5.0,
    maximum: float | None = None,
) -> None:
    """Write a PNG: the panels and the target side by side in one grey scale, their errors times error_scale below.

    Panels are magnitudes (rows, columns) by title; PSNR and SSIM against the target go under the titles, with `maximum`
    (the target's own unless given) as the intensity range. Without a target there are no errors. The file appears
    whole or not at all. Raises ValueError where a panel has another shape, InputError where it cannot be written.
    """
    if not panels:
        raise ValueError("panels: expected at least one picture, got none")
    reference = next(iter(panels.values())) if target is None else target
    for title, image in panels.items():
        if image.shape != reference.shape or image.ndim != 2:
            raise ValueError(f"panels: expected (rows, columns) of {reference.shape}, got {image.shape} for {title!r}")
    # The brightest thousandth, often fat next to a coil, may saturate: the rest is easier to see.
    white = float(np.quantile(reference, 0.999)) or 1.0
    shown = dict(panels) if target is None else {**panels, "target": target}
    rows = 1 if target is None else 2
    shape = reference.shape
    height = _PANEL * shape[0] / shape[1]
    figure = Figure(figsize=(_PANEL * len(shown), height * rows + 0.42), dpi=_DPI, facecolor=_PAPER)
    FigureCanvasAgg(figure)
    top = 1 - 0.42 / (height * rows + 0.42)
    axes = figure.subplots(
        rows,
        len(shown),
        squeeze=False,
        gridspec_kw={"left": 0, "right": 1, "bottom": 0, "top": top, "wspace": 0.012, "hspace": 0.012},
    )
    for index, (title, image) in enumerate(shown.items()):
        axis = axes[0, index]
        _show(axis, image, white)
        axis.text(0.5, 1.105, title, transform=axis.transAxes, ha="center", va="center", color=_INK, fontsize=9.5)
        if target is None:
            continue
        scored = index < len(panels)
        below = _scores(target, image, maximum) if scored else "fully sampled"
        axis.text(0.5, 1.04, below, transform=axis.transAxes, ha="center", va="center", color=_FAINT, fontsize=7)
        if scored:
            _show(axes[1, index], error_scale * np.abs(image.astype(np.float64) - target), white)
        else:
            axes[1, index].set_axis_off()
            label = f"errors × {error_scale:g}"
            axes[1, index].text(
                0.5, 0.5, label, transform=axes[1, index].transAxes, ha="center", va="center", color=_FAINT, fontsize=9
            )
    buffer = io.BytesIO()
    # No date and no version in the file: the same picture has the same bytes.
    figure.savefig(buffer, format="png", facecolor=_PAPER, metadata={"Software": None})
    write_file(path, buffer.getbuffer())


def _show(axis: Axes, image: Picture, white: float) -> None:
    axis.imshow(image, cmap="gray", vmin=0, vmax=white, interpolation="nearest", aspect="auto")
    axis.set_axis_off()


def _scores(target: Picture, image: Picture, maximum: float | None) -> str:
    text = f"{psnr(target, image, maximum):.2f} dB"
    return f"{text} · SSIM {ssim(target, image, maximum):.3f}" if min(target.shape) >= 7 else text
