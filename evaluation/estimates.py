"""What a network with a degradation head reads off the images of a test set, beside the truth."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from data.degradation.kernels import kernels_of_covariance
from data.samples import Samples, readable
from evaluation.figures import DPI, SOFT_COLOUR, TEXT_COLOUR, save_figure
from model.degradation_head import kernel_covariance
from model.network import Network
from utils.image import to_tensor

KERNEL_SIZE = 21
NUM_SHOWN = 4
"""Images whose estimates are drawn for each kernel: evenly from the most to the least precise."""


@dataclass(frozen=True)
class Estimates:
    """Covariances (N, 3) as (xx, yy, xy) in squared HR pixels and noise levels (N,) in grey levels, read and true.

    quality_error: mean absolute error of the JPEG quality; None where it is not read or not known.
    """

    covariances: npt.NDArray[np.float64]
    true_covariances: npt.NDArray[np.float64]
    noise: npt.NDArray[np.float64]
    true_noise: npt.NDArray[np.float64]
    kernels: tuple[str, ...]
    quality_error: float | None = None

    def summary(self) -> dict[str, Any]:
        """Mean absolute errors, for JSON."""
        errors = np.abs(self.covariances - self.true_covariances).mean(axis=0)
        compression = {} if self.quality_error is None else {"quality_error": round(self.quality_error, 2)}
        return {
            "covariance_error": dict(zip(("xx", "yy", "xy"), errors.round(4).tolist(), strict=True)),
            "mean_covariance_error": round(float(errors.mean()), 4),
            "noise_error": round(float(np.abs(self.noise - self.true_noise).mean()), 3),
            **compression,
        }

    def describe(self) -> str:
        """One line for people."""
        errors = self.summary()
        entries = ", ".join(f"{name} {value:.2f}" for name, value in errors["covariance_error"].items())
        return (
            f"estimated kernels: mean error of the covariance {errors['mean_covariance_error']:.3f} squared HR pixels "
            f"({entries}); of the noise level {errors['noise_error']:.2f} grey levels"
            + (f"; of the JPEG quality {errors['quality_error']:.1f}" if "quality_error" in errors else "")
        )


@torch.inference_mode()
def collect_estimates(model: Network, testsets: Mapping[str, Samples], *, device: torch.device) -> Estimates | None:
    """Read every sample whose degradation is known; None where the model reads nothing."""
    found: list[tuple[Any, ...]] = []
    quality_errors: list[float] = []
    for _, sample in readable(testsets, "kernels"):
        estimate, known = model.estimate(to_tensor(sample.lr)[None].to(device)), sample.known_degradation
        if estimate is None:
            return None
        if known is not None:
            true = kernel_covariance(known.kernels)[0].numpy()
            if estimate.quality is not None and known.quality is not None:
                quality_errors.append(abs(float(estimate.quality) - float(known.quality)))
            found.append((estimate.covariance[0].cpu(), true, float(estimate.noise), float(known.noise), sample.kernel))
    if not found:
        return None
    covariances, true_covariances, noise, true_noise, kernels = zip(*found, strict=True)
    return Estimates(
        np.stack(covariances).astype(np.float64),
        np.stack(true_covariances).astype(np.float64),
        np.array(noise),
        np.array(true_noise),
        kernels,
        float(np.mean(quality_errors)) if quality_errors else None,
    )


def draw_estimates(estimates: Estimates, path: Path) -> None:
    """Draw a row a kernel: the true one, then estimates from the most to the least precise."""
    labels = list(dict.fromkeys(estimates.kernels))
    figure = Figure(figsize=(1.7 * (NUM_SHOWN + 1), 1.75 * len(labels) + 0.3), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(labels), NUM_SHOWN + 1, squeeze=False)
    errors = np.abs(estimates.covariances - estimates.true_covariances).mean(axis=1)
    for row, label in zip(grid, labels, strict=True):
        own = np.flatnonzero([kernel == label for kernel in estimates.kernels])
        ranked = own[np.argsort(errors[own])]
        shown = ranked[np.linspace(0, len(ranked) - 1, NUM_SHOWN).round().astype(int)]
        covariances = np.stack([estimates.true_covariances[own[0]], *estimates.covariances[shown]])
        kernels = kernels_of_covariance(torch.from_numpy(covariances), size=KERNEL_SIZE).numpy()
        titles = [label, *(f"error {errors[index]:.2f}" for index in shown)]
        for axes, kernel, title in zip(row, kernels, titles, strict=True):
            axes.imshow(kernel, cmap="magma", vmin=0, vmax=kernels[0].max())
            axes.set_axis_off()
            axes.set_title(title, fontsize=8, color=TEXT_COLOUR if axes is row[0] else SOFT_COLOUR)
    save_figure(figure, path)
