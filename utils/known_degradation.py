"""The degradation of images: the true one, where it is known and a model may be told it, and an estimated one."""

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


@dataclass(frozen=True)
class EstimatedDegradation:
    """What a model read off B images: a Gaussian kernel and a noise level for each."""

    covariance: Tensor  # (B, 3): variance along x (columns), along y (rows), covariance; squared HR pixels
    noise: Tensor  # (B,): standard deviation, grey levels of 0 to 255
