"""Whether an encoder still tells images apart."""

from torch import Tensor

COLLAPSED = 1e-4
"""Spread of the codes at and below which they are one and the same, but for rounding."""


def code_spread(codes: Tensor) -> float:
    """How much codes (N, D), N above 1, differ from each other, relative to their length: 0 where all are equal."""
    codes = codes.cpu().double()  # MPS has no float64
    return float((codes - codes.mean(dim=0)).norm() / codes.norm().clamp_min(1e-30))
