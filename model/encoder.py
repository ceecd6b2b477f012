"""The encoder E: a trunk (CDSR: LPE, then CSC) represents an image; its representation is the code, or a degradation
head reads the code off it; a projection head serves the contrastive loss.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.common import NEGATIVE_SLOPE, RGB_RANGE
from model.csc import CSC
from model.degradation_head import DegradationHead


class Encoder(nn.Module):
    """Content and degradation aware encoder; DASR's where its trunk and no codebook are given.

    Args:
        lpe: the trunk, from images (B, 3, H, W) to features (B, code_dim), with `tile` as a second argument.
        code_dim: length of the code.
        num_codes: rows of the codebook; None: the feature itself is the code.
        head: makes the code of the degradation that it reads off the feature; None: the feature is the code.
        divisor: of the pixels in [0, 255], for the range that the trunk sees.
    """

    def __init__(
        self,
        lpe: nn.Module,
        *,
        code_dim: int,
        num_codes: int | None = None,
        head: DegradationHead | None = None,
        divisor: float = RGB_RANGE,
    ) -> None:
        super().__init__()
        self.code_dim = code_dim
        self.divisor = divisor
        self.lpe = lpe
        self.csc = None if num_codes is None else CSC(num_codes=num_codes, dim=code_dim)
        self.head = head
        self.projection = nn.Sequential(
            nn.Linear(code_dim, code_dim), nn.LeakyReLU(NEGATIVE_SLOPE), nn.Linear(code_dim, code_dim)
        )

    def forward(self, lr: Tensor, tile: int | None = None) -> Tensor:
        """Encode LR images (B, 3, H, W) in [0, 255] as codes (B, code_dim); `tile` bounds the memory."""
        return self.code(self.represent(lr, tile))

    def represent(self, lr: Tensor, tile: int | None = None) -> Tensor:
        """Encode lr as representations (B, code_dim), which the head reads and the contrastive loss compares."""
        feature = self.lpe(lr / self.divisor, tile)
        return feature if self.csc is None else self.csc(feature)

    def code(self, representation: Tensor) -> Tensor:
        """Make codes (B, code_dim) of representations."""
        return representation if self.head is None else self.head(representation)

    def project(self, representation: Tensor) -> Tensor:
        """Map representations to the unit vectors (B, code_dim) that the contrastive loss compares."""
        embedding = self.projection(representation)
        return F.normalize(embedding.to(torch.promote_types(embedding.dtype, torch.float32)), dim=1)
