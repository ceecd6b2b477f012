"""CDSR: the SR network G, steered by the code of the encoder E (CDSR, figure 2)."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.common import RGB_RANGE, as_autocast, at_full_precision
from model.dasr_encoder import DegradationEncoder
from model.degradation_head import DegradationHead
from model.dqa import DQA, REDUCTION
from model.dynamic_conv import DABlock, DAConv, Pool, spatial_mean
from model.encoder import Encoder
from model.lpe import LPE
from model.network import Network
from model.residual import ResidualBlock
from model.rrdb import RESIDUAL_SCALE, ResidualDenseBlock
from model.variant import Variant
from utils.known_degradation import EstimatedDegradation

NUM_DENSE_BLOCKS = 3
TAIL_GAIN = 0.1
"""Of the tail's initial weights where the image itself is added to the result."""


class CDSRSize(NamedTuple):
    """The numbers that set the cost of a CDSR; the defaults are the published ones.

    num_residual_blocks: plain residual blocks after each modulation, with the image as a shortcut around the whole
        network; 0: three residual dense blocks and no such shortcut, as published.
    """

    num_features: int = 64
    growth: int = 32
    num_blocks: int = 10
    num_residual_blocks: int = 0
    num_code_layers: int = 4
    encoder_widths: tuple[int, int, int] = (64, 128, 256)
    code_dim: int = 256
    num_codes: int = 1024


class CodeModulation(DABlock):
    """DASR's block with DQA, under a code of its own; without the query, where dqa is false."""

    def __init__(self, num_features: int, code_dim: int, dqa: bool) -> None:
        code_map = nn.Sequential(
            nn.Linear(code_dim, code_dim), nn.PReLU(), nn.Linear(code_dim, num_features), nn.Sigmoid()
        )
        super().__init__(num_features, DQA if dqa else partial(DAConv, reduction=REDUCTION), code_map)


class CDSRBlock(nn.Module):
    """Code modulation, then three residual dense blocks, with a scaled shortcut."""

    def __init__(self, num_features: int, growth: int, code_dim: int, dqa: bool) -> None:
        super().__init__()
        self.modulation = CodeModulation(num_features, code_dim, dqa)
        self.dense_blocks = nn.Sequential(*(ResidualDenseBlock(num_features, growth) for _ in range(NUM_DENSE_BLOCKS)))

    def forward(self, feat: Tensor, code: Tensor, pool: Pool = spatial_mean) -> Tensor:
        """Refine feat (B, C, H, W) under the shared code (B, code_dim); the shape stays."""
        return feat + RESIDUAL_SCALE * self.dense_blocks(self.modulation(feat, code, pool))


class PlainBlock(nn.Module):
    """Code modulation, then plain residual blocks: wide and simple convolutions, which processors are fastest at."""

    def __init__(self, num_features: int, num_residual_blocks: int, code_dim: int, dqa: bool) -> None:
        super().__init__()
        self.modulation = CodeModulation(num_features, code_dim, dqa)
        self.residual_blocks = nn.Sequential(*(ResidualBlock(num_features) for _ in range(num_residual_blocks)))

    def forward(self, feat: Tensor, code: Tensor, pool: Pool = spatial_mean) -> Tensor:
        """Refine feat (B, C, H, W) under the shared code (B, code_dim); the shape stays."""
        return self.residual_blocks(self.modulation(feat, code, pool))


def build_blocks(size: CDSRSize, dqa: bool) -> Sequence[nn.Module]:
    """Make the blocks of the SR network."""
    features, code_dim = size.num_features, size.code_dim
    if size.num_residual_blocks:
        return [PlainBlock(features, size.num_residual_blocks, code_dim, dqa) for _ in range(size.num_blocks)]
    return [CDSRBlock(features, size.growth, code_dim, dqa) for _ in range(size.num_blocks)]


