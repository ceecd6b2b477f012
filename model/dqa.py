"""DQA, Domain Query Attention (CDSR, section 3.3).

The feature map asks the code what it needs: a query from the pooled feature meets a key and a value from the
code, and the answer becomes one 3x3 depthwise kernel per image and channel.
"""

import torch
from torch import Tensor, nn

from model.dynamic_conv import DAConv

REDUCTION = 2
"""Of the channel attention of CDSR's dynamic convolutions, with the query and without."""


class CodeQuery(nn.Module):
    """Channel-wise cross-attention between the pooled feature (query) and the code (key, value)."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.query = nn.Linear(num_features, num_features)
        self.key = nn.Linear(num_features, num_features)
        self.value = nn.Linear(num_features, num_features)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, pooled: Tensor, code_bc: Tensor) -> Tensor:
        """Enrich the code: pooled feature and code, (B, C) both, give (B, C), equal to the code while gamma is 0."""
        query = self.query(pooled)
        energy = query.unsqueeze(2) * self.key(code_bc).unsqueeze(1)  # (B, C, C): q_i k_j
        attended = (energy.softmax(dim=2) @ self.value(code_bc).unsqueeze(2)).squeeze(2)
        return self.gamma * attended + code_bc


class DQA(DAConv):
    """A dynamic convolution whose code is enriched by what the feature asks of it.

    Args:
        num_features: channels of the feature and length of the code.
        kernel_size: side of the dynamic kernels.
    """

    code_query: CodeQuery

    def __init__(self, num_features: int = 64, *, kernel_size: int = 3) -> None:
        super().__init__(num_features, kernel_size=kernel_size, reduction=REDUCTION, code_query=CodeQuery(num_features))
