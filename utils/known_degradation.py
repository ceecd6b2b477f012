"""The true degradation of images, where it is known: what a model may be told instead of estimating it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from utils.device import send


@dataclass(frozen=True)
class KnownDegradation:
    """What blurred and disturbed B images, each of them all over alike."""

    kernels: Tensor  # (B, k, k) float32, each of sum 1
    noise: Tensor  # (B,) float32: standard deviation, grey levels of 0 to 255

    def to(self, device: torch.device) -> "KnownDegradation":
        """Copy to a device."""
        return KnownDegradation(send(self.kernels, device), send(self.noise, device))
