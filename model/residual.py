"""The plain residual block of EDSR (Lim et al., CVPRW 2017, section 3.1), of which CDSR_S is made."""

import torch.nn.functional as F
from torch import Tensor, nn

RESIDUAL_GAIN = 0.3
"""Of the second convolution's initial weights, so that a deep network starts near the identity."""


class ResidualBlock(nn.Module):
    """Convolution, ReLU, convolution, shortcut.

    Args:
        num_features: channels of input and output.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_features, num_features, 3, padding=1)
        self.conv2 = nn.Conv2d(num_features, num_features, 3, padding=1)
        self.conv2.weight.data.mul_(RESIDUAL_GAIN)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, feat: Tensor) -> Tensor:
        """Refine the feature (B, num_features, H, W); the shape stays."""
        return self.conv2(F.relu(self.conv1(feat), inplace=True)).add_(feat)
