"""Upscaling a person's images: one image with all it has, and many images with what may go wrong in each."""

import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from inference.memory import is_out_of_memory
from inference.upscaler import VIEWS, Upscaler
from restore.image import Image, bleed, count_pixels, read_image
from restore.image_file import FILE_FORMATS, format_of, losses, suffix_for, write_image
from restore.sources import Source
from utils.image import MAX_PIXELS

LONG = 30.0
"""Seconds from which on the time is told before starting."""

PROBE = 128
"""Side of the tile whose time is taken for the estimate, LR pixels."""

logger = logging.getLogger("cdsr")


@dataclass(frozen=True)
class OutputOptions:
    """How results are written.

    Args:
        file_format: "auto" (the image's own) or a name such as png.
        quality: of JPEG, WebP and AVIF, 1 to 100.
        suffix: what is appended to the name.
        bits: "auto" (the image's own), "8" or "16".
        overwrite: write over what is there.
        max_pixels: largest image read.
    """

    file_format: str = "auto"
    quality: int = 95
    suffix: str = "_x2"
    bits: str = "auto"
    overwrite: bool = False
    max_pixels: int = MAX_PIXELS


@dataclass
class Outcome:
    """What became of the images."""

    done: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def summary(self, folder: Path) -> str:
        """Tell it in a few lines."""
        lines = [
            f"{len(self.done)} upscaled, {len(self.kept)} kept, {len(self.failed)} failed, in {_spoken(self.seconds)}"
        ]
        if self.kept:
            lines.append("kept: results that were there already (--overwrite makes them again)")
        lines += [f"failed: {line}" for line in self.failed]
        return "\n".join([*lines, f"results: {folder}"])


def restore_image(
    image: Image,
    upscaler: Upscaler,
    device: torch.device,
    *,
    bits: str = "auto",
    on_tile: Callable[[int, int], None] | None = None,
) -> Image:
    """Upscale an image: colour by the network, alpha bicubically; grey stays grey, 16 bits stay 16.

    Args:
        image: of any kind.
        upscaler: gives SR images on the grid of interpolation (`centred`), or alpha and colour part.
        device: where the network is; the result grows on the CPU.
        bits: "auto", "8" or "16".
        on_tile: called with the number of tiles done and of all.
    """
    top = np.iinfo(image.pixels.dtype).max
    colour = image.colour if image.alpha is None else bleed(image.colour, image.alpha)
    lr = torch.from_numpy(np.ascontiguousarray(colour, dtype=np.float32).transpose(2, 0, 1).copy()) * (255 / top)
    without_colour = len(lr) == 1 or bool((lr == lr[:1]).all())
    dtype = {"auto": image.pixels.dtype, "8": np.dtype(np.uint8), "16": np.dtype(np.uint16)}[bits]
    height, width = (side * upscaler.scale for side in lr.shape[1:])
    pixels = np.empty((height, width, image.pixels.shape[2]), dtype)
    num_colours = image.colour.shape[2]
    for rows, band in upscaler.bands(lr.expand(3, -1, -1)[None].to(device), on_tile=on_tile):
        sr = band[0].mean(dim=0, keepdim=True) if without_colour else band[0]
        levels = (sr * (np.iinfo(dtype).max / 255)).round().permute(1, 2, 0).cpu().numpy()
        pixels[rows, :, :num_colours] = levels.astype(dtype)
    if image.alpha is not None:
        pixels[:, :, -1] = _enlarged_alpha(image.alpha, (height, width), dtype)
    return replace(image, pixels=pixels)


