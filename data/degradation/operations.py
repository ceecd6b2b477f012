"""What happens to real images, one operation after another: blur, resizing, noise, JPEG.

An image is (H, W, 3) float32, BGR in [0, 255], which OpenCV and its JPEG take as they are. OpenCV's JPEG was the
fastest of what the project depends on: a third of the time of Pillow's for a patch of 128 pixels; simplejpeg, one
dependency more, took a fifth less.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from data.degradation.downsample import bicubic_matrix

METHODS = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
"""Of OpenCV: without antialiasing, but for "area"."""

ANTIALIASED = "antialiased bicubic"
"""MATLAB's, which makes the field's test sets without blur and noise."""


class Operation(ABC):
    """One step from HR to LR."""

    @abstractmethod
    def __call__(self, image: np.ndarray, hr_size: Sequence[int], generator: np.random.Generator) -> np.ndarray:
        """Change an image on its way from HR of hr_size (H, W)."""


@dataclass(frozen=True)
class Blur(Operation):
    """By a kernel (k, k) of sum 1 and odd side; edges are reflected."""

    kernel: np.ndarray

    def __call__(self, image: np.ndarray, hr_size: Sequence[int], generator: np.random.Generator) -> np.ndarray:
        return cv2.filter2D(image, -1, self.kernel, borderType=cv2.BORDER_REFLECT_101)


@dataclass(frozen=True)
class Resize(Operation):
    """To `shrink` HR pixels a pixel, from whatever size there is; the corners of both images coincide."""

    shrink: float
    method: str

    def __call__(self, image: np.ndarray, hr_size: Sequence[int], generator: np.random.Generator) -> np.ndarray:
        if self.method == ANTIALIASED:
            rows, columns = (_antialiased(side, int(self.shrink)) for side in hr_size)
            return np.ascontiguousarray(np.einsum("hH,HWc,wW->hwc", rows, image, columns, optimize=True))
        height, width = (math.ceil(side / self.shrink) for side in hr_size)
        return cv2.resize(image, (width, height), interpolation=METHODS[self.method])


def _antialiased(side: int, scale: int) -> np.ndarray:
    return bicubic_matrix(side, scale, "symmetric", torch.device("cpu"), torch.float32).numpy()


@dataclass(frozen=True)
class Noise(Operation):
    """is_grey: the same for all three colours."""

    strength: float
    is_grey: bool

    def _draw(self, image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Normal numbers of deviation `strength`, (H, W, 1 or 3)."""
        shape = (*image.shape[:2], 1 if self.is_grey else 3)
        return self.strength * generator.standard_normal(shape, dtype=np.float32)


class GaussianNoise(Noise):
    """strength: standard deviation in grey levels."""

    def __call__(self, image: np.ndarray, hr_size: Sequence[int], generator: np.random.Generator) -> np.ndarray:
        return image + self._draw(image, generator)


class PoissonNoise(Noise):
    """`strength` times that of an image whose grey levels count photons; grey noise is that of the luma.

    It is drawn from the normal distribution of the same variance, in a quarter of the time; they differ in the shadows.
    """

    def __call__(self, image: np.ndarray, hr_size: Sequence[int], generator: np.random.Generator) -> np.ndarray:
        photons = image.clip(0, 255)
        if self.is_grey:
            photons = cv2.cvtColor(photons, cv2.COLOR_BGR2GRAY)[:, :, None]
        return image + np.sqrt(photons) * self._draw(image, generator)


@dataclass(frozen=True)
class Jpeg(Operation):
    """At a quality of 1 to 100, with 4:2:0 colour; its blocks begin `shift` (rows, columns) before the image does."""

    quality: int
    shift: tuple[int, int]

    def __call__(self, image: np.ndarray, hr_size: Sequence[int], generator: np.random.Generator) -> np.ndarray:
        top, left = self.shift
        framed = cv2.copyMakeBorder(to_bytes(image), top, 0, left, 0, cv2.BORDER_REPLICATE)
        _, encoded = cv2.imencode(".jpg", framed, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.float32)[top:, left:]


def run(operations: Sequence[Operation], hr: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Put an HR image through all of them."""
    image = hr
    for operation in operations:
        image = operation(image, hr.shape[:2], generator)
    return image


def to_bytes(image: np.ndarray) -> np.ndarray:
    """Clip and round to uint8."""
    return image.clip(0, 255).round().astype(np.uint8)
