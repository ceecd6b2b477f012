"""Enlarging an image with alpha: the colour that hides under transparent pixels, and the alpha itself."""

import cv2
import numpy as np


def bleed(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Fill the colour under wholly transparent pixels from the visible ones around them.

    The colour stored there is arbitrary, often black, and would grow into the edges when the image is enlarged.

    Args:
        colour: (H, W, C) of any number type.
        alpha: (H, W), 0 where nothing is visible.

    Returns:
        The colour, float32; unchanged where anything is visible.
    """
    visible = (alpha > 0).astype(np.float32)
    if visible.all() or not visible.any():
        return colour.astype(np.float32)
    return _pull(colour.astype(np.float32) * visible[:, :, None], visible)


def _pull(colour: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Fill where the weight is 0 from the image at half the size, filled in the same way; colour is weighted."""
    hidden = weight == 0
    filled: np.ndarray = colour / np.where(hidden, 1, weight)[:, :, None]
    if not hidden.any():
        return filled
    height, width = weight.shape
    half = (-(-width // 2), -(-height // 2))
    smaller = _pull(
        cv2.resize(colour, half, interpolation=cv2.INTER_AREA).reshape(half[1], half[0], -1),
        cv2.resize(weight, half, interpolation=cv2.INTER_AREA),
    )
    larger = cv2.resize(smaller, (width, height), interpolation=cv2.INTER_LINEAR).reshape(colour.shape)
    filled[hidden] = larger[hidden]
    return filled


def enlarge_alpha(alpha: np.ndarray, size: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    """Enlarge alpha (H, W) bicubically to (height, width), uint8 or uint16, in the depth of `dtype`."""
    top = np.iinfo(dtype).max
    larger = cv2.resize(alpha.astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
    np.multiply(larger, top / np.iinfo(alpha.dtype).max, out=larger)  # in place: the result is large
    return larger.round(out=larger).clip(0, top, out=larger).astype(dtype)
