"""Where results go: one name for each, no two alike."""

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from restore.sources import Source
from utils.image import IMAGE_SUFFIXES, MAX_PIXELS


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

    Images whose results would have one name (a.png and a.jpg, both written as PNG) keep their suffix in it. Results
    of an earlier run that lie among the images are not upscaled again.
    """
    planned, taken = [], set[str]()
    for source in sources:
        ending = suffix_for(options.file_format, source.path)
        short, long = (f"{name}{options.suffix}" for name in (source.relative.stem, source.relative.name))
        names = itertools.chain((short, long), (f"{long}_{number}" for number in itertools.count(2)))
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
