"""Convolutions whose kernels come from the code of the image, and the block made of two of them (DASR, Wang et al.,
CVPR 2021, section 3.2). CDSR puts a query on top: `model/dqa.py`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.common import NEGATIVE_SLOPE

Pool = Callable[[Tensor], Tensor]
"""How a query pools the feature (B, C, H, W): to (B, C)."""


def spatial_mean(feat: Tensor) -> Tensor:
    """The mean over the image: (B, C) of the feature (B, C, H, W)."""
    return feat.mean(dim=(2, 3))


def dynamic_depthwise_conv(feat: Tensor, kernels: Tensor) -> Tensor:
    """Convolve every channel of every image with a kernel of its own, zero padding, same size.

    Args:
        feat: (B, C, H, W).
        kernels: (B, C, k, k), k odd.
    """
    if feat.is_cuda:
        return sum_of_shifted_products(feat, kernels)
    padding, groups = kernels.shape[-1] // 2, feat.shape[1]
    if len(feat) == 1:  # nothing to split and copy
        return F.conv2d(feat, kernels.transpose(0, 1), padding=padding, groups=groups)
    # An image at a time, which stays in channels_last: a group for every channel of every image takes three times as
    # long and two copies. Splitting has a cheap backward pass, slicing has not.
    pairs = zip(feat.split(1), kernels.unsqueeze(2).unbind(), strict=True)  # (1, C, H, W) and (C, 1, k, k)
    return torch.cat([F.conv2d(one, kernel, padding=padding, groups=groups) for one, kernel in pairs])


def sum_of_shifted_products(feat: Tensor, kernels: Tensor) -> Tensor:
    """The same convolution, one product for each tap, which a compiler fuses into one pass; for GPUs.

    A convolution with a group for every channel of every image has no fast kernel there.
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


class ChannelAttention(nn.Module):
    """Scale each channel by a gate computed from the code."""

    def __init__(self, num_features: int, reduction: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(num_features, num_features // reduction, 1, bias=False)
        self.excite = nn.Conv2d(num_features // reduction, num_features, 1, bias=False)

    def forward(self, feat: Tensor, code_bc: Tensor) -> Tensor:
        """Scale feat (B, C, H, W) by gates in (0, 1) from the code (B, C)."""
        code_bc11 = code_bc[:, :, None, None]
        return feat * self.excite(F.leaky_relu(self.squeeze(code_bc11), NEGATIVE_SLOPE)).sigmoid()


class DAConv(nn.Module):
    """A depthwise convolution with kernels drawn from the code, plus channel attention.

    Args:
        num_features: channels of the feature and length of the code.
        kernel_size: side of the dynamic kernels.
        reduction: of the channels inside the channel attention.
        code_query: enriches the code by what the feature asks before the kernels are drawn; none in DASR.
    """

    def __init__(
        self, num_features: int, *, kernel_size: int = 3, reduction: int = 8, code_query: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.code_query = code_query
        self.kernel = nn.Sequential(
            nn.Linear(num_features, num_features, bias=False),
            nn.LeakyReLU(NEGATIVE_SLOPE),
            nn.Linear(num_features, num_features * kernel_size**2, bias=False),
        )
        self.conv = nn.Conv2d(num_features, num_features, 1)
        self.channel_attention = ChannelAttention(num_features, reduction)

    def forward(self, feat: Tensor, code_bc: Tensor, pool: Pool = spatial_mean) -> Tensor:
        """Adapt the feature (B, C, H, W) to the code (B, C); the size stays."""
        enriched = code_bc if self.code_query is None else self.code_query(pool(feat), code_bc)
        kernels = self.kernel(enriched).view(*feat.shape[:2], self.kernel_size, self.kernel_size)
        adapted = F.leaky_relu(dynamic_depthwise_conv(feat, kernels), NEGATIVE_SLOPE)
        return self.conv(adapted) + self.channel_attention(feat, code_bc)


class DABlock(nn.Module):
    """Adapt the feature to the code by two dynamic convolutions, each followed by a plain one, with a shortcut.

    Args:
        num_features: channels of the feature.
        build_dynamic: makes a dynamic convolution, `DAConv` or `DQA`.
        code_map: makes the block's own code (B, C) of the shared one; none where that is (B, C) already.
    """

    def __init__(
        self, num_features: int, build_dynamic: Callable[[int], nn.Module], code_map: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.code_map = code_map
        self.dynamic1 = build_dynamic(num_features)
        self.conv1 = nn.Conv2d(num_features, num_features, 3, padding=1)
        self.dynamic2 = build_dynamic(num_features)
        self.conv2 = nn.Conv2d(num_features, num_features, 3, padding=1)

    def forward(self, feat: Tensor, code: Tensor, pool: Pool = spatial_mean) -> Tensor:
        """Adapt feat (B, C, H, W) to the shared code (B, D); the shape stays."""
        block_code = code if self.code_map is None else self.code_map(code)  # (B, C)
        adapted = F.leaky_relu(self.dynamic1(feat, block_code, pool), NEGATIVE_SLOPE)
        adapted = F.leaky_relu(self.conv1(adapted), NEGATIVE_SLOPE)
        adapted = F.leaky_relu(self.dynamic2(adapted, block_code, pool), NEGATIVE_SLOPE)
        return feat + self.conv2(adapted)
