"""Reading the degradation off a feature, and making a code of it (ours, not in the paper).

An SR network that is to trust its code learns first under the code of the true degradation, as a teacher does in KDSR
(Xia et al., ICLR 2023) and LightBSR (ICCV 2025). A degradation is here six numbers: the covariance of the blur kernel,
the logarithms of its two eigenvalues, and the noise level; or seven, with the strength of JPEG compression. The same
layers make a code of the true numbers and of those that are read off an image, so that the SR network cannot tell the
teacher from the pupil.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.common import LARGEST_NOISE, NEGATIVE_SLOPE
from utils.known_degradation import EstimatedDegradation, KnownDegradation, principal_variances

SMALLEST_VARIANCE = 0.1
"""Squared HR pixels: narrower kernels are as good as none."""

STRONGEST_COMPRESSION = 70.0
"""Steps of JPEG quality below 100 that count as 1: the strongest of BSRGAN and Real-ESRGAN."""

NUM_NUMBERS = 6
"""Without compression."""


def kernel_covariance(kernels: Tensor) -> Tensor:
    """Second central moments of kernels.

    Args:
        kernels: (B, k, k), each of sum 1.

    Returns:
        (B, 3): variance along the columns' axis x, along the rows' axis y, and their covariance; squared HR pixels.
    """
    position = torch.arange(kernels.shape[-1], dtype=kernels.dtype, device=kernels.device)
    along_x, along_y = kernels.sum(dim=1), kernels.sum(dim=2)  # (B, k)
    mean_x, mean_y = along_x @ position, along_y @ position  # (B,)
    var_x = along_x @ position.square() - mean_x.square()
    var_y = along_y @ position.square() - mean_y.square()
    cov = torch.einsum("bij,i,j->b", kernels, position, position) - mean_x * mean_y
    return torch.stack([var_x, var_y, cov], dim=1)


class DegradationHead(nn.Module):
    """Numbers off a feature, and a code of numbers; float32 throughout, since bf16 would confuse kernels.

    Args:
        feature_dim: length of the feature.
        code_dim: length of the code.
        scale: the factor, in whose units the covariance counts.
        compression: whether the strength of JPEG compression is one of the numbers.
    """

    def __init__(self, feature_dim: int, code_dim: int, *, scale: int, compression: bool = False) -> None:
        super().__init__()
        self.scale = scale
        self.compression = compression
        num_numbers = NUM_NUMBERS + compression
        self.read = nn.Sequential(nn.LeakyReLU(NEGATIVE_SLOPE), nn.Linear(feature_dim, num_numbers))
        self.embed = nn.Sequential(
            nn.Linear(num_numbers, code_dim), nn.LeakyReLU(NEGATIVE_SLOPE), nn.Linear(code_dim, code_dim)
        )

    def forward(self, feature: Tensor) -> Tensor:
        """Make codes (B, code_dim) of the degradations that features (B, feature_dim) tell."""
        with torch.autocast(feature.device.type, enabled=False):
            return self.embed(self.read(feature.float()))

    def encode(self, known: KnownDegradation) -> Tensor:
        """Make codes (B, code_dim) of known degradations."""
        with torch.autocast(known.noise.device.type, enabled=False):
            return self.embed(self.numbers_of(known))

    def loss(self, feature: Tensor, known: KnownDegradation) -> Tensor:
        """Mean absolute difference of the numbers read off features and the true ones."""
        with torch.autocast(feature.device.type, enabled=False):
            return F.l1_loss(self.read(feature.float()), self.numbers_of(known))

    def numbers_of(self, known: KnownDegradation) -> Tensor:
        """The numbers (B, 6 or 7) of known degradations."""
        numbers = self.numbers(kernel_covariance(known.kernels), known.noise)
        if not self.compression:
            return numbers
        strength = 0 * known.noise if known.quality is None else (100 - known.quality) / STRONGEST_COMPRESSION
        return torch.cat([numbers, strength[:, None]], dim=1)

    def numbers(self, covariance: Tensor, noise: Tensor) -> Tensor:
        """The first six (B, 6), of covariances (B, 3) in squared HR pixels and noise levels (B,) in grey levels."""
        eigenvalues = torch.stack(principal_variances(covariance), dim=1)
        logarithms = eigenvalues.clamp_min(SMALLEST_VARIANCE).log()
        return torch.cat([covariance / self._unit, logarithms, noise[:, None] / LARGEST_NOISE], dim=1)

    def estimate(self, feature: Tensor) -> EstimatedDegradation:
        """What a feature (B, feature_dim) says."""
        numbers = self.read(feature.float())
        quality = 100 - numbers[:, NUM_NUMBERS] * STRONGEST_COMPRESSION if self.compression else None
        return EstimatedDegradation(numbers[:, :3] * self._unit, numbers[:, 5] * LARGEST_NOISE, quality)

    @property
    def _unit(self) -> float:
        """Half the largest variance of protocol cdsr."""
        return 1.25 * self.scale
