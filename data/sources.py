"""Where training images come from: a folder of files, or a packed LMDB. Both give the same pixels by index."""

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np

from data.lmdb import LmdbSource, is_lmdb
from utils.image import IMAGE_SUFFIXES, ImageError, list_images, read_rgb, read_size
from utils.log import logger

DATA_SET = "DF2K"  # sub-folder looked into where a folder has no images of its own
CACHE_BYTES = 2 * 1024**3  # decoded images kept in memory, over all workers of a process
MAX_NAMED = 10  # images named one by one in a warning before the rest is only counted


class ImageSource(Protocol):
    """Images by index: `names` (relative paths) and `sizes`, (N, 2) int64 of (height, width), in one order.

    One that cannot be read is there as well, with a size of 0, so that all keep their numbers.
    """

    names: list[str]
    sizes: np.ndarray

    def select(self, indices: Sequence[int] | np.ndarray) -> "ImageSource":
        """The same source with these images alone, in this order."""

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB, perhaps read-only; ImageError if it cannot be read."""


class FolderSource:
    """Image files under `folder`, decoded when asked for; see `ImageSource`.

    The last decoded images stay in memory up to `cache_bytes`, the least recently used going first; one always stays.
    """

    def __init__(self, folder: Path, names: list[str], sizes: np.ndarray, cache_bytes: int = CACHE_BYTES) -> None:
        self.folder = folder
        self.names = names
        self.sizes = sizes
        self.cache_bytes = cache_bytes
        self._cache: OrderedDict[int, np.ndarray] = OrderedDict()
        self._cached_bytes = 0

    def select(self, indices: Sequence[int] | np.ndarray) -> "FolderSource":
        """The same folder with these images alone, in this order, and an empty cache."""
        names = [self.names[i] for i in indices]
        return FolderSource(self.folder, names, self.sizes[np.asarray(indices, np.int64)], self.cache_bytes)

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB; ImageError if it cannot be decoded."""
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        path = self.folder / self.names[index]
        image = read_rgb(path)
        if image.shape[:2] != tuple(self.sizes[index]):
            raise ImageError(f"cannot use {path}: its size is not the one that its header said at the start")
        self._cache[index] = image
        self._cached_bytes += image.nbytes
        while self._cached_bytes > self.cache_bytes and len(self._cache) > 1:
            self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return image


def open_source(path: Path, cache_bytes: int = CACHE_BYTES, name: str = DATA_SET) -> ImageSource:
    """All images of a folder, or of an LMDB (`*.lmdb`, or a folder with data.mdb), in natural order.

    Only headers are read. One that cannot be read is named in a warning; ValueError if none can. A folder without
    images of its own stands for its `HR/`, its `name`/HR/ or `name`/, or else all that lies below it.
    """
    return LmdbSource(path) if is_lmdb(path) else _open_folder(path, cache_bytes, name)


def large_enough(source: ImageSource, smallest_side: int, purpose: str) -> ImageSource:
    """The readable images of at least `smallest_side` HR pixels; smaller ones are named in a warning.

    purpose: of the images, for messages. ValueError if none is left.
    """
    smallest = source.sizes.min(axis=1)
    if (smallest < smallest_side).all():
        raise ValueError(
            f"none of the {len(source.names)} images {purpose} is at least {smallest_side} pixels high and wide; give "
            "larger images, another --data_range, or a smaller --patch_size or --context"
        )
    too_small = [source.names[i] for i in np.flatnonzero((smallest > 0) & (smallest < smallest_side))]
    warn_of_skipped(f"images {purpose}", too_small, f"smaller than the {smallest_side} pixels of a training patch")
    return source.select(np.flatnonzero(smallest >= smallest_side))


def find_images(path: Path, name: str = DATA_SET) -> tuple[Path, list[str]]:
    """The folder that holds the images `path` stands for, and their names relative to it. ValueError if none."""
    for folder in (path, path / "HR", path / name / "HR", path / name):
        if (folder == path or folder.is_dir()) and (found := list_images(folder)):
            break
    else:
        folder, found = path, list_images(path, recursive=True)
    if not found:
        raise ValueError(
            f"{path} holds no images: looked for {', '.join(sorted(IMAGE_SUFFIXES))} in it, in HR/, in "
            f"{name}/HR/, in {name}/ and in all folders below. Expected {path}/0001.png, {path}/0002.png, ..., or an "
            "LMDB made by python -m data.build_lmdb"
        )
    return folder, [file.relative_to(folder).as_posix() for file in found]


def read_sizes(folder: Path, names: list[str]) -> tuple[np.ndarray, list[str]]:
    """(N, 2) sizes of images by their headers, 0 where these cannot be read, and why they cannot."""
    errors: list[str] = []

    def size_or_zero(name: str) -> tuple[int, int]:
        try:
            return read_size(folder / name)
        except ImageError as error:
            errors.append(str(error))
            return 0, 0

    with ThreadPoolExecutor(8) as pool:
        sizes = np.array(list(pool.map(size_or_zero, names)), np.int64)
    if not sizes.any():
        raise ValueError(f"{folder}: none of its {len(names)} images can be read; the first: {min(errors)}")
    return sizes, sorted(errors)


def warn_of_skipped(where: Path | str, names: Sequence[str], reason: str) -> None:
    """Warn, naming the images left out."""
    if names:
        more = f"; and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        logger.warning("%s: %d skipped, %s: %s%s", where, len(names), reason, "; ".join(names[:MAX_NAMED]), more)


def _open_folder(path: Path, cache_bytes: int, name: str) -> FolderSource:
    folder, names = find_images(path, name)
    if folder != path:
        logger.info("%s holds no images itself: those of %s are used", path, folder)
    sizes, errors = read_sizes(folder, names)
    warn_of_skipped(folder, errors, "unreadable")
    return FolderSource(folder, names, sizes, cache_bytes)
