"""Perceptual loss on VGG19's features, which needs torchvision and its ImageNet weights."""

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