def _enlarged_alpha(alpha: np.ndarray, size: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    """Alpha (H, W) at the new size and depth, bicubically."""
    top = np.iinfo(dtype).max
    larger = cv2.resize(alpha.astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
    return (larger * (top / np.iinfo(alpha.dtype).max)).round().clip(0, top).astype(dtype)


def plan(sources: Sequence[Source], folder: Path, options: OutputOptions) -> list[tuple[Source, Path]]:
    """Name each result; no two alike.

    Images whose results would have one name (a.png and a.jpg, both written as PNG) keep their suffix in it. Results
    of an earlier run that lie among the images are not upscaled again.
    """
    planned, taken = [], set[str]()
    for source in sources:
        ending = suffix_for(options.file_format, source.path)
        target = folder / source.relative.with_name(f"{source.relative.stem}{options.suffix}{ending}")
        if str(target).casefold() in taken:
            target = folder / source.relative.with_name(f"{source.relative.name}{options.suffix}{ending}")
        for number in range(2, len(sources) + 2):
            if str(target).casefold() not in taken:
                break
            target = folder / source.relative.with_name(f"{source.relative.name}{options.suffix}_{number}{ending}")
        taken.add(str(target).casefold())
        planned.append((source, target))
    results = {os.path.realpath(target) for source, target in planned if not _same_file(source, target)}
    return [(source, target) for source, target in planned if os.path.realpath(source.path) not in results]


def _same_file(source: Source, target: Path) -> bool:
    return os.path.realpath(source.path) == os.path.realpath(target)


def restore_file(
    source: Path,
    target: Path,
    upscaler: Upscaler,
    device: torch.device,
    options: OutputOptions,
    *,
    on_tile: Callable[[int, int], None] | None = None,
) -> Path:
    """Read, upscale and write one image, in the format of the target's suffix; returns the target.

    Raises:
        ValueError: it is no image, is too large, or its result does not fit into the format.
        OSError: the result could not be written.
    """
    num_pixels = count_pixels(source, max_pixels=sys.maxsize)
    if num_pixels > options.max_pixels:
        raise ValueError(
            f"cannot read {source}: {num_pixels / 1e6:g} megapixels are more than the {options.max_pixels / 1e6:g} "
            "allowed; --max_megapixels raises the limit"
        )
    image = read_image(source, max_pixels=options.max_pixels)
    file_format = format_of(target)
    height, width = (side * upscaler.scale for side in image.pixels.shape[:2])
    num_bits = image.num_bits if options.bits == "auto" else int(options.bits)
    for loss in losses(image, file_format, height=height, width=width, num_bits=num_bits):
        logger.warning("%s: %s has %s", source, file_format, loss)
    if not FILE_FORMATS[file_format].deep:
        num_bits = 8
    result = restore_image(image, upscaler, device, bits=str(num_bits), on_tile=on_tile)
    write_image(target, result, file_format=file_format, quality=options.quality)
    return target


def restore_all(
    planned: Sequence[tuple[Source, Path]],
    upscaler: Upscaler,
    device: torch.device,
    options: OutputOptions,
) -> Outcome:
    """Upscale images one by one with progress bars; one that fails does not stop the others."""
    outcome = Outcome()
    start = time.monotonic()
    there = {target for source, target in planned if target.exists() and not _same_file(source, target)}
    outcome.kept = [] if options.overwrite else sorted(there)
    missing = [(source, target) for source, target in planned if options.overwrite or target not in there]
    tell_time([source.path for source, _ in missing], upscaler, device)
    with tqdm(missing, desc="images", unit="image", disable=None) as bar:
        for source, target in bar:
            bar.set_postfix_str(source.path.name)
            with tqdm(desc="tiles", unit="tile", leave=False, disable=None) as tiles:
                try:
                    if _same_file(source, target):
                        raise ValueError(f"{target} would be written over its own image; give --suffix or --results")
                    path = restore_file(source.path, target, upscaler, device, options, on_tile=_show_on(tiles))
                    outcome.done.append(path)
                except (ValueError, OSError) as error:
                    _fail(outcome, str(error))
                except Exception as error:
                    if not is_out_of_memory(error):
                        raise
                    _fail(outcome, f"{source.path}: not enough memory, even in small tiles")
    outcome.seconds = time.monotonic() - start
    return outcome


def _fail(outcome: Outcome, line: str) -> None:
    logger.error("error: %s", line)
    outcome.failed.append(line)


def _show_on(bar: "tqdm[None]") -> Callable[[int, int], None]:
    def show(done: int, total: int) -> None:
        if done == 0:
            bar.reset(total)
        bar.update(done - bar.n)

    return show


def tell_time(paths: Sequence[Path], upscaler: Upscaler, device: torch.device) -> float:
    """On a CPU, say how long images will take where it is long; returns the estimate in seconds, 0 where not made."""
    if device.type != "cpu":
        return 0.0
    num_pixels = 0
    for path in paths:
        try:
            num_pixels += count_pixels(path)
        except ValueError:
            continue  # said when its turn comes
    if num_pixels < 4 * PROBE**2:
        return 0.0
    seconds = num_pixels * seconds_per_pixel(upscaler, device)
    if seconds >= LONG:
        logger.info(
            "no GPU is used: %.1f megapixels will take about %s",
            num_pixels / 1e6,
            _spoken(seconds),
        )
    return seconds


def seconds_per_pixel(upscaler: Upscaler, device: torch.device) -> float:
    """Time the SR network on one small tile, after a first one that warms up."""
    probe = torch.full((1, 3, PROBE, PROBE), 128.0, device=device)
    single = Upscaler(upscaler.model, precision=upscaler.precision)
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        single(probe)
        seconds = time.perf_counter() - start
    num_views = len(VIEWS) if upscaler.self_ensemble else 1
    overlap = 1.3  # what tiles compute twice
    return num_views * overlap * seconds / PROBE**2


def _spoken(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
