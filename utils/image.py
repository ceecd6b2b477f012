"""Images on disk and in memory: found, read as 8-bit RGB, written whole, turned into tensors and back.

Pillow reads all formats, so that a truncated or fake file is an error and never half an image. OpenCV reads the one
thing that Pillow cuts to its upper 8 bits: colour of 16 bits a channel. Files are handed to both as bytes, so that a
path may be written in any script. Colour profiles are not applied.
"""

import io
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import torch
from PIL import ExifTags
from PIL import Image as PILImage

from utils.files import replacing

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".tif", ".tiff"})
MAX_PIXELS = 500_000_000  # a larger image is taken for a decompression bomb

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "TIFF")
_WRITE_OPTIONS: dict[str, dict[str, object]] = {
    "PNG": {"compress_level": 4},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 95},
}
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # by EXIF orientation; 1 is upright
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).swapaxes(0, 1),
    8: lambda image: np.rot90(image),
}
_CONVERSIONS = {
    "grey": "repeated in the three channels",
    "palette": "expanded to RGB",
    "16-bit": "rounded to 8 bits",
    "alpha": "stripped of its alpha channel",
    "CMYK": "converted to RGB without a colour profile",
}

logger = logging.getLogger("cdsr")
_warned: set[str] = set()  # kinds of conversion this process has already spoken of


class ImageError(ValueError):
    """An image that cannot be read; the message names the file and the cause."""


def list_images(folder: Path | str, recursive: bool = False) -> list[Path]:
    """Images in `folder`, by suffix, in natural order (2 before 10); hidden files and folders are left out.

    `recursive` looks in subfolders too, through links, each folder once. ValueError if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is {'a file' if folder.exists() else 'missing'}: give a folder of images")
    found: list[Path] = []
    seen: set[str] = set()
    for parent, subfolders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:  # a link back: its images are listed already
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if recursive and not name.startswith("."))
        images = (name for name in files if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES)
        found += [Path(parent, name) for name in images if not name.startswith(".")]
    return sorted(found, key=lambda path: natural_key(path.relative_to(folder).as_posix()))


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key that orders the numbers inside names by value."""
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def read_size(path: Path | str) -> tuple[int, int]:
    """(height, width) of the upright image from its header alone, not decoded. ImageError as in `read_rgb`."""
    try:
        with existing_file(path).open("rb") as file, open_image(file) as opened:
            _warn_of_conversions(path, opened)
            width, height = opened.size
            if opened.format == "TIFF":  # Pillow has turned its size already
                return height, width
            # Not PngImageFile.getexif, which decodes the image to look for EXIF behind it.
            turned = PILImage.Image.getexif(opened).get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
            return (width, height) if turned else (height, width)
    except Exception as error:
        raise image_error(path, error) from error


def read_rgb(path: Path | str) -> np.ndarray:
    """Read an image as (H, W, 3) uint8 RGB, upright by its EXIF orientation; of several frames the first.

    Grey, palette, 16-bit and CMYK images are converted and alpha is dropped, with one warning per kind in a process.
    ImageError, naming file and cause, for anything that is not a whole image of at most MAX_PIXELS pixels.
    """
    try:
        content = existing_file(path).read_bytes()
        with open_image(io.BytesIO(content)) as opened:
            _warn_of_conversions(path, opened)
            deep = is_16_bit(opened)
            opened.load()
            if not deep or opened.mode in ("P", "CMYK"):
                image = np.asarray(opened.convert("RGB"))
            elif opened.mode.startswith("I;16"):
                image = to_8_bit(np.asarray(opened))[:, :, None].repeat(3, axis=2)
            else:
                image = to_8_bit(read_16_bit_colour(content)[:, :, :3])
                if opened.format == "TIFF":  # turned by OpenCV already
                    return np.ascontiguousarray(image)
            turn = UPRIGHT.get(opened.getexif().get(ExifTags.Base.Orientation, 1))
            return np.ascontiguousarray(turn(image) if turn else image)
    except Exception as error:  # the decoders raise a dozen types on broken files; the cause is kept
        raise image_error(path, error) from error


