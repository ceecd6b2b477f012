"""The packed training set: raw pixels in one LMDB file, so that a crop is read from the memory map without decoding.

Each image is one value, its (H, W, 3) uint8 RGB pixels row by row, under its eight-digit index; `metadata` is JSON
with format, version, names and sizes, and the SHA-256 of these. An image that could not be read has a size of 0 and no
pixels. `data/build_lmdb.py` writes it.
"""

import copy
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

FORMAT = "cdsr-lmdb"
VERSION = 1
METADATA_KEY = b"metadata"

_REBUILD = "make it again with python -m data.build_lmdb"
_transactions: dict[tuple[int, int], lmdb.Transaction] = {}  # by device and inode: LMDB opens a file once a process


def image_key(index: int) -> bytes:
    """Key of an image's pixels."""
    return b"%08d" % index


def is_lmdb(path: Path) -> bool:
    """Whether `path` is named as an LMDB file, or is a folder that holds one."""
    return path.suffix.lower() == ".lmdb" or (path / "data.mdb").is_file()


def encode_metadata(names: Sequence[str], sizes: Sequence[tuple[int, int]]) -> bytes:
    """Names and (height, width) of the images, in the order of their keys, as JSON in ASCII."""
    images = [{"name": name, "height": int(h), "width": int(w)} for name, (h, w) in zip(names, sizes, strict=True)]
    return json.dumps({"format": FORMAT, "version": VERSION, "sha256": _digest(images), "pictures": images}).encode()


class LmdbSource:
    """Images of a packed set; see `ImageSource` in `data/sources.py`.

    Arrays are read-only views of the memory map. The file is opened once in a process, read-only and without LMDB's
    lock table, so that a forked worker shares nothing but its pages. ValueError for a file that is missing,
    truncated, damaged or not made by `data.build_lmdb`.
    """

    def __init__(self, path: Path) -> None:
        self.path = _data_file(path)
        images = _read_metadata(self.path)
        self.names = [str(image["name"]) for image in images]
        self.sizes = np.array([(image["height"], image["width"]) for image in images], np.int64).reshape(-1, 2)
        self._keys = [image_key(i) for i in range(len(images))]
        self._reader: lmdb.Transaction | None = None
        for name, key, (height, width) in zip(self.names, self._keys, self.sizes, strict=True):
            value = _get(self.path, key)
            if value is None or len(value) != height * width * 3:
                raise ValueError(f"{self.path}: the pixels of {name} are not whole; {_REBUILD}")

    def select(self, indices: Sequence[int] | np.ndarray) -> "LmdbSource":
        """The same set with these images alone, in this order."""
        chosen = copy.copy(self)
        chosen.names = [self.names[i] for i in indices]
        chosen.sizes = self.sizes[np.asarray(indices, np.int64)]
        chosen._keys = [self._keys[i] for i in indices]
        return chosen

    def __getstate__(self) -> dict[str, Any]:  # a worker that is spawned, not forked, opens the file itself
        return vars(self) | {"_reader": None}

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        height, width = self.sizes[index]
        if self._reader is None:
            self._reader = _transaction(self.path)
        value = self._reader.get(self._keys[index])
        assert value is not None  # seen by __init__, and nobody writes to the file
        return np.frombuffer(value, np.uint8).reshape(height, width, 3)


def _digest(images: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(images, sort_keys=True).encode()).hexdigest()


def _data_file(path: Path) -> Path:
    file = path / "data.mdb" if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"{file} is missing: give an LMDB made by python -m data.build_lmdb, or a folder of images")
    return file


def _transaction(path: Path) -> lmdb.Transaction:
    """The one read transaction of this process on a file; never closed, since images are views of its memory."""
    status = os.stat(path)
    key = (status.st_dev, status.st_ino)
    if key not in _transactions:
        try:
            environment = lmdb.open(str(path), subdir=False, lock=False, readonly=True, create=False)
        except lmdb.Error as error:
            raise ValueError(f"{path} is not an LMDB file ({error}); {_REBUILD}") from error
        needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
        if status.st_size < needed:  # reading past the end of a memory map kills the process
            environment.close()
            raise ValueError(f"{path} is truncated: {status.st_size} bytes of {needed}; {_REBUILD}")
        _transactions[key] = environment.begin(buffers=True)
    return _transactions[key]


def _get(path: Path, key: bytes) -> Any:
    try:
        return _transaction(path).get(key)
    except lmdb.Error as error:  # a page is not what it was, as in a file fetched in part
        raise ValueError(f"{path} is damaged ({error}); {_REBUILD}") from error


def _read_metadata(path: Path) -> list[dict[str, Any]]:
    value = _get(path, METADATA_KEY)
    try:
        metadata = json.loads(bytes(value)) if value is not None else {}
        recognised = metadata["format"] == FORMAT and metadata["version"] == VERSION
        images = metadata["pictures"]
        whole = metadata["sha256"] == _digest(images)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} was not made by data.build_lmdb: its metadata are missing or broken") from error
    if not recognised:
        raise ValueError(
            f"{path} has format {metadata['format']} {metadata['version']}, not {FORMAT} {VERSION}; {_REBUILD}"
        )
    if not whole:
        raise ValueError(f"{path}: its list of images does not match its SHA-256; {_REBUILD}")
    return list(images)
