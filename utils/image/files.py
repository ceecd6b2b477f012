"""The formats of image files, and the walk that finds such files in folders."""

import os
import re
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FileFormat:
    """What a format holds."""

    name: str  # as Pillow has it
    suffixes: tuple[str, ...]  # in lower case, the usual one first
    max_side: int = 2**31 - 1  # pixels
    max_pixels: int = 2**62
    grey: bool = True
    alpha: bool = True
    deep: bool = False  # 16 bits a sample
    metadata: bool = True  # profile, EXIF and XMP


# Of AVIF what decoders read; an encoder writes more.
FILE_FORMATS = (
    FileFormat("PNG", (".png",), deep=True),
    FileFormat("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), max_side=65_500, alpha=False),
    FileFormat("WEBP", (".webp",), max_side=16_383, grey=False),
    FileFormat("AVIF", (".avif",), max_side=32_768, max_pixels=16_384**2, grey=False),
    FileFormat("TIFF", (".tif", ".tiff"), deep=True),
    FileFormat("BMP", (".bmp",), alpha=False, metadata=False),
)
IMAGE_SUFFIXES = frozenset(suffix for file_format in FILE_FORMATS for suffix in file_format.suffixes)


def format_of(path: Path) -> FileFormat:
    """The format that the suffix of a path promises. ValueError if it promises none."""
    for file_format in FILE_FORMATS:
        if path.suffix.lower() in file_format.suffixes:
            return file_format
    raise ValueError(f"cannot write {path}: its suffix is not one of {', '.join(sorted(IMAGE_SUFFIXES))}")


def list_images(
    folder: Path | str,
    recursive: bool = False,
    *,
    suffixes: Container[str] = IMAGE_SUFFIXES,
    on_error: Callable[[OSError], None] | None = None,
) -> list[Path]:
    """List the images in `folder`, by suffix, in natural order (2 before 10), without hidden files and folders.

    `recursive` looks in subfolders too, through links, each folder once; one that cannot be read is skipped, and
    `on_error` called. ValueError if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is {'a file' if folder.exists() else 'missing'}: give a folder of images")
    found: list[Path] = []
    seen: set[str] = set()
    for parent, subfolders, files in os.walk(folder, followlinks=True, onerror=on_error):
        real = os.path.realpath(parent)
        if real in seen:  # a link back: its images are listed already
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if recursive and not name.startswith("."))
        images = (name for name in files if os.path.splitext(name)[1].lower() in suffixes)
        found += [Path(parent, name) for name in images if not name.startswith(".")]
    return sorted(found, key=lambda path: natural_key(path.relative_to(folder).as_posix()))


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key that orders the numbers inside names by value."""
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name
