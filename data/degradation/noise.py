"""Gaussian noise, and the step to 8 bits that ends every degradation."""

import torch
from torch import Tensor

from data.degradation.base import Generators
from utils.device import send


def gaussian_noise(shape: torch.Size, level: Tensor, generator: Generators) -> Tensor:
    """Noise of the given shape (B, ...), whose standard deviation is level (B,), in the units of the image.

    It is drawn on the generator's device, independently for each value. level: on the CPU; copied without waiting.
    generator: for the batch, or one for each of its B rows.
    """
    if isinstance(generator, torch.Generator):
        noise = torch.randn(shape, generator=generator, device=generator.device)
    else:
        noise = torch.stack([torch.randn(shape[1:], generator=own, device=own.device) for own in generator])
    level = send(level, noise.device, noise.dtype)
    return noise.mul_(level.reshape(-1, *(1,) * (len(shape) - 1)))


def quantise(image: Tensor) -> Tensor:
    """Clip to [0, 255] and round to whole grey levels (ties to even); the type stays."""
    return image.clamp(0, 255).round()
