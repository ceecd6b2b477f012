"""The pixel loss, a weighted sum read from a string such as `1*L1+0.1*VGG54` (EDSR's syntax)."""

import re
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from loss.vgg import VGG_LAYERS, VGGLoss

LEAST_MSE = 1.0
"""Squared grey levels added to an image's error: what is better than 48 dB need not get better still."""


class PSNRLoss(nn.Module):
    """Minus the PSNR, but for a constant (HINet, Chen et al., CVPRW 2021, equation 2); in dB, at least 0.

    Each image counts alike, as in the mean PSNR of a test set, while under L1 a smooth image counts less than a
    detailed one.
    """

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Compare sr and hr, (B, 3, H, W) in [0, 255]; returns a scalar, the mean over the images."""
        error = (sr - hr).square().mean(dim=(1, 2, 3))  # (B,)
        return 10 * (error + LEAST_MSE).log10().mean()


TERMS: dict[str, Callable[[], nn.Module]] = {
    "L1": nn.L1Loss,
    "MSE": nn.MSELoss,
    "PSNR": PSNRLoss,
    **{name: partial(VGGLoss, name) for name in VGG_LAYERS},
}
"""Losses of (sr, hr), (B, 3, H, W) RGB in [0, 255], by the name that `--loss` takes."""


def parse_loss(description: str) -> list[tuple[float, str]]:
    """Read terms WEIGHT*NAME joined by + as (weight, name).

    Raises:
        ValueError: the description does not parse.
    """
    terms = []
    for term in description.split("+"):
        match = re.fullmatch(r"\s*(\d*\.?\d+(?:[eE]-?\d+)?)\*(\w+)\s*", term)
        if not match or match[2] not in TERMS:
            raise ValueError(f"--loss {description!r}: {term!r} is not WEIGHT*NAME with a name of {', '.join(TERMS)}")
        terms.append((float(match[1]), match[2]))
    return terms


class PixelLoss(nn.Module):
    """Weighted sum of the losses in `TERMS`.

    Args:
        description: as `parse_loss` reads it.

    Raises:
        ValueError: the description does not parse, or a term needs what is not installed.
    """

    def __init__(self, description: str = "1*L1") -> None:
        super().__init__()
        weights, names = zip(*parse_loss(description), strict=True)
        self.weights: tuple[float, ...] = weights
        self.terms = nn.ModuleList(TERMS[name]() for name in names)

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Compare sr and hr, (B, 3, H, W) in [0, 255]; returns a scalar."""
        sr = sr.float() if sr.dtype in (torch.bfloat16, torch.half) else sr
        return torch.stack([weight * term(sr, hr) for weight, term in zip(self.weights, self.terms, strict=True)]).sum()
