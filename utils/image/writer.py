"""Writing image files with profile and metadata, and what each format loses of them.

Pillow writes 8 bits, and tifffile 16 bits to TIFF. 16 bits go to PNG by the few lines of `_png_16`: Pillow has no such
colour, and OpenCV no grey with alpha, no texts, no resolution, and no file at all where the profile is odd.
"""

import io
import logging
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import ExifTags
from PIL import Image as PILImage
from PIL.PngImagePlugin import PngInfo, putchunk

from utils.files import replacing
from utils.image.files import FileFormat, format_of
from utils.image.pixels import Image, to_8_bit

logger = logging.getLogger("cdsr")


def write_image(path: Path | str, image: Image | np.ndarray, *, quality: int | None = None) -> None:
    """Write an image in the format of the suffix: to a temporary name, then renamed, so never half a file.

    PNG, BMP and TIFF are lossless. Missing folders are made. What the format does not hold is left out: alpha is laid
    on white, 16 bits are rounded to 8, metadata are dropped.

    Args:
        path: of the file.
        image: with its metadata; or plain RGB, (H, W, 3) uint8.
        quality: 1 to 100, of JPEG, WebP (100: lossless) and AVIF; by default 95, and WebP is lossless.

    Raises:
        ValueError: the suffix is of no format, or the array has another shape or type.
        OSError: the file cannot be written; what was there before is as it was.
    """
    path = Path(path)
    file_format = format_of(path)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"cannot write {path}: expected (H, W, 3) uint8, not {image.shape} {image.dtype}")
        image = Image(image)
    image = image if file_format.alpha else image.flatten(1.0)
    pixels = image.pixels if file_format.deep else to_8_bit(image.pixels)
    image = replace(image, pixels=np.ascontiguousarray(pixels))
    with replacing(path) as temporary:
        try:
            _write(temporary, replace(image, exif=_with_size(image.exif, pixels)), file_format, quality)
        except (ValueError, TypeError, KeyError, OverflowError, struct.error, SyntaxError) as error:
            # What a format cannot take (EXIF over 64 kB in JPEG, say) must not cost the image.
            logger.warning("%s: its metadata cannot be written and are left out (%s)", path, error)
            _write(temporary, Image(image.pixels), file_format, quality)


def losses(image: Image, file_format: FileFormat, *, height: int, width: int, num_bits: int) -> list[str]:
    """Say in words for the user what the format does not hold of `image`, enlarged to this size.

    Raises:
        ValueError: it does not hold the size at all.
    """
    if max(height, width) > file_format.max_side:
        raise ValueError(
            f"{file_format.name} holds at most {file_format.max_side} pixels a side, not {width}x{height}; "
            "give --format png"
        )
    lost = []
    if image.alpha is not None and not file_format.alpha:
        lost.append("no alpha: laid on white")
    if num_bits == 16 and not file_format.deep:
        lost.append("8 bits alone: rounded")
    if not file_format.metadata and (image.icc_profile or image.exif or image.xmp):
        lost.append("no profile and metadata: left out")
    return lost


def _write(path: Path, image: Image, file_format: FileFormat, quality: int | None) -> None:
    options = _options(image, file_format, quality)
    if image.num_bits == 8:
        pixels = image.pixels[:, :, 0] if image.pixels.shape[2] == 1 else image.pixels
        PILImage.fromarray(pixels).save(path, format=file_format.name, **options)
    elif file_format.name == "PNG":
        path.write_bytes(_png_16(image.pixels, options))
    else:
        _write_tiff_16(path, image)


def _with_size(exif: bytes, pixels: np.ndarray) -> bytes:
    """The size in the camera's tags set to that of `pixels`; the thumbnail goes."""
    if not exif:
        return b""
    tags = PILImage.Exif()
    tags.load(exif)
    camera = tags.get_ifd(ExifTags.IFD.Exif)
    sizes = {ExifTags.Base.ExifImageWidth: pixels.shape[1], ExifTags.Base.ExifImageHeight: pixels.shape[0]}
    camera.update({tag: size for tag, size in sizes.items() if tag in camera})
    return tags.tobytes()


