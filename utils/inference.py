"""From an LR picture to its SR picture: precision, tiles, flips and rotations around a model."""

import torch
from torch import Tensor

from utils.device import autocast
from utils.interfaces import SuperResolver
from utils.tiling import tiled_super_resolve

DEFAULT_TILE = 256
"""Side of a tile of `--chop`, LR pixels."""


class Upscaler:
    """A model ready for inference.

    Args:
        model: a network in evaluation mode, on its device.
        precision: `single`, `half` or `bf16`.
        tile: side of the SR network's tiles in LR pixels; None: the whole picture at once.
        self_ensemble: average over the 8 flips and rotations (EDSR, Lim et al., CVPRW 2017).
    """

    def __init__(
        self,
        model: SuperResolver,
        *,
        precision: str = "single",
        tile: int | None = None,
        self_ensemble: bool = False,
    ) -> None:
        self.model = model
        self.scale = model.scale
        self.precision = precision
        self.tile = tile
        self.self_ensemble = self_ensemble

    @torch.inference_mode()
    def __call__(self, lr: Tensor) -> Tensor:
        """Upscale lr (B, 3, H, W) float32 in [0, 255]; returns (B, 3, scale*H, scale*W), clipped, not rounded."""
        if not self.self_ensemble:
            return self._forward(lr).clamp(0, 255)
        total = torch.zeros((), device=lr.device)
        for turns in range(4):
            for flip in (False, True):
                turned = torch.rot90(lr.flip(3) if flip else lr, turns, (2, 3))
                back = torch.rot90(self._forward(turned), -turns, (2, 3))
                total = total + (back.flip(3) if flip else back)
        return (total / 8).clamp(0, 255)

    def _forward(self, lr: Tensor) -> Tensor:
        with autocast(lr.device, self.precision):
            code = self.model.encode(lr)
            if self.tile is None or max(lr.shape[2:]) <= self.tile:
                return self.model.super_resolve(lr, code).float()
            return tiled_super_resolve(self.model.super_resolve, lr, code, scale=self.scale, tile=self.tile).float()
