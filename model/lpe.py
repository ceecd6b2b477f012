"""LPE, the Lightweight Patch-based Encoder (CDSR, section 3.2).

Two branches look at the same image: the pixel branch sees local degradation, the patch branch sees content
through patches of 12 pixels. Their averages, concatenated, give one feature per image.

Differs from the published code: an image with a side under 12 pixels is padded by replication for the patch
branch, where the published code fails; a large image can be encoded in tiles, in bounded memory.
"""

import torch
from torch import Tensor, nn

from model.autocorrelation import AutocorrelationBranch
from model.common import NEGATIVE_SLOPE, ConvNormAct, at_least, spatial_mean


def pixel_branch(widths: tuple[int, int, int]) -> nn.Sequential:
    """For local degradation: from pixels."""
    first, second, third = widths
    return nn.Sequential(
        ConvNormAct(3, first, 7, padding=3),
        ConvNormAct(first, first, 1),
        ConvNormAct(first, second, 3, stride=2, padding=1),
        ConvNormAct(second, second, 1),
        ConvNormAct(second, third, 7, padding=3),
        ConvNormAct(third, third, 1),
    )


def patch_branch(widths: tuple[int, int, int], patch_size: int) -> nn.Sequential:
    """For content: from patches."""
    first, second, third = widths
    return nn.Sequential(
        ConvNormAct(3, first, patch_size, stride=patch_size),
        ConvNormAct(first, first, 3, padding=1),
        ConvNormAct(first, second, 3, padding=1),
        ConvNormAct(second, third, 3, padding=1),
    )


class LPE(nn.Module):
    """The encoder's trunk: an image of any size to one feature vector.

    Args:
        widths: channels of the three stages of each branch.
        patch_size: side of a patch of the patch branch, in LR pixels.
        feature_dim: length of the feature.
        branches: "both", or "pixel" or "patch" alone; "autocorrelation", which is ours, or "all" three.
    """

    def __init__(
        self,
        *,
        widths: tuple[int, int, int] = (64, 128, 256),
        patch_size: int = 12,
        feature_dim: int = 256,
        branches: str = "both",
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.pixel_branch = pixel_branch(widths) if branches in ("both", "pixel", "all") else None
        self.patch_branch = patch_branch(widths, patch_size) if branches in ("both", "patch", "all") else None
        self.autocorrelation_branch = (
            AutocorrelationBranch(feature_dim) if branches in ("autocorrelation", "all") else None
        )
        if branches == "autocorrelation":
            self.mlp: nn.Module = nn.Identity()
            return
        num_inputs = (2 if branches in ("both", "all") else 1) * widths[-1]
        self.mlp = nn.Sequential(
            nn.Linear(num_inputs + (feature_dim if branches == "all" else 0), feature_dim),
            nn.LeakyReLU(NEGATIVE_SLOPE),
            nn.Linear(feature_dim, feature_dim),
        )

    def forward(self, lr: Tensor, tile: int | None = None) -> Tensor:
        """Encode LR images.

        Args:
            lr: (B, 3, H, W) RGB in [0, 1].
            tile: compute the branches in tiles of about this side, to bound the memory; the result is the same.

        Returns:
            (B, feature_dim).
        """
        features = []
        if self.pixel_branch is not None:  # it sees 3 + 1 + 2*3 pixels around each
            features.append(spatial_mean(self.pixel_branch, lr, tile, stride=2, halo=12))
        if self.patch_branch is not None:  # it sees 3 patches around each
            side = self.patch_size
            patches = at_least(lr, side)
            features.append(spatial_mean(self.patch_branch, patches, tile, stride=side, halo=3 * side, least=side))
        if self.autocorrelation_branch is not None:
            features.append(self.autocorrelation_branch(lr, tile))
        return self.mlp(torch.cat(features, dim=1))
