"""LPE, the Lightweight Patch-based Encoder (CDSR, section 3.2).

Two branches look at the same picture: the pixel branch sees local degradation, the patch branch sees content
through patches of 12 pixels. Their averages, concatenated, give one feature per picture.

Differs from the published code: a picture with a side under 12 pixels is padded by replication for the patch
branch, where the published code fails; a large picture can be encoded in tiles, in bounded memory.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.common import NEGATIVE_SLOPE, ConvNormAct, mean_over_tiles


class LPE(nn.Module):
    """The encoder's trunk: a picture of any size to one feature vector.

    Args:
        widths: channels of the three stages of each branch.
        patch_size: side of a patch of the patch branch, in LR pixels.
        feature_dim: length of the feature.
    """

    def __init__(
        self, *, widths: tuple[int, int, int] = (64, 128, 256), patch_size: int = 12, feature_dim: int = 256
    ) -> None:
        super().__init__()
        first, second, third = widths
        self.patch_size = patch_size
        self.pixel_branch = nn.Sequential(
            ConvNormAct(3, first, 7, padding=3),
            ConvNormAct(first, first, 1),
            ConvNormAct(first, second, 3, stride=2, padding=1),
            ConvNormAct(second, second, 1),
            ConvNormAct(second, third, 7, padding=3),
            ConvNormAct(third, third, 1),
        )
        self.patch_branch = nn.Sequential(
            ConvNormAct(3, first, patch_size, stride=patch_size),
            ConvNormAct(first, first, 3, padding=1),
            ConvNormAct(first, second, 3, padding=1),
            ConvNormAct(second, third, 3, padding=1),
        )
        self.mlp = nn.Sequential(
            nn.Linear(2 * third, feature_dim), nn.LeakyReLU(NEGATIVE_SLOPE), nn.Linear(feature_dim, feature_dim)
        )

    def forward(self, lr: Tensor, tile: int | None = None) -> Tensor:
        """Encode LR pictures.

        Args:
            lr: (B, 3, H, W) RGB in [0, 1].
            tile: compute the branches in tiles of about this side, to bound the memory; the result is the same.

        Returns:
            (B, feature_dim).
        """
        patches = self._at_least_one_patch(lr)
        if tile is None:
            pixel = self.pixel_branch(lr).mean(dim=(2, 3))
            patch = self.patch_branch(patches).mean(dim=(2, 3))
        else:
            # Halos cover what a branch sees: 3 + 1 + 2*3 pixels, and 3 patches.
            pixel = mean_over_tiles(self.pixel_branch, lr, tile=tile, stride=2, halo=12)
            patch = mean_over_tiles(
                self.patch_branch,
                patches,
                tile=tile,
                stride=self.patch_size,
                halo=3 * self.patch_size,
                least=self.patch_size,
            )
        return self.mlp(torch.cat([pixel, patch], dim=1))

    def _at_least_one_patch(self, lr: Tensor) -> Tensor:
        missing_rows = max(self.patch_size - lr.shape[2], 0)
        missing_columns = max(self.patch_size - lr.shape[3], 0)
        if not (missing_rows or missing_columns):
            return lr
        return F.pad(lr, (0, missing_columns, 0, missing_rows), mode="replicate")
