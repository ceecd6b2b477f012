"""The code of an image as a chart for the page."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def draw_code(code: np.ndarray) -> np.ndarray:
    """Draw a code (D,) as bars; (H, W, 3) uint8."""
    figure = Figure(figsize=(9, 2.1), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.bar(np.arange(len(code)), code, width=0.9, color=np.where(code >= 0, "#d9603b", "#3b78d9"))
    axes.axhline(0, color="#888888", linewidth=0.6)
    axes.set_xlim(-1, len(code))
    axes.set_xlabel(f"the {len(code)} numbers of the code", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
