"""Downsampling by an integer: MATLAB's antialiased bicubic. (s-fold is the stride of the blur.)

Bicubic downsampling is separable, so it is one small dense matrix for the rows and one for the columns, kept in a
cache.

Differs from the published code: CDSR's calls s-fold "bicubic" and bicubic "s-fold"; here the names mean what they say.
"""

from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

Edges = Literal["replicate", "symmetric"]


def bicubic_downsample(image: Tensor, scale: int, edges: Edges = "symmetric") -> Tensor:
    """(..., H, W) of any range to (..., ceil(H/s), ceil(W/s)), neither rounded nor clipped.

    edges: what lies outside the image. "symmetric" mirrors it, as MATLAB's `imresize(image, 1/s)` does;
    "replicate" repeats the outermost pixel, as the published DASR code does. They differ in the outermost two LR
    pixels alone.
    """
    height, width = image.shape[-2:]
    rows = bicubic_matrix(height, scale, edges, image.device, image.dtype)  # (h, H)
    columns = bicubic_matrix(width, scale, edges, image.device, image.dtype)  # (w, W)
    return rows @ (image @ columns.T)


@lru_cache(maxsize=32)
def bicubic_matrix(size: int, scale: int, edges: Edges, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(ceil(size/s), size) weights of every LR position on every HR position; each row sums to 1."""
    out_size = -(-size // scale)
    # Pixel centres aligned: LR pixel i (from 0) covers HR pixels s*i to s*i + s - 1.
    centres = torch.arange(out_size, dtype=torch.float64) * scale + (scale - 1) / 2
    taps = (centres - 2 * scale).floor()[:, None] + torch.arange(4 * scale + 2)  # (out, 4s + 2)
    weights = keys_cubic((centres[:, None] - taps) / scale)
    weights = weights / weights.sum(dim=1, keepdim=True)

    taps = taps.long()
    if edges == "replicate":
        taps = taps.clamp(0, size - 1)
    else:
        taps = taps % (2 * size)  # ... 1 0 | 0 1 ... n-1 | n-1 n-2 ...
        taps = taps.where(taps < size, 2 * size - 1 - taps)
    matrix = torch.zeros(out_size, size, dtype=torch.float64).scatter_add_(1, taps, weights)
    return matrix.to(device, dtype)


def keys_cubic(x: Tensor) -> Tensor:
    """Keys' kernel with a = -1/2, the one of MATLAB, at distances in LR pixels."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return near.where(x <= 1, far.where(x <= 2, 0))
