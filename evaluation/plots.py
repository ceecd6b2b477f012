"""Plots for reports: images side by side, and the curves of a training run.

Drawn with matplotlib's objects alone: no pyplot, no display, nothing global.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import blended_transform_factory

from utils.files import replacing

Image = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]

DPI = 100
MARGIN, GAP, FRAME = 18, 12, 3  # pixels
SMALLEST_SIDE, LARGEST_SIDE = 360, 720  # of an image in the figure: enlarged, or averaged down, to lie between these
NARROWEST_COLUMN = 240
FRAME_COLOUR = (224, 49, 49)
TEXT_COLOUR, SOFT_COLOUR, GRID_COLOUR = "#1b1e22", "#5c6470", "#dde1e6"
PANELS = {  # key of a row: name of the axis, colour
    "l1": ("L1 loss (grey levels)", "#1c6fb8"),
    "contrastive": ("contrastive loss", "#b35a12"),
    "psnr": ("validation PSNR (dB)", "#2a7d45"),
}
SMOOTHED_FROM = 40  # points, of which a curve shows a running mean over its raw values


def side_by_side(columns: Sequence[tuple[str, Image]], path: Path | str, zoom: Box | None = None) -> None:
    """Write a row of images under their titles and, with `zoom`, a second row with one detail of each, enlarged.

    columns: (title, (H, W, 3) uint8 RGB); a title's first line is its name, further lines are small (a PSNR, say).
        Smaller images, as the LR one, are enlarged to the size of the largest by nearest neighbour.
    path: a .png, .pdf or .svg file; its folder is made.
    zoom: (top, left, height, width) in pixels of the largest image; the others show the same part of the scene.
    """
    _check_columns(columns, zoom)
    images = [image for _, image in columns]
    scene = max((image.shape[:2] for image in images), key=math.prod)
    height, width = _shown_size(*scene)
    detail_height = max(1, round(width * zoom[2] / zoom[3])) if zoom else 0
    column = max(width, NARROWEST_COLUMN)
    font = min(max(column / 22, 14), 26)  # pixels
    num_lines = max(title.count("\n") + 1 for title, _ in columns)
    top = round(MARGIN + font * (1.5 + 1.25 * (num_lines - 1)))

    canvas_height = top + height + (GAP + detail_height if zoom else 0) + MARGIN
    canvas = np.full((canvas_height, 2 * MARGIN + len(columns) * (column + GAP) - GAP, 3), 255, np.uint8)
    for index, image in enumerate(images):
        left = MARGIN + index * (column + GAP) + (column - width) // 2
        canvas[top : top + height, left : left + width] = _resize(image, height, width)
        if zoom is None:
            continue
        _frame(canvas, _scale_box(zoom, height / scene[0], width / scene[1]), top, left)
        rows, cols = _slices(_scale_box(zoom, image.shape[0] / scene[0], image.shape[1] / scene[1]))
        below = top + height + GAP
        canvas[below : below + detail_height, left : left + width] = _resize(image[rows, cols], detail_height, width)
        _frame(canvas, (0, 0, detail_height, width), below, left)
    figure = _figure_of(canvas)
    centres = [MARGIN + index * (column + GAP) + column / 2 for index in range(len(columns))]
    _write_titles(figure, [title for title, _ in columns], centres, column, font)
    _save(figure, path)


def curves(metrics: Sequence[Mapping[str, Any]], path: Path | str) -> None:
    """Write the losses and the validation PSNR of a run against the iteration.

    metrics: rows of a run's metrics.jsonl. Used are `iteration`, `phase`, `l1` and `contrastive` and, in the rows of a
        validation, `psnr` (dB) and `ssim`, or `psnr_ema` and `ssim_ema`, which choose the checkpoint where they are
        there; rows may lack any of them. Of an iteration repeated after a resume the last row counts.
    path: a .png, .pdf or .svg file; its folder is made.
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
    _save(figure, path)


# Images side by side


