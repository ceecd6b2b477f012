"""Reading image files: all that a file has (`read_image`), its 8-bit RGB alone (`read_rgb`), or its header.

Pillow reads all formats, so that a truncated or fake file is an error and never half an image. OpenCV reads the one
thing that Pillow cuts to its upper 8 bits: colour of 16 bits a channel. Both get the file as bytes, so that a path may
be written in any script. Colour profiles are not applied, except that `read_image` converts CMYK by its profile, which
says nothing of the RGB that is left.
"""

import contextlib
import io
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import ExifTags, ImageCms, PngImagePlugin, UnidentifiedImageError
from PIL import Image as PILImage

from utils.image.exif import keep_texts, orientation_of
from utils.image.files import FILE_FORMATS
from utils.image.pixels import Image
from utils.log import logger

MAX_PIXELS = 500_000_000  # a larger image is taken for a decompression bomb

_FORMATS = tuple(file_format.name for file_format in FILE_FORMATS)
# TIFF tags that say how the pixels are stored; they are no metadata of the image.
_STORAGE_TAGS = frozenset({*range(254, 260), *range(262, 267), 273, *range(277, 282), 284, *range(288, 294), 297, 301})
_STORAGE_TAGS |= {*range(317, 326), 330, 332, 334, 336, 338, 339, 347, *range(512, 515), *range(529, 533), 559}
_STORAGE_TAGS |= {700, 33723, 34377, 34675, 37724}  # the last: the layers of Photoshop
# GeoTIFF's tags, which say where on earth each pixel lies, and would be wrong of the larger image.
_STORAGE_TAGS |= {33550, 33922, 34264, *range(34735, 34738)}
_COLOUR_CHUNKS = frozenset({b"gAMA", b"cHRM", b"sRGB", b"cICP"})
_CONVERSIONS = {
    "grey": "repeated in the three channels",
    "palette": "expanded to RGB",
    "16-bit": "rounded to 8 bits",
    "alpha": "stripped of its alpha channel",
    "CMYK": "converted to RGB without a colour profile",
}

_warned: set[str] = set()  # kinds of conversion this process has already spoken of


class ImageError(ValueError):
    """An image that cannot be read; the message names the file and the cause."""


def read_image(path: Path | str, *, max_pixels: int = MAX_PIXELS) -> Image:
    """Read an image upright, with its metadata; of several frames the first, with a warning. Reads GIF too.

    Palettes become RGB, CMYK becomes sRGB. Damaged EXIF data are left out, with a warning.

    Raises:
        ImageError: it is no whole image of at most `max_pixels`; names file and cause.
    """
    with _open(path, max_pixels=max_pixels, formats=(*_FORMATS, "GIF")) as (opened, file):
        pixels = _read_pixels(opened, file)
        icc_profile = b"" if opened.mode == "CMYK" else opened.info.get("icc_profile") or b""
        image = Image(pixels, icc_profile, colour_chunks=_colour_chunks(opened, file), **_read_metadata(opened, path))
        with contextlib.suppress(Exception):  # frames behind the first may be damaged
            if getattr(opened, "is_animated", False) and opened.format != "MPO":
                logger.warning("%s: %d frames, the first is taken", path, getattr(opened, "n_frames", 0))
        return image


def read_rgb(path: Path | str) -> np.ndarray:
    """Read an image as (H, W, 3) uint8 RGB, upright by its EXIF orientation; of several frames the first.

    Grey, palette, 16-bit and CMYK images are converted and alpha is dropped, with one warning per kind in a process.

    Raises:
        ImageError: it is no whole image of at most MAX_PIXELS pixels; names file and cause.
    """
    with _open(path) as (opened, file):
        _warn_of_conversions(path, opened)
        opened.info.pop("icc_profile", None)  # CMYK too is converted without one
        return Image(_read_pixels(opened, file)).rgb


def read_size(path: Path | str) -> tuple[int, int]:
    """(height, width) of the upright image from its header alone, not decoded. ImageError as in `read_rgb`."""
    with _open(path, header_only=True) as (opened, _):
        _warn_of_conversions(path, opened)
        width, height = opened.size
        if opened.format == "TIFF":  # Pillow has turned its size already
            return height, width
        # Not PngImageFile.getexif, which decodes the image to look for EXIF behind it.
        is_turned = orientation_of(opened, PILImage.Image.getexif) in (5, 6, 7, 8)
        return (width, height) if is_turned else (height, width)


