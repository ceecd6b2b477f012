"""Running the SR network tile by tile, so that memory does not grow with the image.

One code steers the whole image; only the SR network is tiled. Neighbouring tiles overlap: the outermost pixels of a
tile, which lack their surroundings, are dropped, and the rest of the overlap is blended linearly.

DQA pools over the feature map. Before a tile is super-resolved, the means of the whole image are estimated from
pieces of it, so that all tiles are steered alike; `docs/own-images.md` has what is left of the difference.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

MIN_TILE = 16
MIN_OVERLAP, MAX_OVERLAP = 16, 160

PIECE = 128
"""Side of the pieces that the means of an image are estimated from, LR pixels; in small ones their borders tell."""

SAMPLED = 512
"""LR pixels along each side of an image that pieces cover at most: of a larger one they are a sample."""


def overlap_of(tile: int) -> int:
    """LR pixels that neighbouring tiles of a side share: an eighth within limits, and never more than half."""
    return min(max(tile // 8, MIN_OVERLAP), MAX_OVERLAP, tile // 2)


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Place tiles of one size evenly over `length` pixels, each sharing at least `overlap` with the next."""
    if length <= tile:
        return [0]
    num_tiles = -(-(length - overlap) // (tile - overlap))
    return [round(index * (length - tile) / (num_tiles - 1)) for index in range(num_tiles)]


def num_tiles(height: int, width: int, tile: int) -> int:
    """Count the tiles of an image."""
    overlap = overlap_of(tile)
    return len(tile_starts(height, tile, overlap)) * len(tile_starts(width, tile, overlap))


def samples(lr: Tensor, tile: int) -> Iterator[Tensor]:
    """Give pieces of lr (B, 3, H, W), all of one size and no larger than a tile, spread evenly over it."""
    rows, columns = (_pieces(length, min(tile, PIECE)) for length in lr.shape[2:])
    for top, bottom in rows:
        for left, right in columns:
            yield lr[:, :, top:bottom, left:right]


def _pieces(length: int, longest: int) -> list[tuple[int, int]]:
    """Cut `length` pixels into pieces of a size, or place SAMPLED // longest pieces evenly over more pixels."""
    num_pieces = min(-(-length // longest), SAMPLED // longest)
    spacing = length / num_pieces
    size = min(math.ceil(spacing), longest)
    starts = [round((index + 0.5) * spacing - size / 2) for index in range(num_pieces)]
    return [(start, start + size) for start in starts]


def super_resolve_bands(
    super_resolve: Callable[[Tensor], Tensor], lr: Tensor, *, scale: int, tile: int
) -> Iterator[tuple[slice, Tensor]]:
    """Super-resolve in tiles, and give out each band of SR rows as soon as no later tile touches it.

    Args:
        super_resolve: maps an LR tile (B, 3, h, w) to its SR tile (B, 3, scale*h, scale*w).
        lr: (B, 3, H, W).
        scale: upscaling factor.
        tile: side of a tile in LR pixels.

    Yields:
        the rows of the SR image that a band covers, in order, and the band, float32 on the device of the tiles.
    """
    if tile < MIN_TILE:
        raise ValueError(f"a tile of {tile} pixels is too small; give at least {MIN_TILE}")
    height = lr.shape[2]
    overlap = overlap_of(tile)
    tops = tile_starts(height, tile, overlap)
    carried: Tensor | None = None  # rows that the tiles above began and the next ones end
    for index, top in enumerate(tops):
        bottom = min(top + tile, height)
        row = _super_resolve_row(super_resolve, lr[:, :, top:bottom], scale=scale, tile=tile)
        if carried is not None:
            shared = carried.shape[2]
            fade = _fade(shared, overlap * scale, row)[:, None]
            row[:, :, :shared] = carried + (row[:, :, :shared] - carried) * fade
        end = tops[index + 1] if index + 1 < len(tops) else bottom
        finished = (end - top) * scale
        yield slice(top * scale, end * scale), row[:, :, :finished]
        carried = row[:, :, finished:].clone()


def _super_resolve_row(super_resolve: Callable[[Tensor], Tensor], lr: Tensor, *, scale: int, tile: int) -> Tensor:
    """One row of tiles, blended from left to right: lr (B, 3, h, W), h at most `tile`."""
    width = lr.shape[3]
    overlap = overlap_of(tile)
    row, done = None, 0
    for left in tile_starts(width, tile, overlap):
        sr = super_resolve(lr[:, :, :, left : left + tile]).float()
        if sr.shape[3] == width * scale:
            return sr
        if row is None:
            row = sr.new_empty(*sr.shape[:3], width * scale)
        start = left * scale
        shared = max(done - start, 0)
        if shared:
            before = row[:, :, :, start:done]
            sr[:, :, :, :shared] = before + (sr[:, :, :, :shared] - before) * _fade(shared, overlap * scale, sr)
        done = start + sr.shape[3]
        row[:, :, :, start:done] = sr
    assert row is not None
    return row


def _fade(shared: int, overlap: int, like: Tensor) -> Tensor:
    """Weights of the later tile over `shared` SR pixels: 0 where it lacks surroundings, 1 where the earlier one does.

    The linear part lies in the middle and is half as long as the overlap, so that no step shows.
    """
    position = torch.arange(shared, device=like.device, dtype=like.dtype) + 0.5
    ramp = max(overlap // 2, 1)
    return ((position - (shared - ramp) / 2) / ramp).clamp(0, 1)
