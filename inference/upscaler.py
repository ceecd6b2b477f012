"""From an LR image to its SR image: precision, tiles, flips and rotations around a model."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from data.degradation import described_degradation
from inference.backend import NAMES, CompiledNetwork
from inference.memory import choose_tile
from inference.tiles import MIN_TILE, num_tiles, samples, super_resolve_bands
from model.network import Network
from utils.device import autocast, is_out_of_memory
from utils.known_degradation import EstimatedDegradation, KnownDegradation
from utils.log import logger

MARGIN = 2
"""LR pixels repeated around a tile whose result has to be moved: enough for 2 (scale - 1) SR pixels."""

UPRIGHT = ((0, False),)
VIEWS = tuple((turns, flip) for turns in range(4) for flip in (False, True))


def grid_shift(model: Network) -> int:
    """SR pixels (down, right) by which a model's results lie off the grid of interpolation, 0 or less.

    The degradation that it was trained for tells; a warning, and 0, where none of that name is registered here.
    """
    try:
        degradation = described_degradation({**model.trained_for, "scale": model.scale})
    except ValueError as error:
        logger.warning("the grid of the results is taken for that of interpolation: %s", error)
        return 0
    if degradation is None:
        return 1 - model.scale if model.assumes_s_fold else 0
    return degradation.grid_shift


class Upscaler:
    """A model ready for inference.

    A model trained with s-fold sampling puts its result `scale` - 1 SR pixels up and left of where interpolation
    would: that is the grid of its test sets. `centred` undoes it, for images to be looked at or laid over others;
    and the self-ensemble, whose turned results would be moved in turned directions, brings all 8 to one grid.

    Differs from the published code, which averages them as they come and so blurs.

    Args:
        model: a network in evaluation mode, on its device.
        precision: `single`, `half` or `bf16`. What is not finite in low precision is computed again in float32.
        backend: what runs the SR network, one of BACKENDS; `openvino` compiles it here and now.
        channels_last: memory layout of the features; by default on CPUs, and in low precision.
        tile: side of the SR network's tiles in LR pixels, halved for good when memory runs out; None: the whole
            image at once; "auto": chosen for each image from the free memory.
        self_ensemble: average over the 8 flips and rotations (EDSR, Lim et al., CVPRW 2017).
        centred: result and image have the same centre.
        strength: share of the model's result, 0 to 1; the rest is bicubic interpolation's. Below 1 it takes `centred`,
            since both have to lie on one grid.
    """

    def __init__(
        self,
        model: Network,
        *,
        precision: str = "single",
        backend: str = "torch",
        channels_last: bool | None = None,
        tile: int | str | None = None,
        self_ensemble: bool = False,
        centred: bool = False,
        strength: float = 1.0,
    ) -> None:
        assert centred or strength == 1
        self.model = model
        self.scale = model.scale
        self.precision = precision
        self.backend = backend
        self._compiled = CompiledNetwork(model, precision=precision) if backend == "openvino" else None
        self.channels_last = channels_last
        self.tile = tile
        self.self_ensemble = self_ensemble
        self.shift = grid_shift(model)
        self.centred = centred
        self.strength = strength

    def __call__(self, lr: Tensor, known_degradation: KnownDegradation | None = None) -> Tensor:
        """Upscale lr (B, 3, H, W) float32 in [0, 255]; returns (B, 3, scale*H, scale*W), clipped, not rounded.

        known_degradation: what degraded the images, where it is known; read by models that have to be told.
        """
        height = lr.shape[2] * self.scale
        sr = None
        for rows, band in self.bands(lr, known_degradation):
            if band.shape[2] == height:
                return band
            if sr is None:
                sr = band.new_empty(*band.shape[:2], height, band.shape[3])
            sr[:, :, rows] = band
        assert sr is not None
        return sr

    @property
    def arithmetic(self) -> str:
        """What runs the SR network, and in which precision."""
        return f"{NAMES[self.backend]}, {'float32' if self.precision == 'single' else self.precision}"

    @torch.inference_mode()
    def bands(
        self,
        lr: Tensor,
        known_degradation: KnownDegradation | None = None,
        *,
        on_tile: Callable[[int, int], None] | None = None,
    ) -> Iterator[tuple[slice, Tensor]]:
        """Upscale lr (B, 3, H, W) float32 in [0, 255] band by band of SR rows; beside the image and a copy of it that
        the encoder makes, a tile bounds the memory.

        When memory runs out, tiles are halved and the image begins again: rows may come twice, the later ones count.

        Args:
            lr: (B, 3, H, W).
            known_degradation: what degraded the images, where it is known.
            on_tile: called with the number of tiles done and of all; with 0 before the first, also while what the
                tiles share is computed. What it raises ends the work.

        Yields:
            rows of the SR image, and (B, 3, rows, scale*W) float32, clipped to [0, 255], not rounded.
        """
        longest = max(lr.shape[2:])
        while True:
            tile = self._resolve_tile(lr)
            try:
                yield from self._bands(lr, known_degradation, tile, on_tile)
                return
            except Exception as error:
                smaller = min(tile or longest, longest) // 2
                if not is_out_of_memory(error) or smaller < MIN_TILE:
                    raise
            logger.warning("out of memory; trying again in tiles of %d pixels (--tile %d)", smaller, smaller)
            self.tile = smaller
            if lr.device.type == "cuda":
                torch.cuda.empty_cache()

    def _resolve_tile(self, lr: Tensor) -> int | None:
        """Side of the tiles for an image; None where it fits into one."""
        tile = choose_tile(self.model, lr.device) if self.tile == "auto" else self.tile
        assert not isinstance(tile, str)
        return None if tile is None or tile >= max(lr.shape[2:]) else tile

    def _bands(
        self,
        lr: Tensor,
        known_degradation: KnownDegradation | None,
        tile: int | None,
        on_tile: Callable[[int, int], None] | None,
    ) -> Iterator[tuple[slice, Tensor]]:
        views = VIEWS if self.self_ensemble else UPRIGHT
        # A turned image has a turned kernel, which nobody told.
        told = (known_degradation if view in UPRIGHT else None for view in views)
        codes = [self._encode(_turned(lr, view), known, tile) for view, known in zip(views, told, strict=True)]
        total = num_tiles(lr.shape[2], lr.shape[3], tile) if tile else 1
        num_done = 0

        def tell() -> None:
            if on_tile:
                on_tile(num_done, total)

        tell()
        steerings = [(code, self._pool(lr, view, code, tile, tell)) for view, code in zip(views, codes, strict=True)]

        def super_resolve(piece: Tensor) -> Tensor:
            nonlocal num_done
            srs = (self._view(piece, view, *steering) for view, steering in zip(views, steerings, strict=True))
            sr = next(srs)
            for other in srs:
                sr = sr + other
            num_done += 1
            tell()
            return self._blend(piece, (sr / len(views)).clamp(0, 255))

        if tile is None:
            yield slice(0, lr.shape[2] * self.scale), super_resolve(lr)
        else:
            yield from super_resolve_bands(super_resolve, lr, scale=self.scale, tile=tile)

    def _blend(self, lr: Tensor, sr: Tensor) -> Tensor:
        """Take a result back towards interpolation, by `strength`."""
        if self.strength == 1:
            return sr
        bicubic = F.interpolate(lr, scale_factor=self.scale, mode="bicubic", align_corners=False)
        return torch.lerp(bicubic.clamp(0, 255), sr, self.strength)

    def _lay_out(self, lr: Tensor) -> Tensor:
        """Convolutions pass the layout of their input on; the weights stay as they are, for training."""
        channels_last = self.channels_last
        if channels_last is None:
            channels_last = lr.device.type == "cpu" or self.precision != "single"
        return lr.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)

    @torch.inference_mode()
    def estimate(self, lr: Tensor) -> EstimatedDegradation | None:
        """Read the degradations off lr (B, 3, H, W) float32 RGB in [0, 255], in bounded memory; None: it reads none."""
        tile = self._resolve_tile(lr)
        return self.model.estimate(lr if tile else self._lay_out(lr), tile)

    def _encode(self, lr: Tensor, known_degradation: KnownDegradation | None, tile: int | None) -> Tensor:
        lr = lr if tile else self._lay_out(lr)  # a large image is not copied for it
        return self._finite(lambda: self.model.encode(lr, known_degradation, tile=tile), lr.device)

    def _pool(
        self, lr: Tensor, view: tuple[int, bool], code: Tensor, tile: int | None, tell: Callable[[], None]
    ) -> Tensor | None:
        """Estimate what the SR network pools over an image, for its tiles; None: nothing, or there are none."""
        if tile is None or not self.model.is_pooling:
            return None
        means = []
        for piece in samples(lr, tile):
            means.append(self._pool_piece(_turned(piece, view), code))
            tell()
        return torch.stack(means).mean(dim=0)

    def _view(self, lr: Tensor, view: tuple[int, bool], code: Tensor, pooled: Tensor | None) -> Tensor:
        """SR tile (B, 3, scale*h, scale*w) of one flip and rotation, turned back and brought to the grid asked for."""
        moves = self._moves(view)
        margin = MARGIN if any(moves) else 0
        framed = F.pad(lr, (margin,) * 4, mode="replicate") if margin else lr
        sr = _turned_back(self._super_resolve(_turned(framed, view), code, pooled), view)
        top, left = (margin * self.scale - move for move in moves)
        return sr[:, :, top : top + lr.shape[2] * self.scale, left : left + lr.shape[3] * self.scale]

    def _pool_piece(self, lr: Tensor, code: Tensor) -> Tensor:
        if self._compiled is not None:
            return self._compiled.pool(lr, code)
        lr = self._lay_out(lr)
        return self._finite(lambda: self.model.sr_network.pool(lr, code), lr.device)

    def _super_resolve(self, lr: Tensor, code: Tensor, pooled: Tensor | None) -> Tensor:
        if self._compiled is not None:
            return self._compiled(lr, code, pooled)
        lr = self._lay_out(lr)
        if pooled is None:
            return self._finite(lambda: self.model.super_resolve(lr, code), lr.device)
        return self._finite(lambda: self.model.sr_network(lr, code, pooled), lr.device)

    def _finite(self, compute: Callable[[], Tensor], device: torch.device) -> Tensor:
        with autocast(device, self.precision):
            result = compute().float()
        if self.precision != "single" and not result.isfinite().all():
            with torch.autocast(device.type, enabled=False):
                result = compute().float()
        return result

    def _moves(self, view: tuple[int, bool]) -> tuple[int, int]:
        """SR pixels (down, right) by which the result of a view is to be moved, in the upright image."""
        if not (self.centred or self.self_ensemble):
            return 0, 0
        # Where a corner of the turned image comes from tells the directions of "up and left" before turning.
        corner = _turned_back(torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]]), view)[0, 0]
        down = self.shift if corner[0].any() else -self.shift
        right = self.shift if corner[:, 0].any() else -self.shift
        target = 0 if self.centred else self.shift
        return target - down, target - right


def _turned(lr: Tensor, view: tuple[int, bool]) -> Tensor:
    turns, flip = view
    return torch.rot90(lr.flip(3) if flip else lr, turns, (2, 3)) if turns or flip else lr


def _turned_back(sr: Tensor, view: tuple[int, bool]) -> Tensor:
    turns, flip = view
    back = torch.rot90(sr, -turns, (2, 3)) if turns else sr
    return back.flip(3) if flip else back
