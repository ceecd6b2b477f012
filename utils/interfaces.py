"""What the trainer, the evaluation and the tiling ask of the parts they are given."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from utils.known_degradation import KnownDegradation


class SuperResolver(Protocol):
    """Every network of the registry: a code for an image, and an SR image under that code."""

    scale: int

    def encode(self, lr: Tensor, tile: int | None = None, /) -> Tensor:
        """Codes (B, D) of lr (B, 3, H, W) in [0, 255]; computed in tiles of this side, to bound the memory."""

    def super_resolve(self, lr: Tensor, code: Tensor) -> Tensor:
        """Super-resolve lr (B, 3, H, W) in [0, 255] under codes (B, D)."""


@runtime_checkable
class NonBlind(Protocol):
    """A network that is told the known_degradation: its code is made of it, and its `encode` refuses to guess."""

    def fit_kernels(self, kernels: Tensor) -> None:
        """Learn before training what the kernels (N, k, k) to come look like."""

    def encode_degradation(self, known_degradation: KnownDegradation) -> Tensor:
        """Codes (B, D) of B degradations, on the network's device."""


class Stateful(Protocol):
    """What can be saved with a run."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resume needs."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Go back to a saved state."""


class BlindModel(SuperResolver, Stateful, Protocol):
    """A network that is trained: its encoder is the query encoder of momentum contrast, where there is contrast."""

    @property
    def encoder(self) -> nn.Module:
        """What makes the code."""

    def train(self, mode: bool = True) -> Any:
        """Go to training mode."""

    def eval(self) -> Any:
        """Go to evaluation mode."""


class Contrast(Stateful, Protocol):
    """Momentum contrast around an encoder."""

    def contrast(
        self, encoder: Any, query_lr: Tensor, key_lr: Tensor, shuffle_generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Codes and logits with gradients, and the keys."""

    def enqueue(self, keys: Tensor, *, unless: Tensor | None = None) -> None:
        """Remember the keys."""
