"""Files: written so that a crash or a full disk never harms what was there before, and their hashes."""

import contextlib
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it is synced and renamed to `path`, else removed.

    Raises:
        OSError: the disk is full or the folder cannot be written; `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]  # instead of the name, which may be long
    temporary = path.with_name(f".{os.getpid()}-{digest}.tmp{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """See, before the work for it, that a file can be written; makes its folder. OSError: it cannot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        path.stat()  # refuses a name that is too long
    with tempfile.TemporaryFile(dir=path.parent):
        pass


def sha256(path: Path) -> str:
    """Hash a file's content, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically. NaN and infinities become null, which JSON has."""
    with replacing(path) as temporary:
        text = json.dumps(finite_or_null(content), indent=2, default=str, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def as_json(content: Any) -> Any:
    """Give `content` as it comes back from a JSON file, to be compared with one."""
    return json.loads(json.dumps(finite_or_null(content), default=str))


def finite_or_null(content: Any) -> Any:
    """Copy `content`, a nest of mappings and sequences, with None in the place of numbers that are not finite."""
    if isinstance(content, float) and not math.isfinite(content):
        return None
    if isinstance(content, Mapping):
        return {key: finite_or_null(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite_or_null(value) for value in content]
    return content
