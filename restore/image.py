"""A person's image with everything it has: grey or colour, alpha, 8 or 16 bits, profile and metadata.

`utils.image` reads what networks train on, 8-bit RGB; this reader keeps the rest, for `image_file` to write
again. Pixels are upright. Colour profiles are kept and not applied, but for CMYK, whose profile says nothing of the RGB
that is left: that is converted to sRGB by it.
"""

import contextlib
import io
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import ExifTags, ImageCms
from PIL import Image as PILImage

from utils.image import (
    FORMATS,
    MAX_PIXELS,
    UPRIGHT,
    existing_file,
    image_error,
    is_16_bit,
    open_image,
    raw_modes,
    read_16_bit_colour,
)

IMAGE_FORMATS = (*FORMATS, "GIF")

# Tags of a TIFF file that tell how its pixels are stored; they are no metadata of the image.
_STORAGE_TAGS = frozenset(
    (254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291)
) | frozenset((292, 293, 297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 334, 336, 338, 339, 347))
_STORAGE_TAGS |= frozenset((512, 513, 514, 529, 530, 531, 532, 559, 700, 33723, 34377, 34675))

logger = logging.getLogger("cdsr")


@dataclass(frozen=True)
class Image:
    """Upright pixels, and what the file says of them.

    Args:
        pixels: (H, W, C) uint8 or uint16; C is 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha, not premultiplied.
        icc_profile, exif, xmp: as the file has them, with the orientation set to upright; empty where there is none.
        text: texts of a PNG.
        dpi: dots per inch, where the file says.
    """

    pixels: np.ndarray
    icc_profile: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    text: Mapping[str, str] = field(default_factory=dict)
    dpi: tuple[float, float] | None = None

    @property
    def num_bits(self) -> int:
        """8 or 16."""
        return self.pixels.dtype.itemsize * 8

    @property
    def is_grey(self) -> bool:
        """Whether it is stored without colour."""
        return self.pixels.shape[2] < 3

    @property
    def alpha(self) -> np.ndarray | None:
        """(H, W), or None."""
        return self.pixels[:, :, -1] if self.pixels.shape[2] in (2, 4) else None

    @property
    def colour(self) -> np.ndarray:
        """(H, W, 1) grey or (H, W, 3) RGB, without the alpha."""
        return self.pixels[:, :, : 1 if self.is_grey else 3]


def read_image(path: Path | str, *, max_pixels: int = MAX_PIXELS) -> Image:
    """Read an image upright; of several frames the first, with a warning.

    Palettes become RGB; CMYK becomes sRGB.

    Raises:
        ImageError: it is no whole image of at most `max_pixels`; names file and cause.
    """
    try:
        content = existing_file(path).read_bytes()
        with open_image(io.BytesIO(content), max_pixels=max_pixels, formats=IMAGE_FORMATS) as opened:
            if getattr(opened, "is_animated", False) and opened.format != "MPO":
                logger.warning("%s: %d frames, the first is taken", path, getattr(opened, "n_frames", 0))
            stored = raw_modes(opened)  # Pillow forgets it once the image is decoded
            deep = is_16_bit(opened)
            opened.load()
            pixels, orientation = _pixels(opened, content if deep else None, grey="LA" in stored)
            metadata = _metadata(opened, path)  # last: it sets the orientation to upright
            turn = UPRIGHT.get(orientation)
            pixels = np.ascontiguousarray(turn(pixels) if turn else pixels)
            icc_profile = b"" if opened.mode == "CMYK" else opened.info.get("icc_profile") or b""
            return Image(pixels=pixels, icc_profile=icc_profile, **metadata)
    except Exception as error:  # the decoders raise a dozen types on broken files; the cause is kept
        raise image_error(path, error) from error


def count_pixels(path: Path | str, *, max_pixels: int = MAX_PIXELS) -> int:
    """Number of pixels by the header alone. ImageError as in `read_image`."""
    try:
        with (
            existing_file(path).open("rb") as file,
            open_image(file, max_pixels=max_pixels, formats=IMAGE_FORMATS) as opened,
        ):
            return opened.width * opened.height
    except Exception as error:
        raise image_error(path, error) from error


def _pixels(opened: PILImage.Image, deep_content: bytes | None, *, grey: bool) -> tuple[np.ndarray, int]:
    """(H, W, C) as stored, and the EXIF orientation that is still to be applied.

    `deep_content` is the file where it has 16 bits a sample, `grey` tells 16-bit grey with alpha from colour.
    """
    orientation = opened.getexif().get(ExifTags.Base.Orientation, 1)
    if opened.mode.startswith("I;16"):
        return np.asarray(opened).astype(np.uint16)[:, :, None], orientation  # of either byte order
    if deep_content is not None and opened.mode not in ("P", "CMYK"):
        pixels = read_16_bit_colour(deep_content)
        turned = opened.format == "TIFF"  # by OpenCV already
        return pixels[:, :, [0, 3]] if grey and pixels.shape[2] == 4 else pixels, 1 if turned else orientation
    if opened.mode == "CMYK":
        return np.asarray(_cmyk_to_srgb(opened)), orientation
    grey = opened.mode in ("1", "L", "LA", "La")
    alpha = opened.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in opened.info
    if opened.mode == "La":  # premultiplied grey
        opened = opened.convert("LA")
    pixels = np.asarray(opened.convert(("L" if grey else "RGB") + ("A" if alpha else "")))
    return pixels.reshape(*pixels.shape[:2], -1), orientation


def _cmyk_to_srgb(opened: PILImage.Image) -> PILImage.Image:
    profile = opened.info.get("icc_profile")
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(opened, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
    return opened.convert("RGB")


def _metadata(opened: PILImage.Image, path: Path | str) -> dict[str, Any]:
    """What the file says besides its pixels; broken metadata costs the metadata and not the image."""
    kept: dict[str, Any] = {}
    try:
        exif = opened.getexif()
        for tag in _STORAGE_TAGS & set(exif):
            del exif[tag]
        if ExifTags.Base.Orientation in exif:
            exif[ExifTags.Base.Orientation] = 1
        kept["exif"] = exif.tobytes() if len(exif) else b""
    except Exception as error:
        logger.warning("%s: its EXIF data are damaged and left out (%s)", path, error)
    xmp = opened.info.get("xmp") or b""
    if isinstance(xmp, bytes):
        kept["xmp"] = re.sub(rb'(tiff:Orientation(?:="|>))[2-8]', rb"\g<1>1", xmp)
    texts = getattr(opened, "text", {}) if opened.format == "PNG" else {}
    kept["text"] = {name: str(value) for name, value in texts.items() if not name.startswith(("XML:", "Raw profile"))}
    dpi = opened.info.get("dpi")
    if isinstance(dpi, tuple) and len(dpi) == 2 and all(0 < value < 1e6 for value in dpi):
        kept["dpi"] = (float(dpi[0]), float(dpi[1]))
    return kept


def bleed(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Fill the colour under pixels that are wholly transparent from the visible ones around them.

    What is stored there is arbitrary, often black, and would grow into the edges when the image is enlarged.

    Args:
        colour: (H, W, C) of any number type.
        alpha: (H, W), 0 where nothing is seen.

    Returns:
        the colour, float32; as it was where anything is seen.
    """
    filled = colour.astype(np.float32)
    visible = (alpha > 0).astype(np.float32)
    if visible.all() or not visible.any():
        return filled
    return _pull(filled * visible[:, :, None], visible)


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
