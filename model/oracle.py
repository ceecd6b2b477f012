"""The oracle: CDSR's SR network told the true blur kernel and noise level, in place of the encoder's code.

The bound of what predicting the kernel can reach. A degradation is a vector as in SRMD (Zhang et al., CVPR 2018): the
kernel in its principal components, and the noise level. A linear layer makes it a code, which the SR network maps on
as it does the encoder's. The components are buffers, so that a checkpoint needs nothing else.
"""

import torch
from torch import Tensor, nn

from model.cdsr import CDSRSize, SRNetwork
from model.common import LARGEST_NOISE
from model.network import NonBlind
from utils.known_degradation import KnownDegradation

NUM_COMPONENTS = 15
KERNEL_SIZE = 21
SMALLEST_SPREAD = 1e-3
"""Kernels that are all but the same are not blown up to differ."""

UNKNOWN = (
    "an oracle (CDSR_oracle, CDSR_S_oracle) is told the true kernel and noise level, and nobody knows them here: test "
    "it on test sets with one kernel for a whole image, or take CDSR or CDSR_S, which estimate them"
)


class KernelPCA(nn.Module):
    """The first principal components of k x k kernels, in units of the spread of the first.

    mean: (k*k,). basis: (15, k*k), orthonormal rows. spread: standard deviation of the first coefficient.
    """

    mean: Tensor
    basis: Tensor
    spread: Tensor

    def __init__(self, kernel_size: int = KERNEL_SIZE) -> None:
        super().__init__()
        num_values = kernel_size**2
        if num_values < NUM_COMPONENTS:
            raise ValueError(f"--blur_kernel {kernel_size} is too small for an oracle, which takes 5 or more")
        self.kernel_size = kernel_size
        self.register_buffer("mean", torch.zeros(num_values))
        self.register_buffer("basis", torch.eye(NUM_COMPONENTS, num_values))
        self.register_buffer("spread", torch.ones(()))

    def fit(self, kernels: Tensor) -> None:
        """Find the components of kernels (N, k, k); the same on every machine, to rounding."""
        flat = kernels.flatten(1).double()  # (N, k*k)
        mean = flat.mean(dim=0)
        centred = flat - mean
        _, vectors = torch.linalg.eigh(centred.T @ centred)  # columns, by rising variance
        basis = vectors.T.flip(0)[:NUM_COMPONENTS]
        # The sign of a component is free: its first large value is made positive.
        is_large = basis.abs() > basis.abs().amax(dim=1, keepdim=True) / 2
        first = is_large.int().argmax(dim=1, keepdim=True)
        basis = basis * basis.gather(1, first).sign()
        self.mean.copy_(mean)
        self.basis.copy_(basis)
        self.spread.copy_((centred @ basis[0]).std().clamp(min=SMALLEST_SPREAD))

    def forward(self, kernels: Tensor) -> Tensor:
        """Coefficients (B, 15) of kernels (B, k, k)."""
        if kernels.shape[-1] != self.kernel_size:
            raise ValueError(
                f"the blur kernels are of side {kernels.shape[-1]} and the oracle's of side {self.kernel_size}: "
                "test it under the --blur_kernel that it was trained with"
            )
        return (kernels.flatten(1) - self.mean) @ self.basis.T / self.spread


class DegradationEmbedding(nn.Module):
    """From a kernel and a noise level to a code, in float32 throughout: a code in bf16 would confuse kernels."""

    def __init__(self, code_dim: int, kernel_size: int) -> None:
        super().__init__()
        self.pca = KernelPCA(kernel_size)
        self.linear = nn.Linear(NUM_COMPONENTS + 1, code_dim)

    def forward(self, kernels: Tensor, noise: Tensor) -> Tensor:
        """Encode kernels (B, k, k) and noise levels (B,) in grey levels as codes (B, code_dim)."""
        with torch.autocast(kernels.device.type, enabled=False):
            vector = torch.cat([self.pca(kernels), noise[:, None] / LARGEST_NOISE], dim=1)  # (B, 16)
            return self.linear(vector)


class Oracle(NonBlind):
    """CDSR's SR network under codes of the true degradation.

    Args:
        scale: 1 to 4.
        size: the published size by default; what it says of the encoder is not read.
        kernel_size: side of the kernels that it is told.
    """

    is_pooling = True

    def __init__(self, *, scale: int, size: CDSRSize | None = None, kernel_size: int = KERNEL_SIZE) -> None:
        super().__init__()
        self.scale = scale
        self.size = size or CDSRSize()
        self.encoder = DegradationEmbedding(self.size.code_dim, kernel_size)
        self.sr_network = SRNetwork(scale=scale, size=self.size, dqa=True)

    def fit_kernels(self, kernels: Tensor) -> None:
        """Fit the principal components to kernels (N, k, k)."""
        self.encoder.pca.fit(kernels)

    def encode(self, lr: Tensor, known: KnownDegradation | None = None, *, tile: int | None = None) -> Tensor:
        """Encode the true degradations of B images as codes (B, code_dim); a ValueError where they are not known."""
        if known is None:
            raise ValueError(UNKNOWN)
        known = known.to(lr.device)
        return self.encoder(known.kernels, known.noise)
