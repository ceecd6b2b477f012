"""The encoder E: LPE and CSC give the code of a picture; a projection head serves the contrastive loss."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.common import NEGATIVE_SLOPE, RGB_RANGE
from model.csc import CSC
from model.lpe import LPE


class Encoder(nn.Module):
    """Content and degradation aware encoder.

    Args:
        widths: channels of the three stages of the LPE.
        code_dim: length of the code.
        num_codes: rows of the codebook.
    """

    def __init__(
        self, *, widths: tuple[int, int, int] = (64, 128, 256), code_dim: int = 256, num_codes: int = 1024
    ) -> None:
        super().__init__()
        self.code_dim = code_dim
        self.lpe = LPE(widths=widths, feature_dim=code_dim)
        self.csc = CSC(num_codes=num_codes, dim=code_dim)
        self.projection = nn.Sequential(
            nn.Linear(code_dim, code_dim), nn.LeakyReLU(NEGATIVE_SLOPE), nn.Linear(code_dim, code_dim)
        )

    def forward(self, lr: Tensor, tile: int | None = None) -> Tensor:
        """Encode LR pictures (B, 3, H, W) in [0, 255] as codes (B, code_dim); `tile` bounds the memory."""
        return self.csc(self.lpe(lr / RGB_RANGE, tile))

    def project(self, code: Tensor) -> Tensor:
        """Map codes (B, code_dim) to the unit vectors (B, code_dim) that the contrastive loss compares."""
        embedding = self.projection(code)
        return F.normalize(embedding.to(torch.promote_types(embedding.dtype, torch.float32)), dim=1)
