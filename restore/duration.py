"""How long upscaling will take: said before it starts, where that is long."""

import contextlib
import copy
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from inference.upscaler import VIEWS, Upscaler
from utils.image import MAX_PIXELS, ImageError, count_pixels
from utils.log import logger

LONG = 30.0
"""Seconds from which on the time is told before starting."""

PROBE = 128
"""Side of the tile whose time is taken for the estimate, LR pixels."""

OVERLAP = 1.3
"""What tiles compute, over the pixels of the image."""


def tell_time(
    paths: Sequence[Path], upscaler: Upscaler, device: torch.device, *, max_pixels: int = MAX_PIXELS
) -> float:
    """On a CPU, say how long images of at most `max_pixels` will take, if it is long.

    Returns:
        the estimate in seconds, 0 where none is made.
    """
    if device.type != "cpu":
        return 0.0
    num_pixels = 0
    for path in paths:
        with contextlib.suppress(ImageError):  # said when its turn comes
            count = count_pixels(path)
            num_pixels += count if count <= max_pixels else 0
    if num_pixels < 4 * PROBE**2:
        return 0.0
    seconds = num_pixels * seconds_per_pixel(upscaler, device)
    if seconds >= LONG:
        logger.info("no GPU is used: %.1f megapixels will take about %s", num_pixels / 1e6, spoken(seconds))
    return seconds


def seconds_per_pixel(upscaler: Upscaler, device: torch.device) -> float:
    """Time the SR network on one small tile, after a first one that warms up."""
    probe = torch.full((1, 3, PROBE, PROBE), 128.0, device=device)
    single = copy.copy(upscaler)
    single.tile, single.self_ensemble = None, False
    single(probe)
    start = time.perf_counter()
    single(probe)
    seconds = time.perf_counter() - start
    num_views = len(VIEWS) if upscaler.self_ensemble else 1
    return num_views * OVERLAP * seconds / PROBE**2


def time_left(seconds: float, done: int, total: int) -> str:
    """How long the rest takes if `done` of `total` parts took these seconds; empty where nobody can tell."""
    return f"about {spoken(seconds / done * (total - done))} left" if 0 < done < total else ""


def spoken(seconds: float) -> str:
    """A duration in the unit that suits it, such as 3 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
