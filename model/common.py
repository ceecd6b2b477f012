"""Parts that the networks share: the encoders' layer, averages in bounded memory, precision at both ends."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.sync_norm import BatchNorm2d

NEGATIVE_SLOPE = 0.1
RGB_RANGE = 255.0
LARGEST_NOISE = 25.0
"""The noise level, in grey levels, that a network is told as 1: the largest of the field's usual protocols."""


class ConvNormAct(nn.Module):
    """Convolution, batch normalisation, LeakyReLU(0.1)."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=padding)
        self.norm = BatchNorm2d(out_channels)

    def forward(self, feat: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, out_channels, H', W')."""
        return F.leaky_relu(self.norm(self.conv(feat)), NEGATIVE_SLOPE)


def at_least(lr: Tensor, side: int) -> Tensor:
    """Repeat the last rows and columns of lr (B, C, H, W) until each side has this many pixels."""
    missing_rows, missing_columns = (max(side - length, 0) for length in lr.shape[2:])
    if not (missing_rows or missing_columns):
        return lr
    return F.pad(lr, (0, missing_columns, 0, missing_rows), mode="replicate")


def spatial_mean(branch: nn.Module, lr: Tensor, tile: int | None, *, stride: int, halo: int, least: int = 1) -> Tensor:
    """Average a branch's feature over the image, on request without holding it whole.

    Args:
        branch: maps (B, C, H, W) to a feature with one row for every `stride` rows, and columns alike.
        lr: (B, C, H, W).
        tile: side of a tile, rounded up to strides; None: the whole image at once.
        halo: pixels computed around a tile and left out, a multiple of `stride` that covers what the branch sees.
        least: fewest pixels in a row that give a feature at all.

    Returns:
        (B, C'), the same in tiles up to rounding, and then float32.
    """
    if tile is None:
        return branch(lr).mean(dim=(2, 3))
    height, width = lr.shape[2:]
    step = -(-tile // stride) * stride
    total, count = torch.zeros((), device=lr.device), 0
    for top in range(0, height, step):
        for left in range(0, width, step):
            above, before = min(top, halo), min(left, halo)
            piece = lr[:, :, top - above : top + step + halo, left - before : left + step + halo]
            if min(piece.shape[2] - above, piece.shape[3] - before) < least:
                continue
            rows, columns = (slice(start // stride, (start + step) // stride) for start in (above, before))
            feat = branch(piece)[:, :, rows, columns]
            total = total + feat.float().sum(dim=(2, 3))
            count += feat.shape[2] * feat.shape[3]
    return total / count


def at_full_precision(conv: nn.Conv2d, feat: Tensor) -> Tensor:
    """Convolve in the weights' own precision, also under autocast: bf16 cannot hold the 256 levels of a pixel."""
    if not torch.is_autocast_enabled(feat.device.type):
        return conv(feat)
    with torch.autocast(feat.device.type, enabled=False):
        return conv(feat.to(conv.weight.dtype))


def as_autocast(feat: Tensor) -> Tensor:
    """Bring a feature to the precision that autocast computes in, if any."""
    if not torch.is_autocast_enabled(feat.device.type):
        return feat
    return feat.to(torch.get_autocast_dtype(feat.device.type))
