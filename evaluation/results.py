"""Rows of an evaluation, their means, and the files and tables they are kept in."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.metrics import METRICS
from utils.files import finite_or_null, replacing, write_json

PRECISIONS = {"single": "single precision (float32)", "half": "float16 autocast", "bf16": "bfloat16 autocast"}

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
    """One row: an image under one kernel. A row that failed has an error and no values.

    peak_memory: the most memory held while the network ran, MiB, where it ran alone.
    """

    image: str
    kernel: str
    values: Mapping[str, float] = field(default_factory=dict)
    seconds: float = NAN
    error: str = ""
    peak_memory: float = NAN


@dataclass(frozen=True)
class Summary(Measured):
    """Means over the rows of a set that did not fail."""

    values: Mapping[str, float]
    num_images: int
    num_rows: int
    num_failed: int
    seconds: float


def summarize(results: Sequence[Result]) -> Summary:
    """Average the rows that did not fail."""
    good = [row for row in results if not row.error]
    names = dict.fromkeys(name for row in good for name in row.values)
    return Summary(
        values={name: _mean(row.values[name] for row in good) for name in names},
        num_images=len({row.image for row in good}),
        num_rows=len(good),
        num_failed=len(results) - len(good),
        seconds=_mean(row.seconds for row in good),
    )


def by_kernel(results: Sequence[Result]) -> dict[str, dict[str, float]]:
    """Means for each kernel."""
    labels = dict.fromkeys(row.kernel for row in results)
    return {label: dict(summarize([row for row in results if row.kernel == label]).values) for label in labels}


def by_severity(results: Sequence[Result], severities: Mapping[str, str]) -> dict[str, Summary]:
    """Means for each severity, which kernels have by their labels; nothing where they have none."""
    names = dict.fromkeys(severity for severity in severities.values() if severity)
    return {name: summarize([row for row in results if severities[row.kernel] == name]) for name in names}


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return float(np.mean(values)) if values else NAN


def table(summaries: Mapping[str, Summary], costs: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """Format one line a set, as GitHub Markdown.

    costs: by set, further columns (time, memory, ...).
    """
    costs = costs or {}
    names = list(dict.fromkeys(name for row in summaries.values() for name in row.values)) or ["psnr", "ssim"]
    extra = list(dict.fromkeys(name for columns in costs.values() for name in columns))
    columns = ["set", *(METRICS[name].title for name in names), "images", "rows", "failed", *extra]
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for set_name, row in summaries.items():
        values = [f"{row.values.get(name, NAN):.{METRICS[name].decimals}f}" for name in names]
        counts = [str(row.num_images), str(row.num_rows), str(row.num_failed)]
        cost = [costs.get(set_name, {}).get(name, "") for name in extra]
        lines.append("| " + " | ".join([set_name, *values, *counts, *cost]) + " |")
    return "\n".join(lines)


def precision_note(precisions: Iterable[str]) -> str:
    """Say for a table's caption what arithmetic the networks ran in."""
    return f"Networks run in {' and '.join(PRECISIONS[name] for name in dict.fromkeys(precisions))}."


def write_results(path: Path, results: Sequence[Result], *, context: Mapping[str, Any]) -> None:
    """Write `path`.csv, one row an image and kernel, and `path`.json with the means and what was measured how."""
    names = list(dict.fromkeys(name for row in results for name in row.values))
    with (
        replacing(path.with_name(path.name + ".csv")) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "kernel", *names, "seconds", "error"])
        for row in results:
            numbers = finite_or_null([*(row.values.get(name) for name in names), row.seconds])
            writer.writerow([row.image, row.kernel, *numbers, row.error])
    summary = asdict(summarize(results))
    content = {**context, "summary": {**summary.pop("values"), **summary}, "by_kernel": by_kernel(results)}
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