def count_pixels(path: Path | str) -> int:
    """Number of pixels by the header alone, however many; ImageError otherwise as in `read_image`."""
    with _open(path, header_only=True, max_pixels=sys.maxsize, formats=(*_FORMATS, "GIF")) as (opened, _):
        return opened.width * opened.height


@contextlib.contextmanager
def _open(
    path: Path | str,
    *,
    header_only: bool = False,
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] = _FORMATS,
) -> Iterator[tuple[PILImage.Image, BinaryIO]]:
    """Give Pillow's image before decoding, and its file; ImageError for what goes wrong here or in the body."""
    PILImage.MAX_IMAGE_PIXELS = None  # Pillow's own limit is a warning first; the one below is an error at once
    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY  # of one chunk what is allowed of all
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            raise ImageError("the file is empty")
        with (
            path.open("rb") if header_only else io.BytesIO(path.read_bytes()) as file,
            PILImage.open(file, formats=formats) as opened,
        ):
            if opened.width * opened.height > max_pixels:
                raise ImageError(f"{opened.width}x{opened.height} pixels are more than the {max_pixels} allowed")
            if opened.mode in ("I", "F") or "I;12" in _stored_as(opened):
                raise ImageError("its samples have neither 8 nor 16 bits; convert it first")
            if _tiff_tag(opened, 284, 1) == 2 and max(_tiff_tag(opened, 258, (8,))) > 8:
                raise ImageError("its 16-bit samples are stored channel by channel; convert it first")
            yield opened, file
    except MemoryError:  # says nothing of the file
        raise
    except Exception as error:  # the decoders raise a dozen types on broken files; the cause is kept
        cause = str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            cause = f"not an image in one of the formats {', '.join(formats)}, or of a kind that is not read"
        elif isinstance(error, FileNotFoundError):
            cause = "no such file"
        elif isinstance(error, OSError) and error.strerror:
            cause = error.strerror
        raise ImageError(f"cannot read {path}: {cause}") from error


def _tiff_tag(opened: PILImage.Image, tag: int, default: Any) -> Any:
    """A tag of the image's own directory, where it is a TIFF that has it."""
    return getattr(opened, "tag_v2", {}).get(tag, default)


def _stored_as(opened: PILImage.Image) -> str:
    """How the file stores its samples, in Pillow's words, such as "RGB;16B"; forgotten once it is decoded."""
    return " ".join(str(tile[3]) for tile in getattr(opened, "tile", []))


def _kinds(opened: PILImage.Image) -> list[str]:
    """What sets an image apart from 8-bit RGB, before it is decoded."""
    mode = opened.mode
    is_kind = {
        "grey": mode in ("1", "L", "LA", "La") or mode.startswith("I;16"),
        "palette": mode in ("P", "PA"),
        # Whatever Pillow makes of them; a BMP of 16 bits has them for all three samples of a pixel.
        "16-bit": (";16" in _stored_as(opened) and opened.format != "BMP") or mode.startswith("I;16"),
        "alpha": mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in opened.info,
        "CMYK": mode == "CMYK",
    }
    return [kind for kind, applies in is_kind.items() if applies]


def _warn_of_conversions(path: Path | str, opened: PILImage.Image) -> None:
    for kind in (kind for kind in _kinds(opened) if kind not in _warned):
        _warned.add(kind)
        logger.warning("%s: %s image, %s (said once, done for all)", path, kind, _CONVERSIONS[kind])


