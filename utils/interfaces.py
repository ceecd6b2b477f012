"""What inference, evaluation and training ask of the parts they are given."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from utils.known_degradation import EstimatedDegradation, KnownDegradation


class SuperResolver(Protocol):
    """A network that encodes an image, and super-resolves it under the code."""

    scale: int

    def encode(self, lr: Tensor, tile: int | None = None, /) -> Tensor:
        """Codes (B, D) of lr (B, 3, H, W) in [0, 255]; computed in tiles of this side, to bound the memory."""

    def super_resolve(self, lr: Tensor, code: Tensor) -> Tensor:
        """Super-resolve lr (B, 3, H, W) in [0, 255] under codes (B, D)."""

    def estimate(self, lr: Tensor, tile: int | None = None, /) -> EstimatedDegradation | None:
        """Read the degradations off lr; None where the network does not."""


@runtime_checkable
class NonBlind(Protocol):
    """A network that is told the true degradation, which its code comes from; its `encode` refuses to guess."""

    def fit_kernels(self, kernels: Tensor) -> None:
        """Learn before training what the kernels (N, k, k) to come look like."""

    def encode_degradation(self, known_degradation: KnownDegradation) -> Tensor:
        """Codes (B, D) of B degradations, on the network's device."""
