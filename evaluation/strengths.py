"""How strong blur, noise and JPEG compression are, as a linear regression reads it from codes.

The degradations are held out together with all their images: what is read is that of degradations not seen before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, cross_val_predict

from evaluation.figures import BLUE, DPI, SOFT_COLOUR, TEXT_COLOUR, save_figure, style_plot
from evaluation.probe import NUM_FOLDS, SEED, Points, standardise
from model.degradation_head import kernel_covariance
from utils.known_degradation import KnownDegradation

NAMES = ("blur (standard deviation, HR pixels)", "noise (grey levels)", "JPEG quality (100: none)")
PENALTIES = tuple(10.0**power for power in range(-2, 6))
"""Of the ridge regression, which chooses among them within the training folds."""


def strengths_of(known: KnownDegradation) -> tuple[float, float, float] | None:
    """Blur, noise and quality of one image's degradation, in the units of NAMES; None where there is no JPEG in it."""
    if known.quality is None:
        return None
    variance = kernel_covariance(known.kernels)[0, :2].mean()
    return float(variance.sqrt()), float(known.noise), float(known.quality)


@dataclass(frozen=True)
class Regression:
    """One strength (N,), true and read."""

    true: npt.NDArray[np.float64]
    read: npt.NDArray[np.float64]

    def summary(self) -> dict[str, float]:
        """Mean absolute errors, of what is read and of the median of all, and the correlation, for JSON."""
        guess = np.abs(self.true - np.median(self.true)).mean()
        error = np.abs(self.true - self.read).mean()
        correlation = np.corrcoef(self.true, self.read)[0, 1] if self.read.std() > 0 < self.true.std() else 0.0
        numbers = {"error": error, "error_of_guessing": guess, "correlation": correlation}
        return {name: round(float(value), 4) for name, value in numbers.items()}


def regress(codes: Points, strengths: Points, kernels: Sequence[str]) -> dict[str, Regression]:
    """Read each strength from codes (N, D) whose kernels were not trained on, in up to five folds.

    strengths: (N, 3) in the order of NAMES. Empty where there are fewer than two kernels.
    """
    num_folds = min(NUM_FOLDS, len(set(kernels)))
    if num_folds < 2:
        return {}
    folds = GroupKFold(num_folds, shuffle=True, random_state=SEED)
    points = standardise(codes)
    return {
        name: Regression(true, cross_val_predict(RidgeCV(PENALTIES), points, true, groups=np.array(kernels), cv=folds))
        for name, true in zip(NAMES, strengths.T, strict=True)
    }


def describe(regressions: Mapping[str, Regression]) -> str:
    """A line for each strength, for people."""
    lines = []
    for name, regression in regressions.items():
        told = regression.summary()
        lines.append(
            f"linear regression for the {name}: off by {told['error']:.2f} (guessing: "
            f"{told['error_of_guessing']:.2f}), correlation {told['correlation']:.2f}, on kernels it has not seen"
        )
    return "\n".join(lines)


def draw_regressions(regressions: Mapping[str, Regression], path: Path) -> None:
    """Draw read against true strengths, a panel each."""
    figure = Figure(figsize=(4.2 * len(regressions), 4.2), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, regression) in zip(
        figure.subplots(1, len(regressions), squeeze=False)[0], regressions.items(), strict=True
    ):
        _scatter(axes, name, regression)
    save_figure(figure, path)


def _scatter(axes: Axes, name: str, regression: Regression) -> None:
    low, high = float(regression.true.min()), float(regression.true.max())
    axes.plot([low, high], [low, high], color=SOFT_COLOUR, linewidth=1, zorder=0)
    axes.scatter(regression.true, regression.read, s=10, color=BLUE, alpha=0.5, linewidths=0)
    told = regression.summary()
    axes.set_title(f"{name}\ncorrelation {told['correlation']:.2f}", color=TEXT_COLOUR, fontsize=11, loc="left")
    axes.set_xlabel("true", color=SOFT_COLOUR)
    axes.set_ylabel("read from the code", color=SOFT_COLOUR)
    style_plot(axes)
