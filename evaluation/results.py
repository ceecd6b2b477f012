"""Rows of an evaluation, their means, and the files and tables they are kept in."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.measures import DECIMALS, GREY, TITLES
from utils.files import finite_or_null, replacing, write_json

NAN = float("nan")


class Measured:
    """What has values by the name of a metric."""

    values: Mapping[str, float]

    @property
    def psnr(self) -> float:
        """On Y, in dB."""
        return self.values.get("psnr", NAN)

    @property
    def ssim(self) -> float:
        """On Y."""
        return self.values.get("ssim", NAN)


@dataclass(frozen=True)
class Result(Measured):
    """One row: an image under one kernel. A row that failed has an error and no values."""

    image: str
    kernel: str
    values: Mapping[str, float] = field(default_factory=dict)
    seconds: float = NAN
    error: str = ""

    def flat(self) -> dict[str, Any]:
        """One level, for CSV and JSON."""
        return {
            "image": self.image,
            "kernel": self.kernel,
            **finite_or_null(self.values),
            "seconds": finite_or_null(self.seconds),
            "error": self.error,
        }


@dataclass(frozen=True)
class Summary(Measured):
    """Means over the rows of a set that did not fail.

    `values` are as measured; `grey_values` are the same where grey images count as measured on their one plane,
    and empty where there are none.
    """

    values: Mapping[str, float]
    grey_values: Mapping[str, float]
    num_images: int
    num_grey_images: int
    num_rows: int
    num_failed: int
    seconds: float

    def flat(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **self.values,
            "grey_as_one_plane": dict(self.grey_values) or None,
            "num_images": self.num_images,
            "num_grey_images": self.num_grey_images,
            "num_rows": self.num_rows,
            "num_failed": self.num_failed,
            "seconds": self.seconds,
        }


def summarize(results: Sequence[Result]) -> Summary:
    """Average the rows that did not fail."""
    good = [row for row in results if not row.error]
    names = [name for name in dict.fromkeys(name for row in good for name in row.values) if not name.endswith(GREY)]
    grey = [row for row in good if any(name.endswith(GREY) for name in row.values)]
    return Summary(
        values={name: _mean(row.values[name] for row in good) for name in names},
        grey_values={
            name: _mean(row.values.get(name + GREY, row.values[name]) for row in good)
            for name in names
            if any(name + GREY in row.values for row in grey)
        },
        num_images=len({row.image for row in good}),
        num_grey_images=len({row.image for row in grey}),
        num_rows=len(good),
        num_failed=len(results) - len(good),
        seconds=_mean(row.seconds for row in good),
    )


def by_kernel(results: Sequence[Result]) -> dict[str, dict[str, float]]:
    """Means for each kernel."""
    test_kernels = dict.fromkeys(row.kernel for row in results)
    return {
        test_kernel: dict(summarize([row for row in results if row.kernel == test_kernel]).values)
        for test_kernel in test_kernels
    }


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return float(np.mean(values)) if values else NAN


def table(summaries: Mapping[str, Summary], costs: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """Format one line a set, as GitHub Markdown, and a note for a set with grey images.

    costs: by set, further columns (time, memory, ...).
    """
    names = list(dict.fromkeys(name for row in summaries.values() for name in row.values)) or ["psnr", "ssim"]
    extra = list(dict.fromkeys(name for columns in (costs or {}).values() for name in columns))
    columns = ["set", *(TITLES.get(name, name) for name in names), "images", "rows", "failed", *extra]
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for set_name, row in summaries.items():
        figures = [f"{row.values.get(name, NAN):.{DECIMALS.get(name, 4)}f}" for name in names]
        counts = [str(row.num_images), str(row.num_rows), str(row.num_failed)]
        cost = [(costs or {}).get(set_name, {}).get(name, "") for name in extra]
        lines.append("| " + " | ".join([set_name, *figures, *counts, *cost]) + " |")
    return "\n".join([*lines, *grey_notes(summaries)])


def grey_notes(summaries: Mapping[str, Summary]) -> list[str]:
    """Say for each set with grey images what the other reading of them gives."""
    return [
        f"\n{name}: of {row.num_images} images, {row.num_grey_images} is a grey file, measured as RGB on Y (the "
        "default, as CDSR's and DASR's code does); measured as one plane of 0 to 255, the set has "
        + " / ".join(f"{value:.{DECIMALS.get(key, 4)}f}" for key, value in row.grey_values.items())
        for name, row in summaries.items()
        if row.num_grey_images
    ]


def write_results(path: Path, results: Sequence[Result], *, context: Mapping[str, Any]) -> None:
    """Write `path`.csv, one row an image and kernel, and `path`.json with the means and what was measured how."""
    rows = [row.flat() for row in results]
    names = list(dict.fromkeys(name for row in rows for name in row))
    order = [name for name in names if name not in ("seconds", "error")] + ["seconds", "error"]
    with replacing(path.with_name(path.name + ".csv")) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=order, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    content = {**context, "summary": summarize(results).flat(), "by_kernel": by_kernel(results)}
    write_json(path.with_name(path.name + ".json"), content)


def read_rows(path: Path) -> list[Result]:
    """Read the rows of a CSV file that `write_results` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Result(
                image=row.pop("image"),
                kernel=row.pop("kernel"),
                error=row.pop("error"),
                seconds=float(row.pop("seconds") or NAN),
                values={name: float(value) for name, value in row.items() if value},
            )
            for row in csv.DictReader(file)
        ]
