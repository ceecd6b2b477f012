"""What a report is made of: the result files of runs, grouped by what was measured."""

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.test_sets import TEST_SETS
from evaluation.report.published_results import REFERENCE, published

NUM_KERNELS = {"cdsr": 9}
"""Of the protocols with printed figures; an evaluation under fewer does not compare."""

logger = logging.getLogger("cdsr")

Pair = tuple[float | None, float | None]


@dataclass(frozen=True)
class Evaluation:
    """A result file: one model on one set."""

    path: Path
    content: dict[str, Any]

    @property
    def protocol(self) -> dict[str, Any]:
        """As `Protocol.describe()` has it."""
        return dict(self.content["protocol"])

    @property
    def set_name(self) -> str:
        """Name of the set."""
        return str(self.content["set"])

    @property
    def run(self) -> str:
        """Folder of the run, or of the results where they are in no run."""
        folder = self.path.resolve().parent
        return folder.parent.name if folder.name == "results" else folder.name

    @property
    def method(self) -> str:
        """What the row is called."""
        marks = list(self.content["checkpoint"].get("variant", []))
        marks += [] if self.content.get("precision", "single") == "single" else [self.content["precision"]]
        marks += ["self-ensemble"] if self.content.get("self_ensemble") else []
        model = str(self.content["checkpoint"]["model"])
        return model + (f" ({', '.join(marks)})" if marks else "")

    @property
    def pair(self) -> Pair:
        """PSNR and SSIM."""
        summary = self.content["summary"]
        return summary.get("psnr"), summary.get("ssim")


@dataclass(frozen=True)
class Row:
    """A method in a table: its (PSNR, SSIM) by set."""

    method: str
    is_ours: bool
    values: dict[str, Pair]
    run: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """Evaluations that compare: one protocol, scale and noise, the same kernels."""

    protocol: str
    scale: int
    noise: float
    labels: tuple[str, ...]
    evaluations: tuple[Evaluation, ...]

    @property
    def title(self) -> str:
        """For a heading."""
        kernels = f"{len(self.labels)} kernels" if len(self.labels) > 1 else f"kernel {self.labels[0]}"
        return f"Protocol {self.protocol}, ×{self.scale}, noise {self.noise:g} ({kernels})"

    @property
    def sets(self) -> list[str]:
        """Columns of the table: the four usual sets first."""
        names = {evaluation.set_name for evaluation in self.evaluations}
        return [name for name in TEST_SETS if name in names] + sorted(names - set(TEST_SETS))

    @property
    def rows(self) -> list[Row]:
        """Printed rows, then ours."""
        printed = []
        if len(self.labels) == NUM_KERNELS.get(self.protocol):
            printed = [
                Row(row.method, False, dict(row.values)) for row in published(self.protocol, self.scale, self.noise)
            ]
        ours: dict[tuple[str, str], list[Evaluation]] = {}
        for evaluation in self.evaluations:
            ours.setdefault((evaluation.method, evaluation.run), []).append(evaluation)
        return printed + [
            Row(method, True, {one.set_name: one.pair for one in own}, run, tuple(_notes(own)))
            for (method, run), own in ours.items()
        ]

    @property
    def reference(self) -> Row | None:
        """The printed row that differences are taken from."""
        return next((row for row in self.rows if not row.is_ours and row.method == REFERENCE), None)

    def difference(self, row: Row, test_set: str) -> Pair:
        """Ours less the reference, None where either is missing."""
        if self.reference is None or not row.is_ours or test_set not in row.values:
            return None, None
        theirs = self.reference.values.get(test_set, (None, None))
        ours = row.values[test_set]
        return _less(ours[0], theirs[0]), _less(ours[1], theirs[1])


def _less(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second


def _notes(evaluations: Iterable[Evaluation]) -> list[str]:
    """What a reader of the row must know."""
    notes: dict[str, None] = {}
    for one in evaluations:
        notes |= dict.fromkeys(one.content.get("warnings") or [])
        summary = one.content["summary"]
        if summary["num_failed"]:
            notes[f"{one.set_name}: {summary['num_failed']} rows failed and are left out"] = None
        grey = summary.get("grey_as_one_plane")
        if summary.get("num_grey_images") and grey and grey.get("psnr") is not None:
            notes[
                f"{one.set_name}: {summary['num_grey_images']} grey file measured as RGB on Y; measured as one "
                f"plane, the set has {grey['psnr']:.2f} dB"
            ] = None
    return list(notes)


def results_of(run: Path) -> list[Path]:
    """Result files of a run folder, of its results folder, or the file itself.

    Raises:
        ValueError: there are none.
    """
    if run.is_file():
        return [run]
    folder = run / "results" if (run / "results").is_dir() else run
    paths = [path for path in sorted(folder.glob("*.json")) if _is_result(path)] if folder.is_dir() else []
    if not paths:
        raise ValueError(f"no results in {folder}: give a run that was evaluated, or evaluate it with test.py")
    return paths


def _is_result(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        logger.warning("%s is left out: %s", path, error)
        return False
    return isinstance(content, dict) and {"set", "protocol", "checkpoint", "summary", "by_kernel"} <= content.keys()


def read_groups(runs: Sequence[Path]) -> list[Group]:
    """Group the results of runs by protocol, scale, noise and kernels."""
    groups: dict[tuple[str, int, float, tuple[str, ...]], list[Evaluation]] = {}
    for path in dict.fromkeys(path.resolve() for run in runs for path in results_of(run)):
        evaluation = Evaluation(path, json.loads(path.read_text(encoding="utf-8")))
        protocol = evaluation.protocol
        labels = tuple(test_kernel["label"] for test_kernel in protocol["test_kernels"])
        key = (protocol["protocol"], protocol["scale"], protocol["noise"], labels)
        groups.setdefault(key, []).append(evaluation)
    return [Group(*key, tuple(own)) for key, own in sorted(groups.items())]
