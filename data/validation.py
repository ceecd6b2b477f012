"""Validation on held-out images: the training's degradation, with parameters that stay the same for every epoch."""

import torch

from data.degradation import Degradation
from data.samples import Sample, Samples
from data.sources import ImageSource
from utils.image import middle, to_tensor, to_uint8

KERNEL = "random"
LARGEST_SIDE = 480
"""HR pixels; the middle of a larger image is used, so that a validation costs little beside an epoch."""


class ValidationSet(Samples):
    """Held-out images, each under one random kernel and noise level that its position alone decides.

    Args:
        source: the images.
        degradation: the one trained for.
    """

    def __init__(self, source: ImageSource, degradation: Degradation) -> None:
        self.source = source
        self.degradation = degradation

    @property
    def keys(self) -> list[tuple[str, str]]:
        return [(name, KERNEL) for name in self.source.names]

    def read(self, index: int) -> Sample:
        image, scale = self.source.image(index), self.degradation.config.scale
        height, width = (min(side, LARGEST_SIDE) // scale * scale for side in image.shape[:2])
        hr = middle(image, height, width)
        generator = torch.Generator().manual_seed(index)
        parameters = self.degradation.draw(1, generator)
        lr = self.degradation.apply(to_tensor(hr)[None], parameters, generator)[0]
        known_degradation = self.degradation.known_degradation(parameters)
        return Sample(self.source.names[index], KERNEL, to_uint8(lr), hr, known_degradation)
