"""What inference, evaluation and training ask of the parts they are given."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from utils.known_degradation import KnownDegradation


class SuperResolver(Protocol):
    """A network that encodes an image, and super-resolves it under the code."""

    scale: int

    def encode(self, lr: Tensor, tile: int | None = None, /) -> Tensor:
        """Codes (B, D) of lr (B, 3, H, W) in [0, 255]; computed in tiles of this side, to bound the memory."""

    def super_resolve(self, lr: Tensor, code: Tensor) -> Tensor:
        """Super-resolve lr (B, 3, H, W) in [0, 255] under codes (B, D)."""


@runtime_checkable
class NonBlind(Protocol):
    """A network that is told the true degradation, which its code comes from; its `encode` refuses to guess."""

    def fit_kernels(self, kernels: Tensor) -> None:
        """Learn before training what the kernels (N, k, k) to come look like."""

    def encode_degradation(self, known_degradation: KnownDegradation) -> Tensor:
        """Codes (B, D) of B degradations, on the network's device."""


class Degrader(Protocol):
    """A degradation from HR to LR images."""

    def draw(self, batch_size: int, generator: torch.Generator) -> Any:
        """Draw the parameters of a batch on the CPU."""

    def apply(self, hr: Tensor, parameters: Any, noise_generator: torch.Generator | None) -> Tensor:
        """Degrade HR images on their device."""

    def known_degradation(self, parameters: Any) -> KnownDegradation | None:
        """What a model may be told of them; None where the blur varies over the image."""


class Sample(Protocol):
    """An LR image with its HR original; both (H, W, 3) uint8 RGB."""

    @property
    def image(self) -> str:
        """Name of the image."""

    @property
    def kernel(self) -> str:
        """Label of the kernel."""

    @property
    def lr(self) -> np.ndarray:
        """The degraded image."""

    @property
    def hr(self) -> np.ndarray:
        """The original."""

    @property
    def known_degradation(self) -> KnownDegradation | None:
        """What degraded it, of one image; None where that is not known."""


class Samples(Protocol):
    """An indexable set of samples; indexing a corrupt one raises ValueError."""

    @property
    def keys(self) -> list[tuple[str, str]]:
        """(image, test kernel) of every sample, known without reading any."""

    def __len__(self) -> int:
        """Number of samples."""

    def __getitem__(self, index: int, /) -> Sample:
        """Read one."""
