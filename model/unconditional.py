"""CDSR's SR network without a code: what a network reaches that is told nothing of the degradation."""

from torch import Tensor

from model.cdsr import CDSRSize, SRNetwork
from model.network import Network
from utils.known_degradation import KnownDegradation


class Unconditional(Network):
    """CDSR's SR network under a code of zeros, which its own biases make any constant.

    Args:
        scale: 1 to 4.
        size: the published size by default; what it says of the encoder is not read.
    """

    is_pooling = True

    def __init__(self, *, scale: int, size: CDSRSize | None = None) -> None:
        super().__init__()
        self.scale = scale
        self.size = size or CDSRSize()
        self.sr_network = SRNetwork(scale=scale, size=self.size, dqa=True)

    def encode(self, lr: Tensor, known: KnownDegradation | None = None, *, tile: int | None = None) -> Tensor:
        """Give each of B images the same code of zeros (B, code_dim)."""
        return lr.new_zeros(len(lr), self.size.code_dim)
