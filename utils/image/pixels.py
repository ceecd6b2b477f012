"""An image in memory: pixels of any kind with their metadata, and 8-bit RGB as tensors."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch

BAND = 64
"""Rows converted at a time, because values in between take several times the memory of the image."""


def row_bands(height: int) -> Iterator[slice]:
    """Divide the rows of an image into bands."""
    return (slice(top, top + BAND) for top in range(0, height, BAND))


@dataclass(frozen=True)
class Image:
    """Upright pixels and the metadata of their file.

    Args:
        pixels: (H, W, C) uint8 or uint16; C is 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha, not premultiplied.
        icc_profile, exif, xmp: as in the file, with the orientation set to upright; empty where it has none.
        text: the texts of a PNG.
        colour_chunks: the chunks of a PNG that say what colours its samples are, by their names.
        dpi: dots per inch (horizontal, vertical), where the file has them.
    """

    pixels: np.ndarray
    icc_profile: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    text: Mapping[str, str] = field(default_factory=dict)
    colour_chunks: Mapping[bytes, bytes] = field(default_factory=dict)
    dpi: tuple[float, float] | None = None

    @property
    def num_bits(self) -> int:
        """8 or 16."""
        return self.pixels.dtype.itemsize * 8

    @property
    def top(self) -> int:
        """The value of white: 255 or 65535."""
        return int(np.iinfo(self.pixels.dtype).max)

    @property
    def alpha(self) -> np.ndarray | None:
        """(H, W), or None."""
        return self.pixels[:, :, -1] if self.pixels.shape[2] in (2, 4) else None

    @property
    def colour(self) -> np.ndarray:
        """(H, W, 1) grey or (H, W, 3) RGB, without the alpha."""
        return self.pixels[:, :, : 1 if self.pixels.shape[2] < 3 else 3]

    @property
    def rgb(self) -> np.ndarray:
        """(H, W, 3) uint8: grey repeated, 16 bits rounded to 8, without the alpha."""
        colour = to_8_bit(self.colour)
        return np.ascontiguousarray(colour if colour.shape[2] == 3 else colour.repeat(3, axis=2))

    def flatten(self, background: float) -> "Image":
        """The same image without alpha, over a background of a grey in [0, 1]; itself if it has no alpha."""
        if self.alpha is None:
            return self
        flat = np.empty(self.colour.shape, self.pixels.dtype)
        for rows in row_bands(len(flat)):
            opacity = self.alpha[rows, :, None].astype(np.float32) / self.top
            flat[rows] = (self.colour[rows] * opacity + background * self.top * (1 - opacity)).round()
        return replace(self, pixels=flat)


def to_8_bit(pixels: np.ndarray) -> np.ndarray:
    """Round uint16 to uint8, to nearest: 257 = 65535 / 255. uint8 stays as it is."""
    if pixels.dtype == np.uint8:
        return pixels
    rounded = np.empty(pixels.shape, np.uint8)
    for rows in row_bands(len(pixels)):
        rounded[rows] = (pixels[rows].astype(np.uint32) + 128) // 257
    return rounded


def middle(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Middle of an image (H, W, ...), at most `height` x `width` pixels, as a view."""
    top, left = max(0, image.shape[0] - height) // 2, max(0, image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """(H, W, 3) uint8 to (3, H, W) float32, both RGB in [0, 255]."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float()


def to_uint8(tensor: torch.Tensor) -> np.ndarray:
    """(3, H, W) of any float type on any device to (H, W, 3) uint8, RGB in [0, 255], rounded and clipped."""
    return np.ascontiguousarray(tensor.detach().float().round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy())
