"""The estimated blur kernel of an image as a chart for the page."""

import numpy as np
from matplotlib.figure import Figure

from data.degradation.kernels import kernels_of_covariance
from evaluation.figures import figure_pixels
from utils.known_degradation import EstimatedDegradation

KERNEL_SIZE = 21
NO_NOISE = 1.5
"""Estimated grey levels below which an image counts as free of noise: the weakest noise of the training is 1."""

NO_JPEG = 97
"""Estimated quality from which on an image counts as not compressed: the training's end at 95."""


def draw_kernel(estimate: EstimatedDegradation) -> np.ndarray:
    """Draw the kernel of one image, a Gaussian, in pixels of the result; (H, W, 3) uint8."""
    kernel = kernels_of_covariance(estimate.covariance.cpu(), size=KERNEL_SIZE)[0].numpy()
    reach = KERNEL_SIZE / 2
    figure = Figure(figsize=(3.4, 3.0), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(kernel, cmap="magma", extent=(-reach, reach, reach, -reach))
    axes.set_xlabel("pixels of the result", fontsize=9)
    axes.tick_params(labelsize=8)
    return figure_pixels(figure)


def describe(estimate: EstimatedDegradation) -> str:
    """Say how wide the blur is, as standard deviations along its axes; noise and compression where they were learnt."""
    var_x, var_y, cov = estimate.covariance[0].tolist()
    narrow, wide = np.sqrt(np.linalg.eigvalsh([[var_x, cov], [cov, var_y]]).clip(min=0))
    blur = f"A blur of {wide:.1f} by {narrow:.1f} pixels (standard deviations along its axes, in pixels of the result)"
    if estimate.quality is None:  # such a head learnt on images without noise, or with noise of one kind
        return f"{blur}."
    noise, quality = float(estimate.noise), float(estimate.quality)
    grain = f"noise of about {noise:.0f} grey levels of 255" if noise >= NO_NOISE else "hardly any noise"
    jpeg = f"JPEG compression of about quality {quality:.0f}" if quality < NO_JPEG else "hardly any JPEG compression"
    return f"{blur}, {grain}, {jpeg}: estimates, by the model itself."
