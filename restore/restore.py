"""Upscaling a user's images: one image with all it has, one file, and many files with what may go wrong in each."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from inference.upscaler import Upscaler
from restore.duration import spoken, tell_time
from restore.plan import OutputOptions, losses
from restore.sources import Source
from restore.transparency import bleed, enlarge_alpha
from utils.device import is_out_of_memory
from utils.files import check_writable
from utils.image import Image, count_pixels, format_of, read_image, write_image
from utils.log import logger


def network_input(image: Image) -> Tensor:
    """What a network sees of an image: (1, 3, H, W) float32 RGB in [0, 255], grey repeated, alpha taken out."""
    colour = image.colour if image.alpha is None else bleed(image.colour, image.alpha)
    lr = torch.from_numpy(colour.transpose(2, 0, 1).astype(np.float32, order="C")).mul_(255 / image.top)
    return lr.expand(3, -1, -1)[None]


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
    lr = network_input(image)
    is_grey = bool((lr == lr[:, :1]).all())
    num_colours = image.colour.shape[2]
    dtype = {"auto": image.pixels.dtype, "8": np.dtype(np.uint8), "16": np.dtype(np.uint16)}[bits]
    height, width = (side * upscaler.scale for side in lr.shape[2:])
    pixels = np.empty((height, width, image.pixels.shape[2]), dtype)
    for rows, band in upscaler.bands(lr.to(device), on_tile=on_tile):
        sr = band[0].mean(dim=0, keepdim=True) if is_grey else band[0]
        levels = (sr * (np.iinfo(dtype).max / 255)).round().permute(1, 2, 0).cpu().numpy()
        pixels[rows, :, :num_colours] = levels.astype(dtype)
    if image.alpha is not None:
        pixels[:, :, -1] = enlarge_alpha(image.alpha, (height, width), dtype)
    return replace(image, pixels=pixels)


def restore_file(
    source: Source,
    target: Path,
    upscaler: Upscaler,
    device: torch.device,
    options: OutputOptions,
    *,
    on_tile: Callable[[int, int], None] | None = None,
) -> None:
    """Read, upscale and write one image, in the format of the target's suffix.

    Raises:
        ValueError: it is no image, is too large, is itself at the target, or its result does not fit into the format.
        OSError: the result could not be written; found before the work, where it can be.
    """
    if source.is_at(target):
        raise ValueError(f"{target} would be written over its own image; give --suffix or --results")
    num_pixels = count_pixels(source.path)
    if num_pixels > options.max_pixels:
        raise ValueError(
            f"cannot read {source.path}: {num_pixels / 1e6:g} megapixels are more than the "
            f"{options.max_pixels / 1e6:g} allowed; --max_megapixels raises the limit"
        )
    image = read_image(source.path, max_pixels=options.max_pixels)
    height, width = (side * upscaler.scale for side in image.pixels.shape[:2])
    num_bits = image.num_bits if options.bits == "auto" else int(options.bits)
    file_format = format_of(target)
    for loss in losses(image, file_format, height=height, width=width, num_bits=num_bits):
        logger.warning("%s: %s has %s", source.path, file_format.name, loss)
    check_writable(target)
    bits = str(num_bits) if file_format.deep else "8"
    result = restore_image(image, upscaler, device, bits=bits, on_tile=on_tile)
    write_image(target, result, quality=options.quality)


@dataclass
class Outcome:
    """What became of the images: results written, results kept from an earlier run, lines on what failed.

    interruption: what ended the work before all was done.
    """

    done: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0
    interruption: KeyboardInterrupt | None = None

    def fail(self, line: str) -> None:
        """Log an error and keep its line."""
        logger.error("error: %s", line)
        self.failed.append(line)

    def summary(self, folder: Path) -> str:
        """Tell it in a few lines."""
        counts = f"{len(self.done)} upscaled, {len(self.kept)} kept, {len(self.failed)} failed"
        kept = ["kept: results that were there already (--overwrite makes them again)"] if self.kept else []
        failed = [f"failed: {line}" for line in self.failed]
        return "\n".join([f"{counts}, in {spoken(self.seconds)}", *kept, *failed, f"results: {folder}"])


def restore_all(
    planned: Sequence[tuple[Source, Path]], upscaler: Upscaler, device: torch.device, options: OutputOptions
) -> Outcome:
    """Upscale images one by one with progress bars; one that fails does not stop the others, an interruption does."""
    start = time.monotonic()
    existing = {target for source, target in planned if os.path.exists(target) and not source.is_at(target)}
    kept = set[Path]() if options.overwrite else existing
    missing = [(source, target) for source, target in planned if target not in kept]
    outcome = Outcome(kept=sorted(kept))
    try:
        tell_time([source.path for source, _ in missing], upscaler, device, max_pixels=options.max_pixels)
        with tqdm(missing, desc="images", unit="image", disable=None) as bar:
            for source, target in bar:
                bar.set_postfix_str(source.path.name)
                _try(source, target, upscaler, device, options, outcome)
    except KeyboardInterrupt as interruption:
        outcome.interruption = interruption
    outcome.seconds = time.monotonic() - start
    return outcome


def _try(
    source: Source, target: Path, upscaler: Upscaler, device: torch.device, options: OutputOptions, outcome: Outcome
) -> None:
    """Upscale one image with a bar of its tiles, and note what became of it."""
    with tqdm(desc="tiles", unit="tile", leave=False, disable=None) as tiles:
        try:
            restore_file(source, target, upscaler, device, options, on_tile=_show_on(tiles))
            outcome.done.append(target)
        except ValueError as error:
            outcome.fail(str(error))
        except OSError as error:
            outcome.fail(f"cannot write {target}: {error.strerror or error}")
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            outcome.fail(f"{source.path}: not enough memory, even in small tiles")


def _show_on(bar: "tqdm[None]") -> Callable[[int, int], None]:
    def show(done: int, total: int) -> None:
        if done == 0:
            bar.reset(total)
        bar.update(done - bar.n)

    return show
