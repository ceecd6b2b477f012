"""Writing a `Image` with its profile and metadata; what a format cannot hold is said before anything is computed.

Pillow writes 8 bits. 16 bits go to PNG, by the few lines below, since Pillow and OpenCV lose depth, channels or
metadata; and to TIFF by tifffile.
"""

import io
import logging
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import ExifTags, PngImagePlugin
from PIL import Image as PILImage

from restore.image import Image
from utils.files import replacing
from utils.image import to_8_bit


@dataclass(frozen=True)
class FileFormat:
    """What a format holds.

    Args:
        suffix: of its files.
        max_side: longest side in pixels.
        alpha: whether it has an alpha channel.
        deep: whether it has 16 bits a sample.
        metadata: whether it has profile, EXIF and XMP.
    """

    suffix: str
    max_side: int = 2**31 - 1
    alpha: bool = True
    deep: bool = False
    metadata: bool = True


FILE_FORMATS = {
    "PNG": FileFormat(".png", deep=True),
    "JPEG": FileFormat(".jpg", max_side=65_500, alpha=False),
    "WEBP": FileFormat(".webp", max_side=16_383),
    "AVIF": FileFormat(".avif", max_side=65_536),
    "TIFF": FileFormat(".tif", deep=True),
    "BMP": FileFormat(".bmp", alpha=False, metadata=False),
}
SUFFIXES = {holds.suffix: name for name, holds in FILE_FORMATS.items()} | {".jpeg": "JPEG", ".tiff": "TIFF"}

logger = logging.getLogger("cdsr")


def suffix_for(name: str, source: Path) -> str:
    """Suffix of a result by `--format`: `auto` is the image's own, and .png for one that is not written (GIF)."""
    if name != "auto":
        return f".{name.lower()}"
    return source.suffix if source.suffix.lower() in SUFFIXES else ".png"


def format_of(path: Path) -> str:
    """Format that the name of a result promises."""
    return SUFFIXES[path.suffix.lower()]


def losses(image: Image, file_format: str, *, height: int, width: int, num_bits: int) -> list[str]:
    """What the format does not hold of a result of this size, in words for the user.

    Raises:
        ValueError: it does not hold the size at all.
    """
    holds = FILE_FORMATS[file_format]
    if max(height, width) > holds.max_side:
        raise ValueError(
            f"{file_format} holds at most {holds.max_side} pixels a side, not {width}x{height}; give --format png"
        )
    lost = []
    if image.alpha is not None and not holds.alpha:
        lost.append("no alpha: laid on white")
    if num_bits == 16 and not holds.deep:
        lost.append("8 bits alone: rounded")
    if not holds.metadata and (image.icc_profile or image.exif or image.xmp):
        lost.append("no profile and metadata: left out")
    return lost


def write_image(path: Path, image: Image, *, file_format: str, quality: int = 95) -> None:
    """Write to a temporary name, then rename. PNG, TIFF and BMP are lossless, and WebP is by quality 100."""
    holds = FILE_FORMATS[file_format]
    pixels = image.pixels
    if image.alpha is not None and not holds.alpha:
        pixels = _on_white(image)
    if pixels.dtype == np.uint16 and not holds.deep:
        pixels = to_8_bit(pixels)
    image = replace(image, pixels=np.ascontiguousarray(pixels))
    with replacing(path) as temporary:
        try:
            kept = replace(image, exif=_with_size(image.exif, pixels))
            _write(temporary, kept, file_format=file_format, quality=quality)
        except (ValueError, TypeError, KeyError, OverflowError, struct.error, SyntaxError) as error:
            # What a format cannot take (EXIF over 64 kB in JPEG, say) must not cost the image.
            logger.warning("%s: its metadata cannot be written and are left out (%s)", path, error)
            _write(temporary, Image(image.pixels), file_format=file_format, quality=quality)


def _write(path: Path, image: Image, *, file_format: str, quality: int) -> None:
    if image.num_bits == 16 and file_format == "PNG":
        path.write_bytes(_png_16(image))
    elif image.num_bits == 16:
        _write_tiff_16(path, image)
    else:
        options = _pillow_options(image, file_format, quality)
        opened = PILImage.fromarray(image.pixels[:, :, 0] if image.pixels.shape[2] == 1 else image.pixels)
        opened.save(path, format=file_format, **options)


