"""The curves of a training run."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import blended_transform_factory

from evaluation.figures import BLUE, DPI, GREEN, ORANGE, SOFT_COLOUR, TEXT_COLOUR, style_plot

PANELS = {  # key of a row: name of the axis, colour
    "pixel": ("pixel loss", BLUE),
    "contrastive": ("contrastive loss", ORANGE),
    "psnr": ("validation PSNR (dB)", GREEN),
}
SMOOTHED_FROM = 40  # points, of which a curve shows a running mean over its raw values


def curves(metrics: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the losses and the validation PSNR of a run against the iteration.

    metrics: rows of a run's metrics.jsonl. Used are `iteration`, `phase`, `pixel` (`l1` in older logs) and
        `contrastive` and, in the rows of a validation, `psnr` (dB) and `ssim`, or `psnr_ema` and `ssim_ema`, which
        choose the checkpoint where they are there; rows may lack any of them. Of an iteration repeated after a resume
        the last row counts. ValueError: there is none to draw.
    """
    metrics = _that_choose(metrics)
    series = {key: _series(metrics, key) for key in PANELS}
    series = {key: points for key, points in series.items() if len(points)}
    if not series:
        raise ValueError(f"no row to draw among {len(metrics)}: needed are `iteration` and one of {', '.join(PANELS)}")
    figure = Figure(figsize=(9.0, 0.7 + 2.5 * len(series)), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    panels: list[Axes] = list(figure.subplots(len(series), 1, sharex=True, squeeze=False)[:, 0])
    for panel, (key, points) in zip(panels, series.items(), strict=True):
        _draw_curve(panel, points, *PANELS[key], is_validation=key == "psnr")
    if "psnr" in series:
        _mark_best(panels[-1], metrics, series["psnr"])
    _draw_phases(panels, metrics)
    panels[-1].set_xlabel("iteration", color=TEXT_COLOUR)
    panels[-1].xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    panels[-1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    figure.align_ylabels(panels)
    return figure


def _that_choose(metrics: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with those validations alone that choose a checkpoint: of a network that has begun to learn."""
    metrics = [{"pixel": row["l1"], **row} if "l1" in row else row for row in metrics]
    begin = min((row["iteration"] for row in metrics if row.get("pixel") is not None and "iteration" in row), default=0)
    rows = []
    for row in metrics:
        chosen = {key: row.get(f"{key}_ema", row.get(key)) for key in ("psnr", "ssim")}
        rows.append({**row, **(chosen if row.get("iteration", 0) >= begin else dict.fromkeys(chosen))})
    return rows


def _series(metrics: Sequence[Mapping[str, Any]], key: str) -> npt.NDArray[np.float64]:
    """Finite values of a key, (N, 2) as (iteration, value), in order of the iteration."""
    points = {row["iteration"]: row[key] for row in metrics if row.get(key) is not None and "iteration" in row}
    finite = sorted((iteration, value) for iteration, value in points.items() if math.isfinite(value))
    return np.array(finite, dtype=np.float64).reshape(-1, 2)


def _draw_curve(panel: Axes, points: npt.NDArray[np.float64], label: str, colour: str, *, is_validation: bool) -> None:
    iterations, values = points.T
    if is_validation:
        panel.plot(
            iterations, values, color=colour, linewidth=1.8, marker="o" if len(points) <= 60 else "", markersize=4
        )
    elif len(points) < SMOOTHED_FROM:
        panel.plot(iterations, values, color=colour, linewidth=1.8, marker="o" if len(points) == 1 else "")
    else:
        panel.plot(iterations, values, color=colour, linewidth=0.8, alpha=0.3)
        panel.plot(iterations, _running_mean(values), color=colour, linewidth=1.8)
    if not is_validation and values.min() > 0 and values.max() > 5 * np.median(values):
        panel.set_yscale("log")  # the first steps would flatten the rest
        panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.yaxis.set_minor_formatter(NullFormatter())
    panel.set_ylabel(label, color=TEXT_COLOUR)
    style_plot(panel)
    panel.margins(x=0.01)


def _running_mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean over a centred window of about a thirtieth of the points, cut off at the ends."""
    half = max(1, len(values) // 60)
    sums = np.concatenate(([0.0], np.cumsum(values)))
    indices = np.arange(len(values))
    first, last = np.maximum(indices - half, 0), np.minimum(indices + half + 1, len(values))
    return np.asarray((sums[last] - sums[first]) / (last - first), dtype=np.float64)


def _mark_best(panel: Axes, metrics: Sequence[Mapping[str, Any]], points: npt.NDArray[np.float64]) -> None:
    iteration, psnr = points[np.argmax(points[:, 1])]
    ssim = [row["ssim"] for row in metrics if row.get("iteration") == iteration and row.get("ssim") is not None]
    note = f"best: {psnr:.2f} dB" + (f" / {ssim[-1]:.4f}" if ssim else "") + f" at {iteration:,.0f}"
    panel.plot([iteration], [psnr], marker="o", markersize=8, markerfacecolor="none", markeredgecolor=TEXT_COLOUR)
    behind = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 2.0}
    panel.text(0.99, 0.07, note, transform=panel.transAxes, ha="right", color=TEXT_COLOUR, fontsize=10, bbox=behind)


def _draw_phases(panels: Sequence[Axes], metrics: Sequence[Mapping[str, Any]]) -> None:
    """A dashed line where a phase begins, named on the uppermost panel if there is room; nothing for a single phase."""
    phases = sorted(
        {row["iteration"]: row["phase"] for row in metrics if "iteration" in row and row.get("phase")}.items()
    )
    starts = [phases[i] for i in range(len(phases)) if i == 0 or phases[i][1] != phases[i - 1][1]]
    if len(starts) < 2:
        return
    for panel in panels:
        for iteration, _ in starts[1:]:
            panel.axvline(iteration, color=SOFT_COLOUR, linewidth=1.0, linestyle=(0, (4, 3)))
    position = blended_transform_factory(panels[0].transData, panels[0].transAxes)
    first, last = phases[0][0], phases[-1][0]
    ends = [iteration for iteration, _ in starts[1:]] + [last]
    for (iteration, phase), end in zip(starts, ends, strict=True):
        if end - iteration >= 0.09 * (last - first) or end == last:
            panels[0].text(iteration, 1.03, f" {phase}", transform=position, color=SOFT_COLOUR, fontsize=9, va="bottom")
