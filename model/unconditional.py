"""CDSR's SR network without a code: what a network reaches that is told nothing of the degradation."""

from torch import Tensor

from model.cdsr import CDSRSize, SRNetwork
from model.network import Network


class Unconditional(Network):
    """CDSR's SR network under a code of zeros, which its own biases make any constant.

    Args:
        scale: 1 to 4.
        size: the published size by default; what it says of the encoder is not read.
    """

    def __init__(self, *, scale: int, size: CDSRSize | None = None) -> None:
        super().__init__()
        self.scale = scale
        self.size = size or CDSRSize()
        self.sr_network = SRNetwork(scale=scale, size=self.size, dqa=True)

    def super_resolve(self, lr: Tensor, code: Tensor) -> Tensor:
        """Super-resolve lr (B, 3, H, W) in [0, 255]; code (B, 0) says nothing."""
        return self.sr_network(lr, lr.new_zeros(len(lr), self.size.code_dim))
