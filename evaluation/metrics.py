"""The metrics that `--metrics` offers, PSNR and SSIM among them as the super-resolution papers report them.

A metric is a function of sr and hr, (H, W, 3) uint8 RGB of equal size, and of the border to cut off. To add one, add
its line to METRICS.

The protocol is that of the published CDSR and DASR code, which is MATLAB's: 8-bit RGB images, the Y channel of BT.601
kept in float64 (not rounded), `border` pixels cut off each side (the scale), PSNR against a peak of 255, SSIM with an
11x11 Gaussian window of standard deviation 1.5 over the positions where the window lies wholly inside the image. A
grey image is measured like any other, as RGB on Y.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from evaluation.lpips import load_lpips

PEAK = 255.0
# R, G, B and constant of BT.601 for 8-bit input, "studio" range: black is 16, white is 235.
BT601_Y = np.array([[65.481 / 255.0, 128.553 / 255.0, 24.966 / 255.0, 16.0]])
SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
SSIM_C1 = (0.01 * PEAK) ** 2
SSIM_C2 = (0.03 * PEAK) ** 2

Image = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float64]
Measure = Callable[[Image, Image, int], float]
"""From (sr, hr, border) to a value; ValueError for images that do not pair or are too small."""


def rgb_to_y(image: Image) -> Plane:
    """Luma of BT.601: 16 + (65.481 R + 128.553 G + 24.966 B) / 255, as MATLAB's `rgb2ycbcr` before it rounds.

    image: (H, W, 3) uint8 RGB. Returns (H, W) float64 in [16, 235].
    """
    _check_image(image, "image")
    return np.asarray(cv2.transform(image.astype(np.float64), BT601_Y), dtype=np.float64).reshape(image.shape[:2])


def psnr_y(sr: Image, hr: Image, border: int) -> float:
    """Peak signal-to-noise ratio on Y, in dB; `math.inf` where the two are identical (JSON has no such number).

    sr, hr: (H, W, 3) uint8 RGB of equal size. border: pixels cut off each side first, by custom the scale.
    """
    return _psnr(*map(rgb_to_y, _shave_pair(sr, hr, border)))


def psnr_rgb(sr: Image, hr: Image, border: int) -> float:
    """PSNR over the three channels together, in dB; otherwise as `psnr_y`."""
    return _psnr(*(image.astype(np.float64) for image in _shave_pair(sr, hr, border)))


def ssim_y(sr: Image, hr: Image, border: int) -> float:
    """Structural similarity on Y (Wang et al., 2004), the mean over the valid area; 1 where the two are identical.

    The variances are the window's own (divided by its weight, not by n - 1).

    sr, hr: (H, W, 3) uint8 RGB of equal size, at least 11 pixels a side once `border` pixels are cut off each side.
    """
    first, second = map(rgb_to_y, _shave_pair(sr, hr, border))
    if min(first.shape) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM needs at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels and has {first.shape[1]}x{first.shape[0]} "
            f"(width x height) after cutting a border of {border}: measure larger images, or cut less"
        )
    mean_1, mean_2 = _window_mean(first), _window_mean(second)
    means_product = mean_1 * mean_2
    means_square = np.square(mean_1) + np.square(mean_2)
    covariance = _window_mean(first * second) - means_product
    variances = _window_mean(np.square(first) + np.square(second)) - means_square
    luminance = (2 * means_product + SSIM_C1) / (means_square + SSIM_C1)
    contrast_structure = (2 * covariance + SSIM_C2) / (variances + SSIM_C2)
    return float(np.mean(luminance * contrast_structure))


def _lpips(device: torch.device) -> Measure:
    distance = load_lpips(device)
    return lambda sr, hr, border: distance(*_shave_pair(sr, hr, border))


@dataclass(frozen=True)
class Metric:
    """Its column's title and decimals, its definition in words, and what makes it for a device."""

    title: str
    decimals: int
    definition: str
    load: Callable[[torch.device], Measure]


METRICS: dict[str, Metric] = {
    "psnr": Metric("PSNR (dB)", 2, "Y of BT.601, float64, peak 255", lambda device: psnr_y),
    "ssim": Metric("SSIM", 4, "Y of BT.601, Gaussian window of 11x11, sigma 1.5, valid area", lambda device: ssim_y),
    "rgb": Metric("PSNR RGB (dB)", 2, "R, G and B together, float64, peak 255", lambda device: psnr_rgb),
    "lpips": Metric("LPIPS", 4, "AlexNet, version 0.1", _lpips),
}


def load_metrics(names: Iterable[str], device: torch.device) -> dict[str, Measure]:
    """Look up metrics by name.

    Raises:
        ValueError: a name is not in METRICS, or what the metric needs is not installed.
    """
    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise ValueError(f"unknown metric {unknown[0]!r}; known: {', '.join(METRICS)}")
    return {name: METRICS[name].load(device) for name in names}


def describe_metrics(names: Iterable[str], border: int) -> dict[str, Any]:
    """What is measured and how, for JSON."""
    return {
        "border": border,
        "rounding": "SR clipped and rounded to 8 bits",
        **{name: METRICS[name].definition for name in names},
    }


def _psnr(first: Plane, second: Plane) -> float:
    mean_squared_error = float(np.mean(np.square(first - second)))
    if mean_squared_error == 0.0:
        return math.inf
    return 10.0 * math.log10(PEAK**2 / mean_squared_error)


def _window_mean(plane: Plane) -> Plane:
    """Gaussian-weighted mean under each window that lies wholly inside: (H, W) -> (H - 10, W - 10)."""
    window = cv2.getGaussianKernel(SSIM_WINDOW, SSIM_SIGMA, cv2.CV_64F)
    return _shave(cv2.sepFilter2D(plane, cv2.CV_64F, window, window), SSIM_WINDOW // 2)


def _shave(image: np.ndarray, border: int) -> np.ndarray:
    height, width = image.shape[:2]
    return image[border : height - border, border : width - border]


def _check_image(image: np.ndarray, name: str) -> None:
    if image.dtype != np.uint8:
        raise ValueError(f"{name} is {image.dtype}; metrics are taken on uint8: round and clip to 0..255 first")
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"{name} has the shape {image.shape}; allowed is (height, width, 3), RGB")


def _shave_pair(sr: np.ndarray, hr: np.ndarray, border: int) -> tuple[np.ndarray, np.ndarray]:
    """Check that two images pair, and cut their borders off."""
    _check_image(sr, "sr")
    _check_image(hr, "hr")
    if sr.shape != hr.shape:
        raise ValueError(
            f"sr is {sr.shape[1]}x{sr.shape[0]} and hr {hr.shape[1]}x{hr.shape[0]} (width x height): they must be of "
            "one size; crop hr to a multiple of the scale before making lr from it"
        )
    if border < 0 or 2 * border >= min(sr.shape[:2]):
        raise ValueError(
            f"border {border} leaves nothing of an image of {sr.shape[1]}x{sr.shape[0]} (width x height); allowed is "
            f"0 to {(min(sr.shape[:2]) - 1) // 2}"
        )
    return _shave(sr, border), _shave(hr, border)
