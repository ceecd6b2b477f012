"""The encoder E: a trunk (CDSR: LPE, then CSC) gives the code of an image; a projection head serves the contrastive
loss.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.common import NEGATIVE_SLOPE, RGB_RANGE
from model.csc import CSC


class Encoder(nn.Module):
    """Content and degradation aware encoder; DASR's where its trunk and no codebook are given.

    Args:
        lpe: the trunk, from images (B, 3, H, W) to features (B, code_dim), with `tile` as a second argument.
        code_dim: length of the code.
        num_codes: rows of the codebook; None: the feature itself is the code.
        divisor: of the pixels in [0, 255], for the range that the trunk sees.
    """

    def __init__(
        self, lpe: nn.Module, *, code_dim: int, num_codes: int | None = None, divisor: float = RGB_RANGE
    ) -> None:
        super().__init__()
        self.code_dim = code_dim
        self.divisor = divisor
        self.lpe = lpe
        self.csc = None if num_codes is None else CSC(num_codes=num_codes, dim=code_dim)
        self.projection = nn.Sequential(
            nn.Linear(code_dim, code_dim), nn.LeakyReLU(NEGATIVE_SLOPE), nn.Linear(code_dim, code_dim)
        )

    def forward(self, lr: Tensor, tile: int | None = None) -> Tensor:
        """Encode LR images (B, 3, H, W) in [0, 255] as codes (B, code_dim); `tile` bounds the memory."""
        feature = self.lpe(lr / self.divisor, tile)
        return feature if self.csc is None else self.csc(feature)

    def project(self, code: Tensor) -> Tensor:
        """Map codes (B, code_dim) to the unit vectors (B, code_dim) that the contrastive loss compares."""
        embedding = self.projection(code)
        return F.normalize(embedding.to(torch.promote_types(embedding.dtype, torch.float32)), dim=1)
