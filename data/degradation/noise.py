"""Gaussian noise, and the step to 8 bits that ends every degradation."""

import torch
from torch import Tensor

from utils.device import send


def gaussian_noise(shape: torch.Size, level: Tensor, generator: torch.Generator) -> Tensor:
    """Noise of the given shape (B, ...), whose standard deviation is level (B,), in the units of the image.

    It is drawn on the generator's device, independently for each value. level: on the CPU; copied without waiting.
    """
    noise = torch.randn(shape, generator=generator, device=generator.device)
    level = send(level, noise.device, noise.dtype)
    return noise.mul_(level.reshape(-1, *(1,) * (len(shape) - 1)))


def quantise(image: Tensor) -> Tensor:
    """Clip to [0, 255] and round to whole grey levels (ties to even); the type stays."""
    return image.clamp(0, 255).round()
