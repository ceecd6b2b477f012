"""PSNR against what it costs: the plot of `benchmarks.peers`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import blended_transform_factory

from evaluation.figures import BLUE, DPI, GREEN, ORANGE, SOFT_COLOUR, TEXT_COLOUR, save_figure, style_plot

COLOURS = (SOFT_COLOUR, BLUE, ORANGE, GREEN)


class CostPoint(NamedTuple):
    """A method: its PSNR in dB, seconds an image, multiply-adds of one image of `evaluation.profiling`'s size."""

    name: str
    psnr: float
    seconds: float
    multiply_adds: float


COSTS = {  # of a point: name of the axis, divisor
    "seconds": ("seconds an image", 1.0),
    "multiply_adds": ("multiply-adds of a 1280×720 image (G)", 1e9),
}


def costs(panels: Mapping[str, Sequence[CostPoint]], path: Path | str, *, psnr_label: str = "PSNR (dB)") -> None:
    """Write a row of two plots for each title: PSNR against seconds, and against multiply-adds, both logarithmic.

    A method without multiply-adds, such as bicubic, is a dashed line there. path: as of `save_figure`.
    """
    figure = Figure(figsize=(9.0, 2.9 * len(panels)), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(panels), len(COSTS), squeeze=False)
    for row, (title, points) in zip(rows, panels.items(), strict=True):
        for panel, (key, (label, divisor)) in zip(row, COSTS.items(), strict=True):
            _draw_costs(panel, [(point.name, point.psnr, getattr(point, key) / divisor) for point in points])
            panel.set_xlabel(label, color=TEXT_COLOUR)
        row[0].set_ylabel(psnr_label, color=TEXT_COLOUR)
        row[0].set_title(title, color=TEXT_COLOUR, fontsize=10, loc="left")
    save_figure(figure, path)


def _draw_costs(panel: Axes, points: Sequence[tuple[str, float, float]]) -> None:
    panel.set_xscale("log")
    dear = [cost for _, _, cost in points if cost > 0]
    panel.set_xlim(min(dear) / 4, max(dear) * 4)
    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if max(dear) < 20 * min(dear) else (1.0,)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    for index, (name, psnr, cost) in enumerate(points):
        colour = COLOURS[index % len(COLOURS)]
        if cost > 0:
            panel.plot([cost], [psnr], marker="o", color=colour, linestyle="")
            is_right = cost**2 > min(dear) * max(dear)
            panel.annotate(
                f" {name} ", (cost, psnr), color=colour, fontsize=9, va="bottom", ha="right" if is_right else "left"
            )
        else:
            panel.axhline(psnr, color=colour, linewidth=1.0, linestyle=(0, (4, 3)))
            place = blended_transform_factory(panel.transAxes, panel.transData)
            panel.text(0.01, psnr, name, transform=place, color=colour, fontsize=9, va="bottom")
    style_plot(panel)
    panel.margins(y=0.18)