def _read_pixels(opened: PILImage.Image, file: BinaryIO) -> np.ndarray:
    """Decode (H, W, C) uint8 or uint16 as in `Image`, upright."""
    kinds, stored_as = _kinds(opened), _stored_as(opened)
    opened.load()
    orientation = orientation_of(opened)
    if opened.mode.startswith("I;16"):
        pixels = np.asarray(opened).astype(np.uint16)[:, :, None]  # of either byte order
        if _tiff_tag(opened, 262, 1) == 0:  # 0 is white, which Pillow heeds in 8 bits alone
            pixels = 65535 - pixels
        if "transparency" in opened.info:  # the one level that is, in PNG
            pixels = np.dstack([pixels, np.where(pixels == opened.info["transparency"], 0, 65535).astype(np.uint16)])
    elif "16-bit" in kinds and opened.mode not in ("P", "CMYK"):
        pixels = _read_16_bit_colour(file)
        if "LA" in stored_as and pixels.shape[2] == 4:  # OpenCV repeats grey
            pixels = pixels[:, :, [0, 3]]
        if "RGBX" in stored_as:  # no alpha, but a channel that nobody says the meaning of
            pixels = pixels[:, :, :3]
        elif "RGBa" in stored_as:  # premultiplied
            alpha = pixels[:, :, 3:].astype(np.float64)
            divided = pixels[:, :, :3] * (65535 / np.maximum(alpha, 1))
            pixels[:, :, :3] = divided.round().clip(0, 65535)
        if opened.format == "TIFF":  # OpenCV has turned it
            orientation = 1
    elif opened.mode == "CMYK":
        pixels = np.asarray(_cmyk_to_rgb(opened))
    else:
        if "transparency" in opened.info and stored_as in ("L;2", "L;4"):  # a level as the file has it
            opened.info["transparency"] *= 85 if stored_as == "L;2" else 17
        straight = opened.convert("LA") if opened.mode == "La" else opened  # not premultiplied
        mode = ("L" if "grey" in kinds else "RGB") + ("A" if "alpha" in kinds else "")
        pixels = np.asarray(straight.convert(mode))
        pixels = pixels.reshape(*pixels.shape[:2], -1)
    return _turn_upright(pixels, orientation)


def _read_16_bit_colour(file: BinaryIO) -> np.ndarray:
    """(H, W, 3) uint16 RGB, or (H, W, 4) with alpha."""
    file.seek(0)
    try:
        pixels = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise (MemoryError if error.code == cv2.Error.StsNoMem else ImageError)(str(error)) from error
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        raise ImageError("its 16-bit samples are stored in a way that is not supported")
    return pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]


def _cmyk_to_rgb(opened: PILImage.Image) -> PILImage.Image:
    """Convert by the file's profile to sRGB; without one, or with a broken one, by Pillow's plain formula."""
    with contextlib.suppress(KeyError, ImageCms.PyCMSError, OSError):
        profile = ImageCms.ImageCmsProfile(io.BytesIO(opened.info["icc_profile"]))
        converted = ImageCms.profileToProfile(opened, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
        if converted is not None:
            return converted
    return opened.convert("RGB")


def _turn_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn and flip (H, W, C) as an EXIF orientation asks, 1 (upright) to 8; others are taken for 1."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _colour_chunks(opened: PILImage.Image, file: BinaryIO) -> dict[bytes, bytes]:
    """Chunks of a PNG that say what colours its samples are, as they are; Pillow knows but some of them."""
    chunks = {}
    file.seek(8)
    while opened.format == "PNG" and len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name == b"IDAT":
            break
        content = file.read(length)
        file.seek(4, 1)  # the checksum
        if name in _COLOUR_CHUNKS:
            chunks[name] = content
    return chunks


def _read_metadata(opened: PILImage.Image, path: Path | str) -> dict[str, Any]:
    """EXIF, XMP, texts and resolution, as `Image` takes them."""
    kept: dict[str, Any] = {}
    try:
        exif = opened.getexif()
        for tag in _STORAGE_TAGS & set(exif):
            del exif[tag]
        if ExifTags.Base.Orientation in exif:
            exif[ExifTags.Base.Orientation] = 1
        keep_texts(exif)
        kept["exif"] = exif.tobytes() if len(exif) else b""
    except Exception as error:  # what is broken costs the metadata and not the image
        logger.warning("%s: its EXIF data are damaged and left out (%s)", path, error)
    xmp = opened.info.get("xmp") or b""
    if isinstance(xmp, bytes):
        kept["xmp"] = re.sub(rb"(tiff:Orientation(?:=[\"']|>))[2-8]", rb"\g<1>1", xmp)
    texts = getattr(opened, "text", {}) if opened.format == "PNG" else {}
    kept["text"] = {name: str(value) for name, value in texts.items() if not name.startswith(("XML:", "Raw profile"))}
    dpi = opened.info.get("dpi")
    if isinstance(dpi, tuple) and len(dpi) == 2 and all(0 < value < 1e6 for value in dpi):
        kept["dpi"] = (float(dpi[0]), float(dpi[1]))
    return kept
