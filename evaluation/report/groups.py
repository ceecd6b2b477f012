"""What a report is made of: the result files of runs, grouped by what was measured."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.protocols import PROTOCOLS, get_protocol
from data.test_sets import TEST_SETS
from evaluation.report.published_results import NUM_IMAGES, REFERENCE, published_rows
from evaluation.results import precision_note
from utils.log import logger

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
        marks += [] if self.precision == "single" else [self.precision]
        marks += ["OpenVINO"] if self.content.get("backend") == "openvino" else []
        marks += ["self-ensemble"] if self.content.get("self_ensemble") else []
        tile = self.content.get("tile")
        marks += [f"tiles of {tile} size" if tile == "auto" else f"tiles of {tile}"] if tile else []
        model = str(self.content["checkpoint"]["model"])
        return model + (f" ({', '.join(marks)})" if marks else "")

    @property
    def weights(self) -> str:
        """File of the checkpoint and the start of its SHA-256; empty where there is none."""
        checkpoint = self.content["checkpoint"]
        return f"{checkpoint['file']} {checkpoint['sha256'][:8]}" if "sha256" in checkpoint else ""

    @property
    def precision(self) -> str:
        """Of the network, as `--precision` has it."""
        return str(self.content.get("precision", "single"))

    @property
    def settings(self) -> str:
        """Everything that the file says but the means by kernel, as JSON."""
        content = {name: value for name, value in self.content.items() if name != "by_kernel"}
        return json.dumps(content, indent=2, ensure_ascii=False)

    def pair(self, label: str | None = None) -> Pair:
        """PSNR and SSIM, under one kernel or the means over all."""
        values = self.content["summary"] if label is None else self.content["by_kernel"].get(label, {})
        return values.get("psnr"), values.get("ssim")

    def ease(self, label: str) -> float:
        """Where a kernel's PSNR lies between that of the hardest kernel (0) and of the easiest one (100)."""
        psnr = self.pair(label)[0]
        all_psnr = [values["psnr"] for values in self.content["by_kernel"].values() if values.get("psnr") is not None]
        if psnr is None or len(set(all_psnr)) < 2:
            return 0.0
        return float(100 * (psnr - min(all_psnr)) / (max(all_psnr) - min(all_psnr)))


def names_of_runs(evaluations: Iterable[Evaluation]) -> dict[Path, str]:
    """What the run of each folder of results is called: its name, its whole path where others share that."""
    return told_apart({one.path.parent: one.run for one in evaluations})


def told_apart(names: Mapping[Path, str]) -> dict[Path, str]:
    """Each folder's name, its whole path where others share that."""
    shared = Counter(names.values())
    return {folder: name if shared[name] == 1 else str(folder) for folder, name in names.items()}


