"""Validation on held-out images: the training's degradation, with parameters that stay the same for every epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from data.degradation import Degradation
from utils.image import to_tensor, to_uint8
from utils.known_degradation import KnownDegradation

if TYPE_CHECKING:
    from data import ValidationImage

CASE = "random"
LARGEST_SIDE = 480
"""HR pixels; the middle of a larger image is used, so that a validation costs little beside an epoch."""


@dataclass(frozen=True)
class ValidationSample:
    """A held-out image and its degraded version, both (H, W, 3) uint8 RGB, with what degraded it."""

    image: str
    kernel: str
    lr: np.ndarray
    hr: np.ndarray
    known_degradation: KnownDegradation | None


class ValidationSet:
    """Held-out images, each under one random kernel and noise level that its position alone decides.

    Args:
        images: what to read.
        degradation: the one trained for.
    """

    def __init__(self, images: Sequence["ValidationImage"], degradation: Degradation) -> None:
        self.images = images
        self.degradation = degradation

    @property
    def keys(self) -> list[tuple[str, str]]:
        """(image, test kernel) of every sample."""
        return [(image.name, CASE) for image in self.images]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> ValidationSample:
        hr = crop_middle(self.images[index].read(), self.degradation.config.scale)
        generator = torch.Generator().manual_seed(index)
        parameters = self.degradation.draw(1, generator)
        lr = self.degradation.apply(to_tensor(hr)[None], parameters, generator)[0]
        known_degradation = self.degradation.known_degradation(parameters)
        return ValidationSample(self.images[index].name, CASE, to_uint8(lr), hr, known_degradation)


def crop_middle(hr: np.ndarray, scale: int) -> np.ndarray:
    """Cut the middle of an image, at most LARGEST_SIDE pixels a side, to a multiple of the scale."""
    height, width = (min(side, LARGEST_SIDE) // scale * scale for side in hr.shape[:2])
    top, left = (hr.shape[0] - height) // 2, (hr.shape[1] - width) // 2
    return hr[top : top + height, left : left + width]
