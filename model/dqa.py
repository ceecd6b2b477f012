"""DQA, Domain Query Attention (CDSR, section 3.3).

The feature map asks the code what it needs: a query from the pooled feature meets a key and a value from the
code, and the answer becomes one 3x3 depthwise kernel per picture and channel.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NEGATIVE_SLOPE = 0.1


def dynamic_depthwise_conv(feat: Tensor, kernels: Tensor) -> Tensor:
    """Convolve every channel of every picture with a kernel of its own, zero padding, same size.

    Args:
        feat: (B, C, H, W).
        kernels: (B, C, k, k), k odd.
    """
    if feat.is_cuda:
        return sum_of_shifted_products(feat, kernels)
    batch, channels, height, width = feat.shape
    size = kernels.shape[-1]
    feat = feat.reshape(1, batch * channels, height, width)
    kernels = kernels.reshape(batch * channels, 1, size, size)
    return F.conv2d(feat, kernels, padding=size // 2, groups=batch * channels).view(batch, channels, height, width)


def sum_of_shifted_products(feat: Tensor, kernels: Tensor) -> Tensor:
    """The same convolution, one product for each tap, which a compiler fuses into one pass; for GPUs.

    A convolution with a group for every channel of every picture has no fast kernel there.
    """
    height, width = feat.shape[2:]
    size = kernels.shape[-1]
    padded = F.pad(feat, (size // 2,) * 4)
    result = torch.zeros_like(feat)
    for row in range(size):
        for column in range(size):
            shifted = padded[:, :, row : row + height, column : column + width]
            result = result + shifted * kernels[:, :, row, column, None, None]
    return result


class CodeQuery(nn.Module):
    """Channel-wise cross-attention between the pooled feature (query) and the code (key, value)."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.query = nn.Linear(num_features, num_features)
        self.key = nn.Linear(num_features, num_features)
        self.value = nn.Linear(num_features, num_features)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, feat: Tensor, code_bc: Tensor) -> Tensor:
        """Enrich the code: feat (B, C, H, W) and code (B, C) give (B, C), equal to the code while gamma is 0."""
        query = self.query(feat.mean(dim=(2, 3)))
        energy = query.unsqueeze(2) * self.key(code_bc).unsqueeze(1)  # (B, C, C): q_i k_j
        attended = (energy.softmax(dim=2) @ self.value(code_bc).unsqueeze(2)).squeeze(2)
        return self.gamma * attended + code_bc


class ChannelAttention(nn.Module):
    """Scale each channel by a gate computed from the code."""

    def __init__(self, num_features: int, reduction: int = 2) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(num_features, num_features // reduction, 1, bias=False)
        self.excite = nn.Conv2d(num_features // reduction, num_features, 1, bias=False)

    def forward(self, feat: Tensor, code_bc: Tensor) -> Tensor:
        """Scale feat (B, C, H, W) by gates in (0, 1) from the code (B, C)."""
        code_bc11 = code_bc[:, :, None, None]
        return feat * self.excite(F.leaky_relu(self.squeeze(code_bc11), NEGATIVE_SLOPE)).sigmoid()


class DQA(nn.Module):
    """A depthwise convolution with kernels drawn from the code as the feature queries it, plus channel attention.

    Args:
        num_features: channels of the feature and length of the code.
        kernel_size: side of the dynamic kernels.
    """

    def __init__(self, num_features: int = 64, *, kernel_size: int = 3) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.code_query = CodeQuery(num_features)
        self.kernel = nn.Sequential(
            nn.Linear(num_features, num_features, bias=False),
            nn.LeakyReLU(NEGATIVE_SLOPE),
            nn.Linear(num_features, num_features * kernel_size**2, bias=False),
        )
        self.conv = nn.Conv2d(num_features, num_features, 1)
        self.channel_attention = ChannelAttention(num_features)

    def forward(self, feat: Tensor, code_bc: Tensor) -> Tensor:
        """Adapt the feature (B, C, H, W) to the code (B, C); the size stays."""
        enriched = self.code_query(feat, code_bc)
        kernels = self.kernel(enriched).view(*feat.shape[:2], self.kernel_size, self.kernel_size)
        adapted = F.leaky_relu(dynamic_depthwise_conv(feat, kernels), NEGATIVE_SLOPE)
        return self.conv(adapted) + self.channel_attention(feat, code_bc)
