"""Writing image files with profile and metadata, as far as their format holds them.

Pillow writes 8 bits, and tifffile 16 bits to TIFF. 16 bits go to PNG by the few lines of `_write_png_16`: Pillow has no
such colour, and OpenCV no grey with alpha, no texts, no resolution, and no file at all where the profile is odd.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import ExifTags
from PIL import Image as PILImage
from PIL.PngImagePlugin import PngInfo, putchunk

from utils.files import replacing
from utils.image.exif import keep_texts
from utils.image.files import FileFormat, format_of
from utils.image.pixels import Image, row_bands, to_8_bit
from utils.log import logger

_REFUSED = (ValueError, TypeError, KeyError, OverflowError, struct.error, SyntaxError)
"""What the writers raise for metadata that they cannot take."""

_TIFF_BYTES = 2**32 - 2**25
"""Of pixels, what fits into a TIFF with 32-bit offsets beside all metadata."""

_PARTS = {
    "xmp": "XMP",
    "exif": "EXIF",
    "text": "texts",
    "dpi": "resolution",
    "colour_chunks": "gamma and chromaticities",
    "icc_profile": "colour profile",
}
_LESS = ((), ("xmp",), ("exif",), ("xmp", "exif", "text"), tuple(_PARTS)[:-1], tuple(_PARTS))
"""What is left out, one after the other, until a format takes the image: EXIF has to be below 64 kB in JPEG, say."""


def write_image(path: Path | str, image: Image | np.ndarray, *, quality: int | None = None) -> None:
    """Write an image in the format of the suffix: to a temporary name, then renamed, so never half a file.

    PNG, BMP and TIFF are lossless. A format without alpha gets it laid on white, one without 16 bits gets 8, and one
    without metadata none. Missing folders are made.

    Args:
        path: of the file.
        image: with its metadata; or plain RGB, (H, W, 3) uint8.
        quality: 1 to 100, of JPEG, AVIF and WebP (100: lossless); by default 95, and WebP is lossless.

    Raises:
        ValueError: the suffix is of no format, or the array has another shape or type.
        OSError: the file cannot be written; what was there before is untouched.
    """
    path = Path(path)
    file_format = format_of(path)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"cannot write {path}: expected (H, W, 3) uint8, not {image.shape} {image.dtype}")
        image = Image(image)
    image = _as_stored(path, image, file_format)
    refusal: Exception | None = None
    with replacing(path) as temporary:
        for left_out in _LESS:
            less = replace(image, **{part: getattr(Image(image.pixels), part) for part in left_out})
            try:
                _write(temporary, less, file_format, quality)
            except _REFUSED as error:
                refusal = error
                continue
            if left_out:
                lost = ", ".join(_PARTS[part] for part in left_out if getattr(image, part))
                logger.warning("%s: left out, as %s cannot take them: %s (%s)", path, file_format.name, lost, refusal)
            return
        raise ValueError(f"cannot write {path}: {refusal}") from refusal


def _as_stored(path: Path, image: Image, file_format: FileFormat) -> Image:
    """The pixels as the format holds them, without a profile that does not fit these."""
    image = image if file_format.alpha else image.flatten(1.0)
    pixels = image.pixels if file_format.deep else to_8_bit(image.pixels)
    if file_format.name == "TIFF" and pixels.shape[2] == 2 and pixels.dtype == np.uint16:
        pixels = pixels[:, :, [0, 0, 0, 1]]  # grey with alpha in 16 bits is read by few programs
    image = replace(image, pixels=np.ascontiguousarray(pixels))
    is_rgb = pixels.shape[2] > 2 or not file_format.grey
    if is_rgb and image.icc_profile[16:20] == b"GRAY":
        logger.warning("%s: its colour profile is of grey and left out: the result is RGB", path)
        image = replace(image, icc_profile=b"")
    return image


def _write(path: Path, image: Image, file_format: FileFormat, quality: int | None) -> None:
    image = replace(image, exif=_with_size(image.exif, image.pixels))
    options = _options(image, file_format, quality)
    if image.num_bits == 8:
        pixels = image.pixels[:, :, 0] if image.pixels.shape[2] == 1 else image.pixels
        PILImage.fromarray(pixels).save(path, format=file_format.name, **options)
    elif file_format.name == "PNG":
        _write_png_16(path, image.pixels, options)
    else:
        _write_tiff_16(path, image)


def _load_exif(exif: bytes) -> PILImage.Exif:
    tags = PILImage.Exif()
    if exif:
        tags.load(exif)
        keep_texts(tags)
    return tags


def _with_size(exif: bytes, pixels: np.ndarray) -> bytes:
    """The size in the camera's tags set to that of `pixels`; the thumbnail goes."""
    if not exif:
        return b""
    tags = _load_exif(exif)
    camera = tags.get_ifd(ExifTags.IFD.Exif)
    sizes = {ExifTags.Base.ExifImageWidth: pixels.shape[1], ExifTags.Base.ExifImageHeight: pixels.shape[0]}
    camera.update({tag: size for tag, size in sizes.items() if tag in camera})
    return tags.tobytes()


