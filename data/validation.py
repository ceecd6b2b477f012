"""Validation on held-out pictures: the training's degradation, with parameters that stay the same for every epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from data.degradation import Degradation
from utils.pictures.image import to_tensor, to_uint8
from utils.truth import Truth

if TYPE_CHECKING:
    from data import ValidationPicture

CASE = "random"
LARGEST_SIDE = 480
"""HR pixels; the middle of a larger picture is used, so that a validation costs little beside an epoch."""


@dataclass(frozen=True)
class ValidationSample:
    """A held-out picture and its degraded version, both (H, W, 3) uint8 RGB, with what degraded it."""

    picture: str
    case: str
    lr: np.ndarray
    hr: np.ndarray
    truth: Truth | None


class ValidationSet:
    """Held-out pictures, each under one random kernel and noise level that its position alone decides.

    Args:
        pictures: what to read.
        degradation: the one trained for.
    """

    def __init__(self, pictures: Sequence["ValidationPicture"], degradation: Degradation) -> None:
        self.pictures = pictures
        self.degradation = degradation

    @property
    def keys(self) -> list[tuple[str, str]]:
        """(picture, case) of every sample."""
        return [(picture.name, CASE) for picture in self.pictures]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> ValidationSample:
        hr = crop_middle(self.pictures[index].read(), self.degradation.config.scale)
        generator = torch.Generator().manual_seed(index)
        parameters = self.degradation.draw(1, generator)
        lr = self.degradation.apply(to_tensor(hr)[None], parameters, generator)[0]
        truth = self.degradation.truth(parameters)
        return ValidationSample(self.pictures[index].name, CASE, to_uint8(lr), hr, truth)


def crop_middle(hr: np.ndarray, scale: int) -> np.ndarray:
    """Cut the middle of a picture, at most LARGEST_SIDE pixels a side, to a multiple of the scale."""
    height, width = (min(side, LARGEST_SIDE) // scale * scale for side in hr.shape[:2])
    top, left = (hr.shape[0] - height) // 2, (hr.shape[1] - width) // 2
    return hr[top : top + height, left : left + width]
