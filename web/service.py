"""What the page does, without the page: models at hand, an image upscaled, views to compare, files swept away."""

import math
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from inference.upscaler import Upscaler
from model import MODELS, check_blind, create_model, grid_shift, network_of, open_model
from model.pretrained import pretrained_path
from restore.image import Image, count_pixels, read_image
from restore.restore import OutputOptions, plan, restore_file, restore_image
from restore.sources import Source

SCALES = (1, 2, 3, 4)
NOISY = " (noisy images)"
"""Follows the name of a model where its shipped weights were trained with noise."""

VIEW_SIDE = 2000
"""Longest side of what the page shows, in pixels; downloads are whole."""

KEEP_SECONDS = 3600
"""How long files of a visitor stay."""


@dataclass(frozen=True)
class Result:
    """What the page shows for an image.

    Args:
        path: the file to download.
        plain, restored: bicubic and ours, (H, W, 3) uint8, shrunk alike to at most VIEW_SIDE.
        code: of the encoder, (D,).
        description: sizes and time, in a line.
    """

    path: Path
    plain: np.ndarray
    restored: np.ndarray
    code: np.ndarray
    description: str


class Service:
    """Upscales for the page, one image at a time.

    Args:
        device: where the models are.
        folder: below which visitors' files lie.
        precision: of the networks.
        max_pixels: largest image taken.
        weights: weights of one's own by model name and scale, beside the shipped ones.
    """

    def __init__(
        self,
        device: torch.device,
        folder: Path,
        *,
        precision: str = "single",
        max_pixels: int = 16_000_000,
        weights: dict[tuple[str, int], Path] | None = None,
    ) -> None:
        self.device, self.folder = device, folder
        self.precision, self.max_pixels = precision, max_pixels
        self.weights = _shipped() | (weights or {})
        if not self.weights:
            raise ValueError("no weights are shipped in experiment/pretrained; name some by --pre_train")
        for name, _ in weights or {}:
            check_blind(network_of(name))
        self._upscalers: dict[tuple[str, int], Upscaler] = {}
        self._busy = threading.Lock()

    def models(self) -> list[str]:
        """Names of the models with weights; those for noisy images stand apart."""
        return sorted({name for name, _ in self.weights})

    def scales(self, model: str) -> list[int]:
        """Scales that a model has weights for."""
        return sorted(scale for name, scale in self.weights if name == model)

    def check(self, path: Path) -> None:
        """Look at a file's header.

        Raises:
            ValueError: it is no image, or too large; in words for the visitor, who knows no paths.
        """
        try:
            num_pixels = count_pixels(path, max_pixels=2**62)
        except ValueError as error:
            raise ValueError(
                f"This is no image we can read: {str(error).removeprefix(f'cannot read {path}: ')}"
            ) from error
        if num_pixels > self.max_pixels:
            raise ValueError(
                f"{num_pixels / 1e6:.1f} megapixels are more than the {self.max_pixels / 1e6:g} taken here; "
                "shrink it first"
            )

    def preview(self, path: Path, side: int = 480) -> np.ndarray:
        """A visitor's image, (H, W, 3) uint8, shrunk to fit. ValueError as `check`, and where it is damaged."""
        self.check(path)
        try:
            image = read_image(path, max_pixels=self.max_pixels)
        except ValueError as error:
            raise ValueError(f"This image is damaged: {str(error).removeprefix(f'cannot read {path}: ')}") from error
        height, width = image.pixels.shape[:2]
        shown = min(1.0, side / max(height, width))
        return _view(image, (max(round(width * shown), 1), max(round(height * shown), 1)))

    def upscale(self, path: Path, model: str, scale: int, on_tile: Callable[[int, int], None] | None = None) -> Result:
        """Upscale a visitor's image as `test.py --dir_demo` does.

        Raises:
            ValueError: as `check`, or there are no weights for that model and scale.
        """
        self.check(path)
        if (model, scale) not in self.weights:
            known = ", ".join(f"{name} x{factor}" for name, factor in sorted(self.weights))
            raise ValueError(f"There are no weights for {model} x{scale} here; there are: {known}")
        self.sweep()
        start = time.monotonic()
        with self._busy:
            upscaler = self._upscaler(model, scale)
            options = OutputOptions(suffix=f"_x{scale}", max_pixels=self.max_pixels)
            source = Source(path, Path(path.name))
            _, target = plan([source], self.folder / "results" / uuid.uuid4().hex, options)[0]
            try:
                restore_file(path, target, upscaler, self.device, options, on_tile=on_tile)
                return self._result(path, target, upscaler, time.monotonic() - start)
            except ValueError as error:
                raise ValueError(str(error).replace(str(path), path.name)) from error

    def _upscaler(self, model: str, scale: int) -> Upscaler:
        if (model, scale) not in self._upscalers:
            network, metadata = open_model(model.removesuffix(NOISY), scale, self.weights[model, scale])
            self._upscalers[model, scale] = Upscaler(
                network.to(self.device).eval(),
                precision=self.precision,
                tile="auto",
                shift=grid_shift(network, metadata),
                centred=True,
            )
        return self._upscalers[model, scale]

    def _result(self, path: Path, target: Path, upscaler: Upscaler, seconds: float) -> Result:
        image, restored = read_image(path, max_pixels=self.max_pixels), read_image(target, max_pixels=2**62)
        height, width = image.pixels.shape[:2]
        large_height, large_width = restored.pixels.shape[:2]
        shown = min(1.0, VIEW_SIDE / max(large_height, large_width))
        size = (max(round(large_width * shown), 1), max(round(large_height * shown), 1))
        bicubic = Upscaler(create_model("bicubic", upscaler.scale), tile="auto")
        plain = restore_image(image, bicubic, torch.device("cpu"), bits="8")
        shrunk = "" if shown == 1 else ", shown smaller than it is"
        return Result(
            path=target,
            plain=_view(plain, size),
            restored=_view(restored, size),
            code=upscaler.code(_seen(image), self.device),
            description=f"{width} × {height} → {large_width} × {large_height} pixels in {seconds:.1f} s{shrunk}",
        )

    def sweep(self, seconds: float = KEEP_SECONDS) -> None:
        """Remove visitors' files, uploads and results, that are older than this."""
        oldest = time.time() - seconds
        for top in self.folder.iterdir() if self.folder.is_dir() else ():
            for entry in [top, *top.iterdir()] if top.is_dir() and top.name == "results" else [top]:
                if entry.name != "results" and entry.stat().st_mtime < oldest:
                    shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink(missing_ok=True)


def _shipped() -> dict[tuple[str, int], Path]:
    found = {}
    for name in MODELS:
        for scale in SCALES:
            clean, noisy = pretrained_path(name, scale), pretrained_path(name, scale, noise=math.inf)
            if clean.is_file():
                found[name, scale] = clean
            if noisy != clean:
                found[name + NOISY, scale] = noisy
    return found


def _seen(image: Image) -> np.ndarray:
    """(H, W, 3) float32 in [0, 255] of the colour."""
    return image.colour.repeat(3 // image.colour.shape[2], axis=2).astype(np.float32) * (
        255 / np.iinfo(image.pixels.dtype).max
    )


def _view(image: Image, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 over a light grey where there is alpha, at the size (width, height) that the page shows."""
    seen = _seen(image)
    if image.alpha is not None:
        share = image.alpha[:, :, None].astype(np.float32) / np.iinfo(image.pixels.dtype).max
        seen = seen * share + 236 * (1 - share)
    if size != seen.shape[1::-1]:
        seen = cv2.resize(seen, size, interpolation=cv2.INTER_AREA)
    return seen.round().clip(0, 255).astype(np.uint8)


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
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
