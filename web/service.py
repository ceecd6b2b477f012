"""What the page does, without the page: models at hand, an image upscaled, views to compare, files swept away."""

import contextlib
import os
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from data.degradation import SCALES
from inference.backend import choose_backend
from inference.upscaler import Upscaler
from model import MODELS, check_blind, create_model, network_of, open_model
from model.pretrained import shipped
from restore.plan import OutputOptions, TooLargeError, plan
from restore.restore import network_input, restore_file, restore_image
from restore.sources import Source
from utils.device import is_out_of_memory, resolve_precision
from utils.image import Image, count_pixels, read_image
from utils.known_degradation import EstimatedDegradation
from utils.log import logger

NOISY = " (blur and white noise)"
"""Follows the name of a model where its shipped weights were trained with noise."""

BLUR_ONLY = " (blur only)"
"""Follows the name of a model whose own name stands for the weights for real images."""

VIEW_SIDE = 2000
"""Longest side of what the page shows, in pixels; downloads are whole."""

KEEP_SECONDS = 3600
"""How long files of a visitor stay."""

BACKGROUND = 236 / 255
"""The light grey under transparent parts."""


class Cancelled(Exception):
    """A visitor does not want the image any more."""


@dataclass(frozen=True)
class Result:
    """What the page shows for an image.

    Args:
        path: the file to download.
        bicubic, restored: what interpolation and the model make of it, (H, W, 3) uint8, shrunk alike to VIEW_SIDE.
        estimate: the degradation that the model read off the image; None where it reads none.
        description: sizes and time, in a line.
    """

    path: Path
    bicubic: np.ndarray
    restored: np.ndarray
    estimate: EstimatedDegradation | None
    description: str


