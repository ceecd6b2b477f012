"""From what a user names (files, folders, patterns) to a list of images, each with the path of its result."""

import glob
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.image import IMAGE_SUFFIXES, natural_key

SUFFIXES = IMAGE_SUFFIXES | {".gif"}

logger = logging.getLogger("cdsr")


@dataclass(frozen=True)
class Source:
    """An image to upscale: where it is, and where in the tree of the results it goes (with its own suffix)."""

    path: Path
    relative: Path


class Unreadable(ValueError):
    """A folder that may not be looked into."""


def find_images(words: Sequence[str | Path], *, leave_out: Path | None = None) -> tuple[list[Source], list[str]]:
    """Resolve files, folders and glob patterns.

    A folder keeps its tree below the results (below its own name where several are given), a pattern the tree from
    its first wildcard on; a file goes to the top. Hidden files in folders, and what lies in `leave_out` (earlier
    results), are passed over. An image that is named twice is taken once.

    Returns:
        the images, folder by folder in natural order; and a line for each word or folder that cannot be used.
    """
    found: dict[str, Source] = {}
    problems: list[str] = []
    results = os.path.realpath(leave_out) if leave_out else None
    for word in words:
        named_inside = results is not None and Path(os.path.realpath(word)).is_relative_to(results)
        num_problems = len(problems)
        own = list(_resolve(str(word), several=len(words) > 1, problems=problems))
        if not own and len(problems) == num_problems:
            problems.append(f"no images in {word}: looked for {', '.join(sorted(SUFFIXES))}")
        for source in own:
            real = os.path.realpath(source.path)
            if not (results and not named_inside and Path(real).is_relative_to(results)):
                found.setdefault(real, source)
    return list(found.values()), problems


def _resolve(word: str, *, several: bool, problems: list[str]) -> Iterator[Source]:
    path = Path(word)
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except OSError as error:
        problems.append(f"cannot read {word}: {error.strerror}")
        return
    if is_folder:
        below = Path(path.resolve().name) if several else Path()
        yield from (Source(file, below / file.relative_to(path)) for file in _walk(path, problems))
    elif exists:
        yield Source(path, Path(path.name))
    elif glob.has_magic(word):
        parts = path.parts
        first = next(index for index, part in enumerate(parts) if glob.has_magic(part))
        base = Path(*parts[:first])
        matches = (Path(match) for match in glob.iglob(word, recursive=True))
        files = [match for match in matches if match.is_file() and match.suffix.lower() in SUFFIXES]
        yield from (
            Source(file, file.relative_to(base)) for file in sorted(files, key=lambda file: natural_key(str(file)))
        )
    else:
        problems.append(f"cannot read {word}: no such file or folder")


def _walk(folder: Path, problems: list[str]) -> list[Path]:
    """Images of a folder and its subfolders, through links, each folder once."""

    def refused(error: OSError) -> None:
        problems.append(f"cannot look into {error.filename}: {error.strerror}")

    files: list[Path] = []
    seen: set[str] = set()
    for parent, subfolders, names in os.walk(folder, followlinks=True, onerror=refused):
        real = os.path.realpath(parent)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        files += [
            Path(parent, name)
            for name in names
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES
        ]
    return sorted(files, key=lambda file: natural_key(file.relative_to(folder).as_posix()))
