"""What results will be: their names, no two alike, and what their formats lose."""

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from restore.sources import Source
from utils.image import IMAGE_SUFFIXES, MAX_PIXELS, Image
from utils.image.files import FileFormat


class TooLargeError(ValueError):
    """A format does not hold so many pixels a side."""


@dataclass(frozen=True)
class OutputOptions:
    """How results are written.

    Args:
        file_format: "auto" (the image's own) or a suffix such as png.
        quality: of JPEG, WebP and AVIF, 1 to 100.
        suffix: appended to the name.
        bits: "auto" (the image's own), "8" or "16".
        overwrite: replace results that exist.
        max_pixels: largest image read.
    """

    file_format: str = "auto"
    quality: int = 95
    suffix: str = "_x2"
    bits: str = "auto"
    overwrite: bool = False
    max_pixels: int = MAX_PIXELS


def plan(sources: Sequence[Source], folder: Path, options: OutputOptions) -> list[tuple[Source, Path]]:
    """Name the result of each image in `folder`.

    An image that is converted keeps its suffix in the name (a.gif_x2.png), whatever else there is: an image that is
    added later to a folder never counts another's result as its own. So do images whose results would have one name
    in any case. Results of an earlier run that lie among the images are not upscaled again.
    """
    planned, taken = [], set[str]()
    for source in sources:
        ending = suffix_for(options.file_format, source.path)
        short, long = (f"{name}{options.suffix}" for name in (source.relative.stem, source.relative.name))
        is_converted = ending.lower() != source.path.suffix.lower()
        names = itertools.chain(
            (long,) if is_converted else (short, long), (f"{long}_{number}" for number in itertools.count(2))
        )
        targets = (folder / source.relative.with_name(name + ending) for name in names)
        target = next(target for target in targets if str(target).casefold() not in taken)
        taken.add(str(target).casefold())
        planned.append((source, target))
    results = {os.path.realpath(target) for source, target in planned if not source.is_at(target)}
    return [(source, target) for source, target in planned if os.path.realpath(source.path) not in results]


def suffix_for(file_format: str, path: Path) -> str:
    """Suffix of a result by `--format`; `auto` is the image's own, or .png for one that cannot be written (GIF)."""
    if file_format != "auto":
        return f".{file_format}"
    return path.suffix if path.suffix.lower() in IMAGE_SUFFIXES else ".png"


def losses(image: Image, file_format: FileFormat, *, height: int, width: int, num_bits: int) -> list[str]:
    """Say in words for the user what the format lacks for `image`, enlarged to this size.

    Raises:
        TooLargeError: it does not hold the size at all.
    """
    if max(height, width) > file_format.max_side or height * width > file_format.max_pixels:
        most = f" and {file_format.max_pixels / 1e6:.0f} megapixels" if file_format.max_pixels < 2**62 else ""
        raise TooLargeError(
            f"{file_format.name} holds at most {file_format.max_side} pixels a side{most}, not {width}x{height}; "
            "give --format png"
        )
    has_metadata = bool(image.icc_profile or image.exif or image.xmp)
    lost = {
        "no alpha: laid on white": image.alpha is not None and not file_format.alpha,
        "8 bits alone: rounded": num_bits == 16 and not file_format.deep,
        "no profile and metadata: left out": has_metadata and not file_format.metadata,
    }
    return [words for words, applies in lost.items() if applies]
