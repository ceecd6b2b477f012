"""From what a user names (files, folders, patterns) to a list of images, each with its place among the results."""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from utils.image import IMAGE_SUFFIXES, list_images, natural_key

SUFFIXES = frozenset({*IMAGE_SUFFIXES, ".gif"})


@dataclass(frozen=True)
class Source:
    """An image to upscale.

    Args:
        path: of its file.
        relative: its place in the tree of the results, with its own name and suffix.
    """

    path: Path
    relative: Path

    def is_at(self, path: Path) -> bool:
        """Whether `path` is the image's own file."""
        return os.path.realpath(self.path) == os.path.realpath(path)


def find_images(words: Sequence[str | Path], *, leave_out: Path | None = None) -> tuple[list[Source], list[str]]:
    """Resolve files, folders and glob patterns.

    A folder keeps its tree below the results (below its own name where several are given), a pattern the tree from
    its first wildcard on; a file goes to the top. Those that would share a place go below the name of the folder that
    they are from. Hidden files in folders, and what lies in `leave_out` (earlier results), are passed over. An image
    that is named twice is taken once.

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
    shared = Counter(source.relative for source in found.values())
    return [_apart(source) if shared[source.relative] > 1 else source for source in found.values()], problems


def _apart(source: Source) -> Source:
    """The image below the name of the folder that its place is counted from."""
    folder = source.path.absolute().parents[len(source.relative.parts) - 1]
    return replace(source, relative=Path(folder.name) / source.relative)


def _resolve(word: str, *, several: bool, problems: list[str]) -> Iterator[Source]:
    path = Path(word)

    def refused(error: OSError) -> None:
        problems.append(f"cannot look into {error.filename}: {error.strerror}")

    try:
        is_folder, exists = path.is_dir(), path.exists()
    except OSError as error:
        problems.append(f"cannot read {word}: {error.strerror}")
        return
    if is_folder:
        below = Path(path.resolve().name) if several else Path()
        files = list_images(path, recursive=True, suffixes=SUFFIXES, on_error=refused)
        yield from (Source(file, below / file.relative_to(path)) for file in files)
    elif exists:
        yield Source(path, Path(path.name))
    elif glob.has_magic(word):
        first = next(index for index, part in enumerate(path.parts) if glob.has_magic(part))
        base = Path(*path.parts[:first])
        matches = (Path(match) for match in sorted(glob.iglob(word, recursive=True), key=natural_key))
        files = [match for match in matches if match.is_file() and match.suffix.lower() in SUFFIXES]
        yield from (Source(file, file.relative_to(base)) for file in files)
    else:
        problems.append(f"cannot read {word}: no such file or folder")