def _on_white(image: Image) -> np.ndarray:
    """The colour over white, in the image's depth."""
    assert image.alpha is not None
    top = np.iinfo(image.pixels.dtype).max
    share = image.alpha[:, :, None].astype(np.float32) / top
    return (image.colour * share + top * (1 - share)).round().astype(image.pixels.dtype)


def _with_size(exif: bytes, pixels: np.ndarray) -> bytes:
    """Metadata of the enlarged image: its size as the camera's tags have it, and no thumbnail."""
    if not exif:
        return b""
    tags = PILImage.Exif()
    tags.load(exif)
    camera = tags.get_ifd(ExifTags.IFD.Exif)
    for tag, length in (
        (ExifTags.Base.ExifImageWidth, pixels.shape[1]),
        (ExifTags.Base.ExifImageHeight, pixels.shape[0]),
    ):
        if tag in camera:
            camera[tag] = length
    return tags.tobytes()


def _pillow_options(image: Image, file_format: str, quality: int) -> dict[str, Any]:
    by_format: dict[str, dict[str, Any]] = {
        "PNG": {"compress_level": 4},
        "JPEG": {"quality": quality, "subsampling": 0},
        "WEBP": {"lossless": True} if quality == 100 else {"quality": quality},
        "AVIF": {"quality": quality, "subsampling": "4:4:4"},
        "TIFF": {"compression": "tiff_adobe_deflate"},
        "BMP": {},
    }
    options = by_format[file_format]
    if not FILE_FORMATS[file_format].metadata:
        return options
    options |= {name: value for name, value in (("icc_profile", image.icc_profile), ("exif", image.exif)) if value}
    if file_format == "PNG":
        options["pnginfo"] = _png_texts(image)
    elif file_format == "TIFF":
        tags = PILImage.Exif()
        if image.exif:
            tags.load(image.exif)
        if image.xmp:
            tags[700] = image.xmp
        options["exif"] = tags
        if any(folder in tags for folder in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)):
            options["compression"] = None  # libtiff, which compresses, cannot write these from Pillow
    elif image.xmp:
        options["xmp"] = image.xmp
    if image.dpi and file_format in ("PNG", "JPEG", "TIFF"):
        options["dpi"] = image.dpi
    return options


def _png_texts(image: Image) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    if image.xmp:
        info.add_itxt("XML:com.adobe.xmp", image.xmp.decode("utf-8", "replace"))
    for name, value in image.text.items():
        if 0 < len(name) < 80 and name.isascii():
            info.add_itxt(name, value)
    return info


def _png_16(image: Image) -> bytes:
    """PNG of 16 bits a sample (W3C, third edition); each row is stored as its difference to the one above."""
    height, width, channels = image.pixels.shape
    rows = image.pixels.astype(">u2").view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 2  # filter type "up"
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])  # modulo 256
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    file = io.BytesIO()
    file.write(b"\x89PNG\r\n\x1a\n")
    _chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    if image.icc_profile:
        _chunk(file, b"iCCP", b"ICC Profile\0\0" + zlib.compress(image.icc_profile))
    if image.dpi:
        _chunk(file, b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in image.dpi), 1))
    if image.exif:
        _chunk(file, b"eXIf", image.exif.removeprefix(b"Exif\0\0"))
    for name, body, *_ in _png_texts(image).chunks:
        _chunk(file, name, body)
    _chunk(file, b"IDAT", zlib.compress(filtered.tobytes(), 4))
    _chunk(file, b"IEND", b"")
    return file.getvalue()


def _chunk(file: io.BytesIO, name: bytes, body: bytes) -> None:
    file.write(struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)))


def _write_tiff_16(path: Path, image: Image) -> None:
    """TIFF of 16 bits a sample, with profile, XMP and the texts of EXIF's first directory."""
    pixels = image.pixels
    if pixels.shape[2] == 2:  # grey with alpha in 16 bits is read by few programs
        pixels = pixels[:, :, [0, 0, 0, 1]]
    tags = PILImage.Exif()
    if image.exif:
        tags.load(image.exif)
    texts = [
        (tag, "s", 0, value, True) for tag, value in tags.items() if isinstance(value, str) and tag not in (305, 306)
    ]
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
        software=str(tags.get(ExifTags.Base.Software, "")) or False,
        datetime=str(tags[ExifTags.Base.DateTime]) if ExifTags.Base.DateTime in tags else None,
        metadata=None,
        extratags=[*texts, *xmp],
    )
