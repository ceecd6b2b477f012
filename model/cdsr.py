"""CDSR: the SR network G, steered by the code of the encoder E (CDSR, figure 2)."""

from functools import partial
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from model.common import RGB_RANGE, as_autocast, at_full_precision
from model.dasr_encoder import DegradationEncoder
from model.dqa import DQA, REDUCTION
from model.dynamic_conv import DABlock, DAConv
from model.encoder import Encoder
from model.lpe import LPE
from model.network import Network
from model.rrdb import RESIDUAL_SCALE, ResidualDenseBlock
from model.variant import Variant

NUM_CODE_LAYERS = 4
NUM_DENSE_BLOCKS = 3


class CDSRSize(NamedTuple):
    """The numbers that set the cost of a CDSR; the defaults are the published ones."""

    num_features: int = 64
    growth: int = 32
    num_blocks: int = 10
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

    def forward(self, feat: Tensor, code: Tensor) -> Tensor:
        """Refine feat (B, C, H, W) under the shared code (B, code_dim); the shape stays."""
        return feat + RESIDUAL_SCALE * self.dense_blocks(self.modulation(feat, code))


class SRNetwork(nn.Module):
    """G: from an LR image and its code to the SR image."""

    def __init__(self, *, scale: int, size: CDSRSize, dqa: bool) -> None:
        super().__init__()
        features, code_dim = size.num_features, size.code_dim
        self.scale = scale
        self.code_map = nn.Sequential()
        for _ in range(NUM_CODE_LAYERS):
            self.code_map.extend([nn.Linear(code_dim, code_dim), nn.PReLU()])
        self.head = nn.Conv2d(3, features, 3, padding=1)
        self.blocks = nn.ModuleList(CDSRBlock(features, size.growth, code_dim, dqa) for _ in range(size.num_blocks))
        self.trunk_conv = nn.Conv2d(features, features, 3, padding=1)
        self.tail = nn.Conv2d(features, 3 * scale**2, 3, padding=1)

    def forward(self, lr: Tensor, code: Tensor) -> Tensor:
        """Map lr (B, 3, H, W) and code (B, code_dim) to sr (B, 3, scale*H, scale*W), both in [0, 255]."""
        code = self.code_map(code)
        shallow = as_autocast(at_full_precision(self.head, lr / RGB_RANGE))
        feat = shallow
        for block in self.blocks:
            feat = block(feat, code)
        sr = at_full_precision(self.tail, self.trunk_conv(feat) + shallow)
        return F.pixel_shuffle(sr, self.scale) * RGB_RANGE


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
    assumes_s_fold = True

    def __init__(self, *, scale: int, size: CDSRSize | None = None, variant: Variant | None = None) -> None:
        super().__init__()
        size, variant = size or CDSRSize(), variant or Variant()
        self.scale = scale
        self.size = size
        self.variant = variant
        self.encoder = Encoder(
            build_lpe(variant.lpe, size), code_dim=size.code_dim, num_codes=size.num_codes if variant.csc else None
        )
        self.sr_network = SRNetwork(scale=scale, size=size, dqa=variant.dqa)
