"""What all figures share: the palette, the look of a plot, and how a figure is written.

They are drawn with matplotlib's objects alone: no pyplot, no display, nothing global.
"""

import io
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from utils.files import replacing

DPI = 100
TEXT_COLOUR, SOFT_COLOUR, GRID_COLOUR = "#1b1e22", "#5c6470", "#dde1e6"
BLUE, ORANGE, GREEN = "#1c6fb8", "#b35a12", "#2a7d45"


def style_plot(axes: Axes) -> None:
    """A light grid behind, no frame above and on the right."""
    axes.grid(color=GRID_COLOUR, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=SOFT_COLOUR, labelsize=9)


def save_figure(figure: Figure, path: Path | str) -> None:
    """Write a figure in the format of the suffix, .png, .pdf or .svg; its folder is made."""
    with replacing(Path(path)) as temporary:
        figure.savefig(temporary, dpi=DPI, facecolor="white")


def figure_bytes(figure: Figure) -> bytes:
    """A figure as the content of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white")
    return buffer.getvalue()


def figure_pixels(figure: Figure) -> np.ndarray:
    """A figure as (H, W, 3) uint8 RGB, at its own resolution."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
