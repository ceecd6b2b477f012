"""Running the SR network tile by tile, so that memory does not grow with the picture.

One code steers the whole picture; only the SR network is tiled. Tiles overlap, and the overlap is blended linearly.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

OVERLAP = 16
"""LR pixels that neighbouring tiles share."""


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Place tiles of one size evenly over `length` pixels, each sharing at least `overlap` with the next."""
    if length <= tile:
        return [0]
    num_tiles = -(-(length - overlap) // (tile - overlap))
    return [round(index * (length - tile) / (num_tiles - 1)) for index in range(num_tiles)]


def tiled_super_resolve(
    super_resolve: Callable[[Tensor, Tensor], Tensor],
    lr: Tensor,
    code: Tensor,
    *,
    scale: int,
    tile: int,
    overlap: int = OVERLAP,
) -> Tensor:
    """Super-resolve lr (B, 3, H, W) in tiles of `tile` LR pixels under one code each.

    Args:
        super_resolve: maps a tile and its codes to an SR tile.
        lr: (B, 3, H, W).
        code: (B, D).
        scale: upscaling factor.
        tile: side of a tile in LR pixels, above twice the overlap.
        overlap: LR pixels that neighbouring tiles share.
    """
    if tile <= 2 * overlap:
        raise ValueError(f"a tile of {tile} pixels is too small for an overlap of {overlap}; give more than twice that")
    batch, channels, height, width = lr.shape
    total = lr.new_zeros(batch, channels, height * scale, width * scale)
    weight = lr.new_zeros(1, 1, height * scale, width * scale)
    for top, left in _positions(height, width, tile, overlap):
        piece = lr[:, :, top : top + tile, left : left + tile]
        sr = super_resolve(piece, code).to(total.dtype)
        ramp = _ramp(sr.shape[2], overlap * scale, lr)[:, None] * _ramp(sr.shape[3], overlap * scale, lr)
        rows = slice(top * scale, top * scale + sr.shape[2])
        columns = slice(left * scale, left * scale + sr.shape[3])
        total[:, :, rows, columns] += sr * ramp
        weight[:, :, rows, columns] += ramp
    return total / weight


def _positions(height: int, width: int, tile: int, overlap: int) -> Iterator[tuple[int, int]]:
    for top in tile_starts(height, tile, overlap):
        for left in tile_starts(width, tile, overlap):
            yield top, left


def _ramp(length: int, overlap: int, like: Tensor) -> Tensor:
    """Weights along one side of a tile: rising over the overlap, flat in the middle, falling again; never 0."""
    distance = torch.arange(1, length + 1, device=like.device, dtype=like.dtype)
    return torch.minimum(distance, distance.flip(0)).clamp(max=overlap) / overlap
