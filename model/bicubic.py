"""Bicubic interpolation as a model, so that every table can hold it; in the two forms that the literature prints."""

import torch
import torch.nn.functional as F
from torch import Tensor

from model.network import Network

EDGE = 4
"""LR pixels mirrored around an image, more than the two that the interpolation looks at."""


class Bicubic(Network):
    """Bicubic upscaling with pixel centres aligned.

    Args:
        scale: the factor.
        matlab: MATLAB's `imresize` (a = -0.5, mirrored edges), by which DASR's protocols and the printed figures of
            plain bicubic are measured; else PyTorch's (a = -0.75, repeated edges), by which protocol cdsr's are.
    """

    is_trainable = False

    def __init__(self, *, scale: int, matlab: bool = False) -> None:
        super().__init__()
        self.scale = scale
        self.matlab = matlab

    def super_resolve(self, lr: Tensor, code: Tensor) -> Tensor:
        """Upscale lr (B, 3, H, W) in [0, 255] to (B, 3, scale*H, scale*W), which may overshoot the range."""
        if not self.matlab:
            return F.interpolate(lr, scale_factor=self.scale, mode="bicubic", align_corners=False)
        rows, columns = (_mirrored(length, lr.device) for length in lr.shape[2:])
        framed = lr[:, :, rows][:, :, :, columns]
        # PyTorch's antialiased form has a = -0.5; enlarging, it averages over nothing.
        sr = F.interpolate(framed, scale_factor=self.scale, mode="bicubic", align_corners=False, antialias=True)
        edge = EDGE * self.scale
        return sr[:, :, edge:-edge, edge:-edge]


def _mirrored(length: int, device: torch.device) -> Tensor:
    """Indices of a side and EDGE pixels beyond each end, the edge pixel itself repeated, as often as it takes."""
    position = torch.arange(-EDGE, length + EDGE, device=device) % (2 * length)
    return torch.minimum(position, 2 * length - 1 - position)
