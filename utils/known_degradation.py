"""The degradation of images: the true one, where it is known and a model may be told it, and an estimated one."""

from dataclasses import dataclass

import torch
from torch import Tensor

from utils.device import send


@dataclass(frozen=True)
class KnownDegradation:
    """What blurred, disturbed and compressed B images, each of them all over alike."""

    kernels: Tensor  # (B, k, k) float32, each of sum 1
    noise: Tensor  # (B,) float32: standard deviation, grey levels of 0 to 255
    quality: Tensor | None = None  # (B,) float32: of a JPEG that came last, 100 without; None: there is none

    def to(self, device: torch.device) -> "KnownDegradation":
        """Copy to a device."""
        quality = None if self.quality is None else send(self.quality, device)
        return KnownDegradation(send(self.kernels, device), send(self.noise, device), quality)


def principal_variances(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """The eigenvalues of covariances (N, 3) as (xx, yy, xy): along the long axis and the short one, each (N,)."""
    var_x, var_y, cov = covariance.unbind(dim=1)
    half_sum, half_difference = (var_x + var_y) / 2, (((var_x - var_y) / 2).square() + cov.square()).sqrt()
    return half_sum + half_difference, half_sum - half_difference


@dataclass(frozen=True)
class EstimatedDegradation:
    """What a model read off B images: a Gaussian kernel, a noise level and a JPEG quality for each."""

    covariance: Tensor  # (B, 3): variance along x (columns), along y (rows), covariance; squared HR pixels
    noise: Tensor  # (B,): standard deviation, grey levels of 0 to 255
    quality: Tensor | None = None  # (B,): of a JPEG that came last, about 30 to 100; None: the model does not read it
