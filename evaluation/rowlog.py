"""The rows of an evaluation as they come, so that an interrupted one resumes."""

import glob
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluation.results import Result
from utils.files import as_json, finite_or_null, replacing


class RowLog:
    """`STEM.partN.jsonl` beside the results: first what is evaluated and how, then one line a row.

    Rows of every part count, whichever process of whatever number of them wrote it. A part that was made with other
    settings is left out, and one's own is overwritten. Rows that failed, or without finite values, are done again.

    Args:
        stem: path of the results, without a suffix.
        settings: everything that the rows depend on.
        part: number of this process.
    """

    def __init__(self, stem: Path, settings: Mapping[str, Any], *, part: int = 0) -> None:
        self.path = _part(stem, part)
        self.settings = as_json(settings)
        self.rows: dict[tuple[str, str], Result] = {}
        for path in _parts(stem):
            self.rows |= self._read(path)
        own = self._read(self.path)
        with replacing(self.path) as temporary:
            temporary.write_text("".join([json.dumps(self.settings) + "\n", *map(_line, own.values())]), "utf-8")

    def append(self, row: Result) -> None:
        """Add a row; it is on disk when this returns, unless the machine itself fails."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(row))

    def _read(self, path: Path) -> dict[tuple[str, str], Result]:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            if not lines or json.loads(lines[0]) != self.settings:
                return {}
        except (OSError, ValueError):
            return {}
        rows: dict[tuple[str, str], Result] = {}
        for line in lines[1:]:
            try:
                row = json.loads(line)
            except ValueError:  # cut off in the middle
                continue
            if not row["error"] and None not in row["values"].values():
                rows[row["image"], row["kernel"]] = Result(**row)
        return rows


def remove_parts(stem: Path) -> None:
    """Delete every part, once all results are written."""
    for path in _parts(stem):
        path.unlink(missing_ok=True)


def _line(row: Result) -> str:
    return json.dumps(finite_or_null(asdict(row))) + "\n"


def _part(stem: Path, part: int) -> Path:
    return stem.with_name(f"{stem.name}.part{part}.jsonl")


def _parts(stem: Path) -> list[Path]:
    return sorted(stem.parent.glob(f"{glob.escape(stem.name)}.part*.jsonl"))
