"""Images side by side in one figure, with an enlarged detail of each."""

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evaluation.figures import DPI, SOFT_COLOUR, TEXT_COLOUR, save_figure

Image = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]

MARGIN, GAP, FRAME = 18, 12, 3  # pixels
SMALLEST_SIDE, LARGEST_SIDE = 360, 720  # of an image in the figure: enlarged, or averaged down, to lie between these
NARROWEST_COLUMN = 240
FRAME_COLOUR = (224, 49, 49)


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
    save_figure(figure, path)


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
