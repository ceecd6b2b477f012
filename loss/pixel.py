"""The pixel loss, a weighted sum read from a string such as `1*L1+0.1*VGG54` (EDSR's syntax)."""

import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RGB_RANGE = 255.0
VGG_LAYERS = {"VGG22": 8, "VGG54": 35}
"""Layers of VGG19's feature stack kept, as EDSR and SRGAN count them."""


class VGGLoss(nn.Module):
    """Mean squared error between VGG19 features (SRGAN, Ledig et al., CVPR 2017, equation 5).

    torchvision and its ImageNet weights are needed; both are looked for only here.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str) -> None:
        super().__init__()
        try:
            from torchvision.models import VGG19_Weights, vgg19
        except (ImportError, RuntimeError) as error:
            raise ValueError(
                f"--loss {name} needs a torchvision that fits this PyTorch: pip install torchvision==0.28.0 ({error})"
            ) from error
        try:
            features = vgg19(weights=VGG19_Weights.IMAGENET1K_V1).features
        except OSError as error:
            raise ValueError(f"--loss {name} needs the ImageNet weights of VGG19, to be downloaded: {error}") from error
        self.features = features[: VGG_LAYERS[name]].eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Compare sr and hr, (B, 3, H, W) in [0, 255]."""
        with torch.no_grad():
            target = self.features((hr / RGB_RANGE - self.mean) / self.std)
        return F.mse_loss(self.features((sr / RGB_RANGE - self.mean) / self.std), target)


class PixelLoss(nn.Module):
    """Weighted sum of L1, MSE, VGG22 and VGG54 terms.

    Args:
        description: terms WEIGHT*NAME joined by +.
        rgb_range: L1 and MSE are measured on images scaled to [0, rgb_range].

    Raises:
        ValueError: the description does not parse, or a term needs what is not installed.
    """

    def __init__(self, description: str = "1*L1", *, rgb_range: float = RGB_RANGE) -> None:
        super().__init__()
        self.gain = rgb_range / RGB_RANGE
        self.weights: list[tuple[float, str]] = []
        self.perceptual = nn.ModuleDict()
        for term in description.split("+"):
            match = re.fullmatch(r"\s*(\d*\.?\d+(?:[eE]-?\d+)?)\*(\w+)\s*", term)
            if not match or match[2] not in {"L1", "MSE", *VGG_LAYERS}:
                raise ValueError(
                    f"--loss {description!r}: {term!r} is not WEIGHT*NAME with a name of L1, MSE, VGG22, VGG54"
                )
            weight, name = float(match[1]), match[2]
            self.weights.append((weight, name))
            if name in VGG_LAYERS:
                self.perceptual[name] = VGGLoss(name)

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Compare sr and hr, (B, 3, H, W) on the 0 to 255 scale; returns a scalar."""
        sr = sr.float() if sr.dtype in (torch.bfloat16, torch.half) else sr
        terms = [weight * self._term(name, sr, hr) for weight, name in self.weights]
        return torch.stack(terms).sum()

    def _term(self, name: str, sr: Tensor, hr: Tensor) -> Tensor:
        if name == "L1":
            return self.gain * F.l1_loss(sr, hr)
        if name == "MSE":
            return self.gain**2 * F.mse_loss(sr, hr)
        return self.perceptual[name](sr, hr)