class Service:
    """Upscales for the page, one image at a time.

    Args:
        device: where the models are.
        folder: below which visitors' files lie.
        precision: of the networks, as `--precision` has it.
        backend: what runs them, as of `choose_backend`.
        max_pixels: largest image taken.
        weights: files by model name and scale, beside the shipped ones.

    Raises:
        ValueError: there are no weights at all, those given cannot be used, or a model has to be told the degradation.
    """

    def __init__(
        self,
        device: torch.device,
        folder: Path,
        *,
        precision: str = "auto",
        backend: str | None = None,
        max_pixels: int = 16_000_000,
        weights: dict[tuple[str, int], Path] | None = None,
    ) -> None:
        self.device, self.folder = device, folder
        self.precision, self.backend = resolve_precision(precision, device), backend
        self.max_pixels = max_pixels
        own = {(name, scale): (name, path) for (name, scale), path in (weights or {}).items()}
        self.weights = _shipped_weights() | own
        if not self.weights:
            raise ValueError("no weights are shipped in experiment/pretrained; name some with --pre_train")
        (_, scale), (name, _) = min(self.weights.items())
        choose_backend(backend, create_model(name, scale), device, self.precision)  # or nobody is served
        self._upscalers: dict[tuple[str, int], Upscaler] = {}
        self._busy = threading.Lock()
        self._upload: Path | None = None  # at work
        self._waiting: dict[str, Path] = {}  # uploads whose turn has not come, by visitor
        self._is_closing = threading.Event()
        for name, scale in own:
            check_blind(network_of(name))
            self._upscaler(name, scale)  # what is wrong with the file is said now, and not to a visitor

    def models(self) -> list[str]:
        """Names of the models with weights; those for blur alone, and for blur and white noise, stand apart."""
        return sorted({name for name, _ in self.weights})

    def scales(self, model: str) -> list[int]:
        """Scales that a model has weights for."""
        return sorted(scale for name, scale in self.weights if name == model)

    def check(self, path: Path) -> None:
        """Look at a file's header.

        Raises:
            ValueError: it is no image, too large, or gone; in words for the visitor, who knows no paths.
        """
        if not path.is_file():
            raise ValueError("This image is gone, as files are removed after an hour; drop it again")
        try:
            num_pixels = count_pixels(path)
        except ValueError as error:
            raise ValueError(f"This is no image we can read: {_cause(error, path)}") from error
        if num_pixels > self.max_pixels:
            raise ValueError(
                f"{num_pixels / 1e6:.1f} megapixels are more than the {self.max_pixels / 1e6:g} taken here; "
                "shrink it first"
            )

    def preview(self, path: Path, side: int = 480) -> np.ndarray:
        """A visitor's image, (H, W, 3) uint8, shrunk to fit. ValueError as `check`, and where it is damaged."""
        self.check(path)
        try:
            return _view(read_image(path, max_pixels=self.max_pixels), side)
        except ValueError as error:
            raise ValueError(f"This image is damaged: {_cause(error, path)}") from error

    def upscale(
        self,
        path: Path,
        model: str,
        scale: int,
        on_tile: Callable[[int, int], None] | None = None,
        *,
        strength: float = 1.0,
    ) -> Result:
        """Upscale a visitor's image as `test.py --dir_demo` does.

        on_tile: called with the number of tiles done and of all; what it raises ends the work there.

        Raises:
            Cancelled: the service closes.
            ValueError: as `check`, there are no weights for that model and scale, or too little memory.
        """
        if (model, scale) not in self.weights:
            known = ", ".join(f"{name} x{factor}" for name, factor in sorted(self.weights))
            raise ValueError(f"There are no weights for {model} x{scale} here; there are: {known}")

        def watch(done: int, total: int) -> None:
            if self._is_closing.is_set():
                raise Cancelled
            if on_tile:
                on_tile(done, total)

        with self._busy:
            if self._is_closing.is_set():
                raise Cancelled
            start, self._upload = time.monotonic(), path
            try:
                self.sweep()
                self.check(path)
                upscaler = self._upscaler(model, scale)
                upscaler.strength, upscaler.tile = strength, "auto"  # smaller ones are for the image that took them
                target = self._restore(path, upscaler, watch)
                return self._result(path, target, upscaler, time.monotonic() - start)
            except ValueError as error:
                raise ValueError(str(error).replace(str(path), path.name)) from error
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                raise ValueError("There is not enough memory here for this image; shrink it first") from error
            finally:
                self._upload = None

    def close(self) -> None:
        """End the work at its next tile and wait for that: threads at work when the process ends would abort it."""
        self._is_closing.set()
        with self._busy:
            pass

    def _restore(self, path: Path, upscaler: Upscaler, on_tile: Callable[[int, int], None]) -> Path:
        """Write a result in the image's own format, as PNG where that does not hold its size; returns where it is."""
        options = OutputOptions(suffix=f"_x{upscaler.scale}", max_pixels=self.max_pixels)
        source = Source(path, Path(path.name))
        [(_, target)] = plan([source], self.folder / "results" / uuid.uuid4().hex, options)
        try:
            restore_file(source, target, upscaler, self.device, options, on_tile=on_tile)
        except TooLargeError:
            target = target.with_suffix(".png")
            restore_file(source, target, upscaler, self.device, options, on_tile=on_tile)
        return target

    def _upscaler(self, model: str, scale: int) -> Upscaler:
        if (model, scale) not in self._upscalers:
            name, path = self.weights[model, scale]
            network = open_model(name, scale, path)
            self._upscalers[model, scale] = Upscaler(
                network.to(self.device).eval(),
                precision=self.precision,
                backend=choose_backend(self.backend, network, self.device, self.precision),
                tile="auto",
                centred=True,
            )
            logger.info("%s runs in %s", path.name, self._upscalers[model, scale].arithmetic)
        return self._upscalers[model, scale]

    def _result(self, path: Path, target: Path, upscaler: Upscaler, seconds: float) -> Result:
        image, restored = read_image(path, max_pixels=self.max_pixels), read_image(target, max_pixels=sys.maxsize)
        interpolation = Upscaler(create_model("bicubic", upscaler.scale), tile="auto")
        bicubic = restore_image(image, interpolation, torch.device("cpu"), bits="8")
        sizes = " → ".join(f"{width} × {height}" for height, width, _ in (image.pixels.shape, restored.pixels.shape))
        shrunk = ", shown smaller than it is" if max(restored.pixels.shape) > VIEW_SIDE else ""
        return Result(
            path=target,
            bicubic=_view(bicubic, VIEW_SIDE),
            restored=_view(restored, VIEW_SIDE),
            estimate=upscaler.estimate(network_input(image).to(self.device)),
            description=f"{sizes} pixels in {seconds:.1f} s{shrunk}",
        )

    def hold(self, visitor: str, path: Path) -> None:
        """Keep a visitor's file that waits for its turn, however long, until `release`."""
        self._waiting[visitor] = path

    def release(self, visitor: str) -> None:
        """Count the time of a file held from now on."""
        path = self._waiting.pop(visitor, None)
        for entry in path.parents if path else ():
            if entry.parent == self.folder:
                with contextlib.suppress(FileNotFoundError):
                    os.utime(entry)

    def sweep(self, seconds: float = KEEP_SECONDS) -> None:
        """Remove visitors' files, uploads and results, older than this; not what is at work or waits for it."""
        oldest = time.time() - seconds
        needed = [*self._waiting.values(), *([self._upload] if self._upload else [])]
        kept = {self.folder / "results", *(parent for path in needed for parent in path.parents)}
        for entry in (*self.folder.glob("*"), *self.folder.glob("results/*")):
            with contextlib.suppress(FileNotFoundError):  # another thread sweeps, too
                if entry not in kept and entry.stat().st_mtime < oldest:
                    shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink()


def _shipped_weights() -> dict[tuple[str, int], tuple[str, Path]]:
    """Models and their files, by the name on the page and the scale."""
    found = {}
    for name in MODELS:
        for scale in SCALES:
            files = shipped(name, scale)
            blur = BLUR_ONLY if any(file.real for file in files) else ""
            for path, noise, real in files:  # of several for noise the strongest
                kind = "" if real else NOISY if noise else blur
                found[name + kind, scale] = name, path
    return found


def _cause(error: ValueError, path: Path) -> str:
    """What is wrong with an image, without its path."""
    return str(error).removeprefix(f"cannot read {path}: ")


def _view(image: Image, side: int) -> np.ndarray:
    """(H, W, 3) uint8, shrunk to at most `side` pixels a side."""
    shown = image.flatten(BACKGROUND).rgb
    ratio = side / max(shown.shape)
    size = [max(round(length * ratio), 1) for length in shown.shape[1::-1]]
    return cv2.resize(shown, size, interpolation=cv2.INTER_AREA) if ratio < 1 else shown
