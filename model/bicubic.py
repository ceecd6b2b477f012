"""Bicubic interpolation as a model, so that every table can hold it."""

import torch.nn.functional as F
from torch import Tensor, nn


class Bicubic(nn.Module):
    """PyTorch's bicubic upscaling (a = -0.75, no antialiasing, pixel centres aligned)."""

    def __init__(self, *, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def encode(self, lr: Tensor) -> Tensor:
        """Give empty codes (B, 0): nothing steers the interpolation."""
        return lr.new_empty(len(lr), 0)

    def super_resolve(self, lr: Tensor, code: Tensor) -> Tensor:
        """Upscale lr, whatever the code."""
        return self(lr)

    def forward(self, lr: Tensor) -> Tensor:
        """Upscale lr (B, 3, H, W) in [0, 255] to (B, 3, scale*H, scale*W); it may overshoot the range."""
        return F.interpolate(lr, scale_factor=self.scale, mode="bicubic", align_corners=False)