class SRNetwork(nn.Module):
    """G: from an LR image and its code to the SR image."""

    def __init__(self, *, scale: int, size: CDSRSize, dqa: bool) -> None:
        super().__init__()
        features, code_dim = size.num_features, size.code_dim
        self.scale = scale
        self.code_map = nn.Sequential()
        for _ in range(size.num_code_layers):
            self.code_map.extend([nn.Linear(code_dim, code_dim), nn.PReLU()])
        self.head = nn.Conv2d(3, features, 3, padding=1)
        self.blocks = nn.ModuleList(build_blocks(size, dqa))
        self.trunk_conv = nn.Conv2d(features, features, 3, padding=1)
        self.tail = nn.Conv2d(features, 3 * scale**2, 3, padding=1)
        self.has_image_shortcut = size.num_residual_blocks > 0
        if self.has_image_shortcut:
            self.tail.weight.data.mul_(TAIL_GAIN)

    def forward(self, lr: Tensor, code: Tensor, pooled: Tensor | None = None) -> Tensor:
        """Map lr (B, 3, H, W) and code (B, code_dim) to sr (B, 3, scale*H, scale*W), both in [0, 255].

        pooled: what `pool` gave for the image that lr is a tile of.
        """
        code = self.code_map(code)
        pixels = lr / RGB_RANGE
        shallow = feat = self._shallow(pixels)
        pool = spatial_mean if pooled is None else recall(pooled)
        for block in self.blocks:
            feat = block(feat, code, pool)
        sr = at_full_precision(self.tail, self.trunk_conv(feat) + shallow)  # (B, 3*s*s, H, W)
        if self.has_image_shortcut:
            sr = sr + pixels.repeat_interleave(self.scale**2, dim=1)
        return F.pixel_shuffle(sr, self.scale) * RGB_RANGE

    def pool(self, lr: Tensor, code: Tensor) -> Tensor:
        """Tell what the queries pool of lr (B, 3, H, W) under code (B, code_dim): (B, num_queries, C), float32."""
        means: list[Tensor] = []

        def pool(feat: Tensor) -> Tensor:
            means.append(spatial_mean(feat))
            return means[-1]

        code = self.code_map(code)
        feat = self._shallow(lr / RGB_RANGE)
        *blocks, last = self.blocks
        for block in blocks:
            feat = block(feat, code, pool)
        last.modulation(feat, code, pool)  # type: ignore[operator]
        return torch.stack(means, dim=1).float()

    def _shallow(self, pixels: Tensor) -> Tensor:
        return as_autocast(at_full_precision(self.head, pixels))


def recall(pooled: Tensor) -> Pool:
    """Pool as told by (B, num_queries, C), a query after the other, whatever the feature."""
    told = iter(pooled.unbind(1))
    return lambda feat: next(told)


def build_lpe(kind: str, size: CDSRSize) -> nn.Module:
    """Make the trunk of the encoder, one of `LPE_KINDS`."""
    if kind == "naive":
        assert size.encoder_widths[-1] == size.code_dim
        return DegradationEncoder(widths=size.encoder_widths)
    return LPE(widths=size.encoder_widths, feature_dim=size.code_dim, branches=kind)


class CDSR(Network):
    """The whole: encode the LR image, then super-resolve it under its code.

    Args:
        scale: 1 to 4.
        size: the published size by default.
        variant: the whole by default.
    """

    is_contrastive = True
    has_variants = True

    def __init__(self, *, scale: int, size: CDSRSize | None = None, variant: Variant | None = None) -> None:
        super().__init__()
        size, variant = size or CDSRSize(), variant or Variant()
        self.assumes_s_fold = not variant.compression  # which is learnt on real images, on the grid of interpolation
        head = partial(DegradationHead, size.code_dim, size.code_dim, scale=scale, compression=variant.compression)
        self.is_pooling = variant.dqa
        self.scale = scale
        self.size = size
        self.variant = variant
        self.encoder = Encoder(
            build_lpe(variant.lpe, size),
            code_dim=size.code_dim,
            num_codes=size.num_codes if variant.csc else None,
            head=head() if variant.head else None,
        )
        self.sr_network = SRNetwork(scale=scale, size=size, dqa=variant.dqa)

    def estimate(self, lr: Tensor, tile: int | None = None) -> EstimatedDegradation | None:
        """Read the degradations off lr (B, 3, H, W) in [0, 255]; None without a head."""
        if self.encoder.head is None:
            return None
        return self.encoder.head.estimate(self.encoder.represent(lr, tile))