def _options(image: Image, file_format: FileFormat, quality: int | None) -> dict[str, Any]:
    """How Pillow writes the format, and the metadata."""
    by_format: dict[str, dict[str, Any]] = {
        "PNG": {"compress_level": 4},
        "JPEG": {"quality": quality or 95, "subsampling": 0},
        "WEBP": {"lossless": True, "exact": True} if quality in (None, 100) else {"quality": quality},
        "AVIF": {"quality": quality or 95, "subsampling": "4:4:4"},
        "TIFF": {"compression": "tiff_adobe_deflate"},
    }
    options = by_format.get(file_format.name, {})
    if not file_format.metadata:
        return options
    metadata = {"icc_profile": image.icc_profile, "exif": image.exif, "xmp": image.xmp, "dpi": image.dpi}
    options |= {kind: value for kind, value in metadata.items() if value}
    if file_format.name == "PNG":
        options["pnginfo"] = chunks = PngInfo()
        if image.xmp:
            chunks.add_itxt("XML:com.adobe.xmp", image.xmp.decode("utf-8", "replace"))
        for key, value in image.text.items():
            if 0 < len(key) < 80 and key.isascii():
                chunks.add_itxt(key, value)
        for name, content in image.colour_chunks.items():
            chunks.add(name, content)
    elif file_format.name == "TIFF":
        options["big_tiff"] = _needs_big_tiff(image.pixels)
        tags = options["exif"] = _load_exif(image.exif)
        if image.xmp:
            tags[700] = image.xmp
        if any(folder in tags for folder in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)):
            options["compression"] = None  # libtiff, which compresses, cannot write these from Pillow
    return options


def _needs_big_tiff(pixels: np.ndarray) -> bool:
    """Whether a TIFF may need offsets of 64 bits, which few old programs read."""
    return pixels.nbytes > _TIFF_BYTES


def _write_png_16(path: Path, pixels: np.ndarray, options: dict[str, Any]) -> None:
    """PNG of 16 bits a sample (W3C, third edition); `options` as Pillow takes them, for the metadata."""
    height, width, channels = pixels.shape
    with io.BytesIO() as file:
        PILImage.new("L", (1, 1)).save(file, "PNG", **options)
        metadata = file.getvalue()[33 : file.getvalue().rindex(b"IDAT") - 4]  # between Pillow's header and its pixel
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    compressor = zlib.compressobj(4)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        putchunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
        file.write(metadata)
        for filtered in _filtered_bands(pixels):
            if compressed := compressor.compress(filtered):
                putchunk(file, b"IDAT", compressed)
        putchunk(file, b"IDAT", compressor.flush())
        putchunk(file, b"IEND")


def _filtered_bands(pixels: np.ndarray) -> Iterator[bytes]:
    """Bands of rows, each row as a 2 and its bytes' differences to the row above, modulo 256: PNG's filter "up"."""
    above = np.zeros((1, pixels[0].nbytes), np.uint8)
    for rows in row_bands(len(pixels)):
        band = pixels[rows].astype(">u2").view(np.uint8).reshape(-1, above.size)
        yield np.insert(np.diff(band, axis=0, prepend=above), 0, 2, axis=1).tobytes()
        above = band[-1:]


def _write_tiff_16(path: Path, image: Image) -> None:
    """TIFF of 16 bits a sample, with profile, XMP and the texts of EXIF's first directory."""
    pixels = image.pixels
    tags = _load_exif(image.exif)
    texts = [(tag, "s", 0, value.encode(), True) for tag, value in tags.items() if isinstance(value, str)]
    xmp = [(700, "B", len(image.xmp), image.xmp, True)] if image.xmp else []
    tifffile.imwrite(
        path,
        pixels[:, :, 0] if pixels.shape[2] == 1 else pixels,
        photometric="minisblack" if pixels.shape[2] == 1 else "rgb",
        planarconfig="contig",
        extrasamples=["unassalpha"] if image.alpha is not None else None,
        compression="zlib",
        bigtiff=_needs_big_tiff(pixels),
        iccprofile=image.icc_profile or None,
        resolution=image.dpi,
        resolutionunit="inch" if image.dpi else None,
        software=False,
        metadata=None,
        extratags=[*texts, *xmp],
    )