def write_image(path: Path | str, image: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB in the format of the suffix: to a temporary name, then renamed, so never half a file.

    PNG, WebP, BMP and TIFF keep every pixel. Missing folders are made. ValueError for another suffix, shape or type.
    """
    path = Path(path)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f"cannot write {path}: its suffix is not one of {', '.join(sorted(IMAGE_SUFFIXES))}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"cannot write {path}: expected (H, W, 3) uint8, not {image.shape} {image.dtype}")
    image_format = PILImage.registered_extensions()[path.suffix.lower()]
    with replacing(path) as temporary:
        PILImage.fromarray(image).save(temporary, format=image_format, **_WRITE_OPTIONS.get(image_format, {}))


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """(H, W, 3) uint8 to (3, H, W) float32, both RGB in [0, 255]."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float()


def to_uint8(tensor: torch.Tensor) -> np.ndarray:
    """(3, H, W) of any float type on any device to (H, W, 3) uint8, RGB in [0, 255], rounded and clipped."""
    return np.ascontiguousarray(tensor.detach().float().round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy())


def existing_file(path: Path | str) -> Path:
    """The path, of a file that is there and not empty."""
    path = Path(path)
    if path.stat().st_size == 0:
        raise ImageError("the file is empty")
    return path


def open_image(file: BinaryIO, *, max_pixels: int = MAX_PIXELS, formats: tuple[str, ...] = FORMATS) -> PILImage.Image:
    """Pillow's image before decoding, its kind and size checked."""
    PILImage.MAX_IMAGE_PIXELS = None  # Pillow's own limit is a warning first; the one below is an error at once
    opened = PILImage.open(file, formats=formats)
    if opened.width * opened.height > max_pixels:
        raise ImageError(f"{opened.width}x{opened.height} pixels are more than the {max_pixels} allowed")
    if opened.mode in ("I", "F") or "I;12" in raw_modes(opened):
        raise ImageError("its samples have neither 8 nor 16 bits; convert it first")
    return opened


def raw_modes(opened: PILImage.Image) -> str:
    """How the file stores its samples, in Pillow's words."""
    return " ".join(str(tile[3]) for tile in getattr(opened, "tile", []))


def is_16_bit(opened: PILImage.Image) -> bool:
    """Whether the file has 16 bits a sample, whatever Pillow makes of them."""
    return ";16" in raw_modes(opened) or opened.mode.startswith("I;16")


def _warn_of_conversions(path: Path | str, opened: PILImage.Image) -> None:
    is_kind = {
        "grey": opened.mode in ("1", "L", "LA", "La") or opened.mode.startswith("I;16"),
        "palette": opened.mode in ("P", "PA"),
        "16-bit": is_16_bit(opened),
        "alpha": opened.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in opened.info,
        "CMYK": opened.mode == "CMYK",
    }
    for kind in (kind for kind, applies in is_kind.items() if applies and kind not in _warned):
        _warned.add(kind)
        logger.warning("%s: %s image, %s (said once, done for all)", path, kind, _CONVERSIONS[kind])


def read_16_bit_colour(content: bytes) -> np.ndarray:
    """(H, W, 3) uint16 RGB, or (H, W, 4) with alpha; grey with alpha has its grey repeated by OpenCV."""
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint16 or image.ndim != 3:
        raise ImageError("its 16-bit samples are stored in a way that is not supported")
    return image[:, :, [2, 1, 0, 3][: image.shape[2]]]


def to_8_bit(image: np.ndarray) -> np.ndarray:
    """Of [0, 65535] to [0, 255], rounded to nearest: 257 = 65535 / 255."""
    return ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)


def middle(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Middle of an image (H, W, ...), at most `height` x `width` pixels, as a view."""
    top, left = max(0, image.shape[0] - height) // 2, max(0, image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def image_error(path: Path | str, error: Exception) -> ImageError:
    """An error of a decoder or of the system as one that names the file and the cause."""
    if isinstance(error, FileNotFoundError):
        cause = "no such file"
    elif isinstance(error, OSError) and error.strerror:
        cause = error.strerror
    elif isinstance(error, PILImage.UnidentifiedImageError):
        cause = f"not an image in one of the formats {', '.join(FORMATS)}"
    else:
        cause = str(error) or type(error).__name__
    return ImageError(f"cannot read {path}: {cause}")