def _shown_size(height: int, width: int) -> tuple[int, int]:
    """Size in the figure: enlarged by a whole factor, kept, or shrunk to the largest side allowed."""
    if max(height, width) > LARGEST_SIDE:
        shrink = LARGEST_SIDE / max(height, width)
        return max(1, round(height * shrink)), max(1, round(width * shrink))
    factor = max(1, min(round(SMALLEST_SIDE / width), LARGEST_SIDE // max(height, width)))
    return height * factor, width * factor


def _resize(image: Image, height: int, width: int) -> Image:
    """Nearest neighbour to enlarge, averages over areas to shrink (nearest would alias)."""
    shrinks = height < image.shape[0] or width < image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST_EXACT
    return np.asarray(cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=method), dtype=np.uint8)


def _scale_box(box: Box, vertical: float, horizontal: float) -> Box:
    top, left, height, width = box
    scaled = round(top * vertical), round(left * horizontal), round(height * vertical), round(width * horizontal)
    return scaled[0], scaled[1], max(1, scaled[2]), max(1, scaled[3])


def _slices(box: Box) -> tuple[slice, slice]:
    top, left, height, width = box
    return slice(top, top + height), slice(left, left + width)


def _frame(canvas: Image, box: Box, top: int, left: int) -> None:
    """Draw the outline of a box, its corner relative to (top, left), just inside its own edge."""
    rows, cols = _slices((top + box[0], left + box[1], box[2], box[3]))
    inside = canvas[rows, cols][FRAME:-FRAME, FRAME:-FRAME].copy()
    canvas[rows, cols] = FRAME_COLOUR
    canvas[rows, cols][FRAME:-FRAME, FRAME:-FRAME] = inside


def _figure_of(canvas: Image) -> Figure:
    """A figure that shows the canvas pixel by pixel; its data coordinates are the canvas's pixels."""
    height, width = canvas.shape[:2]
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.imshow(canvas, interpolation="nearest", extent=(0, width, height, 0), aspect="auto")
    axes.set_axis_off()
    return figure


def _write_titles(figure: Figure, titles: Sequence[str], centres: Sequence[float], column: int, font: float) -> None:
    """Name in bold, further lines below it; all shrunk alike until the longest fits its column."""
    axes = figure.axes[0]
    texts = []
    for title, centre in zip(titles, centres, strict=True):
        y = MARGIN + 0.5 * font
        for index, line in enumerate(title.split("\n")):
            text = axes.text(centre, y, line, ha="center", va="center", parse_math=False)
            text.set(weight="normal" if index else "bold", color=SOFT_COLOUR if index else TEXT_COLOUR)
            text.set_fontsize(font * (0.9 if index else 1.0) * 72 / DPI)
            texts.append(text)
            y += 1.25 * font
    widest = max(text.get_window_extent().width for text in texts)
    for text in texts:
        text.set_fontsize(float(text.get_fontsize()) * min(1.0, 0.97 * column / max(widest, 1.0)))


def _check_columns(columns: Sequence[tuple[str, Image]], zoom: Box | None) -> None:
    if not columns:
        raise ValueError("no image to show: give at least one (title, image)")
    for title, image in columns:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise ValueError(f"{title!r} is {image.dtype} {image.shape}; allowed is (H, W, 3) uint8, RGB")
    height, width = max((image.shape[:2] for _, image in columns), key=math.prod)
    if zoom is None:
        return
    top, left, rows, cols = zoom
    if min(top, left) < 0 or min(rows, cols) < 1 or top + rows > height or left + cols > width:
        raise ValueError(f"zoom {zoom} (top, left, height, width) lies outside the largest image of {width}x{height}")


# Curves


def _that_choose(metrics: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with those validations alone that choose a checkpoint: of a network that has begun to learn."""
    begin = min((row["iteration"] for row in metrics if row.get("l1") is not None and "iteration" in row), default=0)
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
    panel.grid(color=GRID_COLOUR, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(colors=SOFT_COLOUR, labelsize=9)
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


def _save(figure: Figure, path: Path | str) -> None:
    with replacing(Path(path)) as temporary:
        figure.savefig(temporary, dpi=DPI, facecolor="white")
