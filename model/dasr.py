"""DASR, the representative unsupervised method (Wang et al., "Unsupervised Degradation Representation Learning for
Blind Super-Resolution", CVPR 2021): an SR network whose convolutions the code of a degradation encoder steers.

Differs from the published code: the MeanShift layers are buffers, which no optimiser moves; a large image can be
encoded in tiles, in bounded memory.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.common import NEGATIVE_SLOPE, RGB_RANGE, as_autocast, at_full_precision
from model.dasr_encoder import DegradationEncoder
from model.dynamic_conv import DABlock, DAConv
from model.encoder import Encoder
from model.network import Network

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean colour of DIV2K, RGB in [0, 1]."""


class DASRSize(NamedTuple):
    """The numbers that set the cost of a DASR; the defaults are the published ones."""

    num_features: int = 64
    num_groups: int = 5
    num_blocks: int = 5
    encoder_widths: tuple[int, int, int] = (64, 128, 256)


class MeanShift(nn.Module):
    """Add a constant colour; as a convolution by the identity, which is how the published files hold it."""

    weight: Tensor
    bias: Tensor

    def __init__(self, colour: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", torch.eye(3)[:, :, None, None])
        self.register_buffer("bias", colour)

    def forward(self, image: Tensor) -> Tensor:
        """Shift the colours of images (B, 3, H, W) in [0, 255]; never in low precision."""
        with torch.autocast(image.device.type, enabled=False):
            return F.conv2d(image.to(self.weight.dtype), self.weight, self.bias)


def refine(body: nn.ModuleList, feat: Tensor, code: Tensor) -> Tensor:
    """Pass feat (B, C, H, W) through parts steered by the code (B, C) and a last convolution, with a shortcut."""
    *parts, conv = body
    refined = feat
    for part in parts:
        refined = part(refined, code)
    return feat + conv(refined)


class DAGroup(nn.Module):
    """Blocks under one code and a convolution, with a shortcut."""

    def __init__(self, num_features: int, num_blocks: int) -> None:
        super().__init__()
        blocks = [DABlock(num_features, DAConv) for _ in range(num_blocks)]
        self.body = nn.ModuleList([*blocks, nn.Conv2d(num_features, num_features, 3, padding=1)])

    def forward(self, feat: Tensor, code: Tensor) -> Tensor:
        """Refine feat (B, C, H, W) under the code (B, C); the shape stays."""
        return refine(self.body, feat, code)


def upsampler(num_features: int, scale: int) -> nn.Sequential:
    """Enlarge a feature by pixel shuffles: by 3 in one stage, by 2 and 4 in stages of 2."""
    stages = {1: [], 2: [2], 3: [3], 4: [2, 2]}[scale]
    layers: list[nn.Module] = []
    for factor in stages:
        layers += [nn.Conv2d(num_features, num_features * factor**2, 3, padding=1), nn.PixelShuffle(factor)]
    return nn.Sequential(*layers)


class DASRNetwork(nn.Module):
    """G: from an LR image and its code to the SR image."""

    def __init__(self, *, scale: int, size: DASRSize) -> None:
        super().__init__()
        features = size.num_features
        mean = RGB_RANGE * torch.tensor(DIV2K_MEAN)
        self.sub_mean = MeanShift(-mean)
        self.add_mean = MeanShift(mean)
        self.code_map = nn.Sequential(
            nn.Linear(size.encoder_widths[-1], features, bias=False), nn.LeakyReLU(NEGATIVE_SLOPE)
        )
        self.first_conv = nn.Conv2d(3, features, 3, padding=1)
        groups = [DAGroup(features, size.num_blocks) for _ in range(size.num_groups)]
        self.body = nn.ModuleList([*groups, nn.Conv2d(features, features, 3, padding=1)])
        self.upsampler = upsampler(features, scale)
        self.last_conv = nn.Conv2d(features, 3, 3, padding=1)

    def forward(self, lr: Tensor, code: Tensor) -> Tensor:
        """Map lr (B, 3, H, W) and code (B, code_dim) to sr (B, 3, scale*H, scale*W), both in [0, 255]."""
        code = self.code_map(code)  # (B, C)
        shallow = as_autocast(at_full_precision(self.first_conv, self.sub_mean(lr)))
        feat = self.upsampler(refine(self.body, shallow, code))
        return self.add_mean(at_full_precision(self.last_conv, feat))


class DASR(Network):
    """The whole: encode the LR image, then super-resolve it under its code.

    Args:
        scale: 1 to 4.
        size: the published size by default.
    """

    is_contrastive = True

    def __init__(self, *, scale: int, size: DASRSize | None = None) -> None:
        super().__init__()
        size = size or DASRSize()
        self.scale = scale
        self.size = size
        trunk = DegradationEncoder(widths=size.encoder_widths)
        self.encoder = Encoder(trunk, code_dim=size.encoder_widths[-1], divisor=1.0)
        self.sr_network = DASRNetwork(scale=scale, size=size)
