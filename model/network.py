"""What every network of the registry is: what it can do, and how it is called."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn

from utils.known_degradation import EstimatedDegradation, KnownDegradation


class Network(nn.Module):
    """Base class of the networks. The class variables are its traits; a plain SR network needs none of them.

    Attributes:
        is_trainable: it has weights, which are trained here.
        is_contrastive: its `encoder`, an `Encoder`, makes the code, and is the query encoder of momentum contrast.
        is_non_blind: it is told the degradation (`NonBlind`) and takes `kernel_size`.
        has_variants: it takes and keeps a `variant`: parts that can be left out.
        assumes_s_fold: weights whose file does not say so, as published ones do not, were trained on s-fold samples.
        is_pooling: its `sr_network` pools over the image: it has `pool(lr, code)`, and takes what that gave for the
            whole image as a third argument, beside a tile and the code.
        trained_for: metadata of the file that its weights are of, which name the degradation; empty where it has none.
        scale: the upscaling factor.
        size: the numbers that set its cost, where it can be had in several sizes.
        sr_network: maps (lr, code) to sr, unless `super_resolve` does otherwise.
    """

    is_trainable: ClassVar[bool] = True
    is_contrastive: ClassVar[bool] = False
    is_non_blind: ClassVar[bool] = False
    has_variants: ClassVar[bool] = False

    assumes_s_fold: bool = False
    is_pooling: bool = False
    trained_for: Mapping[str, Any] = MappingProxyType({})
    scale: int
    size: Any
    encoder: Any
    sr_network: Any
    variant: Any

    def encode(self, lr: Tensor, known: KnownDegradation | None = None, *, tile: int | None = None) -> Tensor:
        """Encode lr (B, 3, H, W) in [0, 255] as codes (B, D), with D = 0 where there is no encoder.

        Args:
            lr: (B, 3, H, W).
            known: what degraded the images, where it is known; a blind network does not read it.
            tile: encode in tiles of this side, to bound the memory.
        """
        return self.encoder(lr, tile) if self.is_contrastive else lr.new_empty(len(lr), 0)

    def estimate(self, lr: Tensor, tile: int | None = None) -> EstimatedDegradation | None:
        """Read the degradations off lr (B, 3, H, W) in [0, 255]; None where the code is not made of them."""
        return None

    def super_resolve(self, lr: Tensor, code: Tensor) -> Tensor:
        """Super-resolve lr (B, 3, H, W) RGB in [0, 255] under codes (B, D).

        Returns:
            (B, 3, scale*H, scale*W) RGB around [0, 255], neither clipped nor rounded.
        """
        return self.sr_network(lr, code)

    def forward(self, lr: Tensor) -> Tensor:
        """Encode lr (B, 3, H, W) in [0, 255] and super-resolve it under its code, as `super_resolve` does."""
        return self.super_resolve(lr, self.encode(lr))


class NonBlind(Network):
    """A network whose code is of the true degradation; its `encode` refuses to guess, with a ValueError."""

    is_non_blind = True

    def fit_kernels(self, kernels: Tensor) -> None:
        """Learn before training what the kernels (N, k, k) to come look like."""
        raise NotImplementedError


@runtime_checkable
class Foreign(Protocol):
    """A network of other people that a file of weights brings with it: there is none before, and none is trained."""

    def open_file(self, path: Path) -> None:
        """Take the network that a file holds. ValueError: it cannot be read, or is no network for this scale."""
