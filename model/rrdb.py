"""The residual dense block that the SR network is made of (ESRGAN, Wang et al., ECCVW 2018, section 3.1)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NEGATIVE_SLOPE = 0.2
RESIDUAL_SCALE = 0.2
NUM_CONVS = 5


class ResidualDenseBlock(nn.Module):
    """Five 3x3 convolutions over a growing concatenation, with a scaled shortcut.

    Args:
        num_features: channels of input and output.
        growth: channels that each of the first four convolutions adds.
    """

    def __init__(self, num_features: int = 64, growth: int = 32) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(
                num_features + index * growth,
                growth if index < NUM_CONVS - 1 else num_features,
                kernel_size=3,
                padding=1,
            )
            for index in range(NUM_CONVS)
        )
        for conv in self.convs:
            assert isinstance(conv, nn.Conv2d) and conv.bias is not None
            nn.init.kaiming_normal_(conv.weight, a=0, mode="fan_in")
            conv.weight.data.mul_(0.1)
            nn.init.zeros_(conv.bias)

    def forward(self, feat: Tensor) -> Tensor:
        """Refine the feature (B, num_features, H, W); the shape stays."""
        *growing, last = self.convs
        grown = [feat]
        for conv in growing:
            grown.append(F.leaky_relu(conv(torch.cat(grown, dim=1)), NEGATIVE_SLOPE))
        return feat + RESIDUAL_SCALE * last(torch.cat(grown, dim=1))