@dataclass(frozen=True)
class Row:
    """A method in a table: its (PSNR, SSIM) by set."""

    method: str
    is_ours: bool
    values: Mapping[str, Pair]
    run: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """Evaluations that compare: one protocol, scale and noise, the same kernels and reduction."""

    protocol: str
    scale: int
    noise: float
    labels: tuple[str, ...]
    blur_kernel: int
    sample_mode: str
    evaluations: tuple[Evaluation, ...]

    @property
    def title(self) -> str:
        """For a heading."""
        kernels = f"{len(self.labels)} kernels" if len(self.labels) > 1 else f"kernel {self.labels[0]}"
        if self.protocol not in PROTOCOLS:  # whose kernels have one size and one reduction
            kernels += f" of {self.blur_kernel}×{self.blur_kernel}, {self.sample_mode}"
        return f"Protocol {self.protocol}, ×{self.scale}, noise {self.noise:g} ({kernels})"

    @property
    def sets(self) -> list[str]:
        """Columns of the table: the four usual sets first."""
        names = {evaluation.set_name for evaluation in self.evaluations}
        return [name for name in TEST_SETS if name in names] + sorted(names - set(TEST_SETS))

    @property
    def caption(self) -> str:
        """What the tables hold."""
        return f"PSNR (dB) / SSIM on Y. {precision_note(one.precision for one in self.evaluations)}"

    @property
    def methods(self) -> dict[tuple[str, str], list[Evaluation]]:
        """Ours by (method, run), in the order of the sets; runs are called as in `names_of_runs`.

        Where a run has results of several weights, each of these is a run of its own.
        """
        names = names_of_runs(self.evaluations)
        weights: dict[tuple[str, str], set[str]] = defaultdict(set)
        for one in self.evaluations:
            weights[one.method, names[one.path.parent]].add(one.weights)
        methods: dict[tuple[str, str], list[Evaluation]] = {}
        for one in sorted(self.evaluations, key=lambda one: self.sets.index(one.set_name)):
            run = names[one.path.parent]
            if len(weights[one.method, run]) > 1:
                run = f"{run}, {one.weights}"
            methods.setdefault((one.method, run), []).append(one)
        return methods

    @property
    def rows(self) -> list[Row]:
        """Published rows, then ours."""
        rows = published_rows(self.protocol, self.scale, self.noise)
        published = [Row(method, False, values) for method, values in rows.items()]
        if published and len(self.labels) < len(get_protocol(self.protocol, self.scale).test_kernels):
            published = []  # some kernels alone do not compare
        return published + [
            Row(method, True, {one.set_name: one.pair() for one in own}, run, tuple(self._notes(own)))
            for (method, run), own in self.methods.items()
        ]

    @property
    def mixed_sets(self) -> set[str]:
        """Sets whose evaluations are not all of the same images, as far as their files name these."""
        images = {(one.set_name, one.content["images"]) for one in self.evaluations if "images" in one.content}
        return {name for name, number in Counter(name for name, _ in images).items() if number > 1}

    def _notes(self, evaluations: Iterable[Evaluation]) -> list[str]:
        """What a reader of the row must know."""
        notes: dict[str, None] = {}
        for one in evaluations:
            notes |= dict.fromkeys(one.content.get("warnings") or [])
            summary, usual = one.content["summary"], NUM_IMAGES.get(one.set_name)
            if summary["num_failed"]:
                notes[f"{one.set_name}: {summary['num_failed']} rows failed and are left out"] = None
            if usual not in (None, summary["num_images"]):
                notes[f"{one.set_name}: {summary['num_images']} images instead of {usual}"] = None
            if one.set_name in self.mixed_sets:
                notes[f"{one.set_name}: the rows here are not all of the same images"] = None
        return list(notes)

    @property
    def reference(self) -> Row | None:
        """The published row that differences are taken from."""
        return next((row for row in self.rows if not row.is_ours and row.method == REFERENCE), None)

    def difference(self, row: Row, test_set: str) -> Pair:
        """Ours less the reference, None where either is missing."""
        if self.reference is None or not row.is_ours:
            return None, None
        pairs = zip(*(one.values.get(test_set, (None, None)) for one in (row, self.reference)), strict=True)
        psnr, ssim = (None if ours is None or theirs is None else ours - theirs for ours, theirs in pairs)
        return psnr, ssim


def read_evaluations(run: Path) -> list[Evaluation]:
    """Read the result files of a run folder, of its results folder, or the one file given.

    Raises:
        ValueError: there are none.
    """
    folder = run / "results" if (run / "results").is_dir() else run
    paths = [run] if run.is_file() else sorted(folder.glob("*.json"))
    evaluations = []
    for path in paths:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            logger.warning("%s is left out: %s", path, error)
            continue
        if isinstance(content, dict) and content.keys() >= {"set", "protocol", "checkpoint", "summary", "by_kernel"}:
            evaluations.append(Evaluation(path.resolve(), content))
    if not evaluations:
        raise ValueError(f"no results in {folder}: give a run that was evaluated, or evaluate it with test.py")
    return evaluations


def read_groups(runs: Sequence[Path]) -> list[Group]:
    """Group the results of runs by protocol, scale, noise, kernels and reduction."""
    groups: dict[tuple[str, int, float, tuple[str, ...], int, str], list[Evaluation]] = {}
    for evaluation in {one.path: one for run in runs for one in read_evaluations(run)}.values():
        protocol = evaluation.protocol
        labels = tuple(test_kernel["label"] for test_kernel in protocol["test_kernels"])
        of_images = protocol["protocol"], protocol["scale"], protocol["noise"], labels
        key = (*of_images, protocol["blur_kernel"], protocol["sample_mode"])
        groups.setdefault(key, []).append(evaluation)
    return [Group(*key, tuple(own)) for key, own in sorted(groups.items())]
