"""CSC, Codebook-based Space Compress (CDSR, section 3.4).

The encoder's feature is rewritten as a mixture of learned codebook vectors, which drops what the codebook does
not span.
"""

import torch
from torch import Tensor, nn


class CSC(nn.Module):
    """Attention of one query, the feature, over the rows of a codebook. The energies are not scaled.

    Args:
        num_codes: rows of the codebook.
        dim: length of the feature and of a codebook row.
    """

    def __init__(self, *, num_codes: int = 1024, dim: int = 256) -> None:
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(num_codes, dim))
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)

    def forward(self, feature_bd: Tensor) -> Tensor:
        """Map features (B, dim) to codes (B, dim), each a convex combination of codebook rows."""
        energy = self.query(feature_bd) @ self.key(self.codebook).t()  # (B, num_codes)
        return energy.softmax(dim=1) @ self.codebook