def _options(image: Image, file_format: FileFormat, quality: int | None) -> dict[str, Any]:
    """How Pillow writes the format, and the metadata."""
    by_format: dict[str, dict[str, Any]] = {
        "PNG": {"compress_level": 4},
        "JPEG": {"quality": quality or 95, "subsampling": 0},
        "WEBP": {"lossless": True} if quality in (None, 100) else {"quality": quality},
        "AVIF": {"quality": quality or 95, "subsampling": "4:4:4"},
        "TIFF": {"compression": "tiff_adobe_deflate"},
    }
    options = by_format.get(file_format.name, {})
    if not file_format.metadata:
        return options
    metadata = {"icc_profile": image.icc_profile, "exif": image.exif, "xmp": image.xmp, "dpi": image.dpi}
    options |= {kind: value for kind, value in metadata.items() if value}
    if file_format.name == "PNG":
        options["pnginfo"] = _png_texts(image)
    elif file_format.name == "TIFF":
        tags = options["exif"] = PILImage.Exif()
        if image.exif:
            tags.load(image.exif)
        if image.xmp:
            tags[700] = image.xmp
        if any(folder in tags for folder in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)):
            options["compression"] = None  # libtiff, which compresses, cannot write these from Pillow
    return options


def _png_texts(image: Image) -> PngInfo:
    info = PngInfo()
    if image.xmp:
        info.add_itxt("XML:com.adobe.xmp", image.xmp.decode("utf-8", "replace"))
    for name, value in image.text.items():
        if 0 < len(name) < 80 and name.isascii():
            info.add_itxt(name, value)
    return info


def _png_16(pixels: np.ndarray, options: dict[str, Any]) -> bytes:
    """PNG of 16 bits a sample (W3C, third edition); `options` as Pillow takes them, for the metadata."""
    height, width, channels = pixels.shape
    with io.BytesIO() as file:
        PILImage.new("L", (1, 1)).save(file, "PNG", **options)
        metadata = file.getvalue()[33 : file.getvalue().rindex(b"IDAT") - 4]  # between Pillow's header and its pixel
    rows = pixels.astype(">u2").view(np.uint8).reshape(height, -1)
    filtered = np.full((height, rows.shape[1] + 1), 2, np.uint8)  # filter 2: differences to the row above, modulo 256
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    with io.BytesIO() as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        putchunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
        file.write(metadata)
        putchunk(file, b"IDAT", zlib.compress(filtered.tobytes(), 4))
        putchunk(file, b"IEND")
        return file.getvalue()


def _write_tiff_16(path: Path, image: Image) -> None:
    """TIFF of 16 bits a sample, with profile, XMP and the texts of EXIF's first directory."""
    pixels = image.pixels
    if pixels.shape[2] == 2:  # grey with alpha in 16 bits is read by few programs
        pixels = pixels[:, :, [0, 0, 0, 1]]
    tags = PILImage.Exif()
    if image.exif:
        tags.load(image.exif)
    texts = [(tag, "s", 0, value, True) for tag, value in tags.items() if isinstance(value, str)]
    xmp = [(700, "B", len(image.xmp), image.xmp, True)] if image.xmp else []
    tifffile.imwrite(
        path,
        pixels[:, :, 0] if pixels.shape[2] == 1 else pixels,
        photometric="minisblack" if pixels.shape[2] == 1 else "rgb",
        planarconfig="contig",
        extrasamples=["unassalpha"] if image.alpha is not None else None,
        compression="zlib",
        iccprofile=image.icc_profile or None,
        resolution=image.dpi,
        resolutionunit="inch" if image.dpi else None,
        software=False,
        metadata=None,
        extratags=[*texts, *xmp],
    )
