"""The page of a report: one file that needs no other, from the templates beside this module."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from evaluation.figures import figure_bytes
from evaluation.plots import curves
from evaluation.report.comparisons import comparisons, data_uri
from evaluation.report.groups import Group, names_of_runs, told_apart
from evaluation.report.tables import format_pair
from utils.log import logger
from utils.run import read_metrics

FIGURES = {"codes": ".png", "kernels": "_kernels.png", "strengths": "_strengths.png"}
"""Ends of the names of what `test.py --embeddings` draws."""


def to_html(groups: Sequence[Group], runs: Sequence[Path]) -> str:
    """Fill the templates, one for each part; a part without content is left out."""
    evaluations = [one for group in groups for one in group.evaluations]
    folders = names_of_runs(evaluations)
    weights = {(one.path.parent, one.content["checkpoint"].get("sha256")) for one in evaluations}

    def is_evaluated(folder: Path, checkpoint: Mapping[str, Any]) -> bool:
        if (folder, checkpoint.get("sha256")) in weights:
            return True
        logger.warning("%s: what is of other weights than the results is left out", folder)
        return False

    parts = {
        "Results": groups,
        "By kernel": [group for group in groups if len(group.labels) > 1],
        "Images": comparisons(folders, is_evaluated),
        "Training": _training([*runs, *(folder.parent for folder in folders)]),
        "What the encoder learnt": _embeddings(folders, is_evaluated),
        "What was measured": [(one, folders[one.path.parent]) for one in evaluations],
    }
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"anchor": _anchor, "pair": format_pair, "percent": _percent}
    environment.globals["signed"] = _signed
    title = ", ".join(dict.fromkeys(one.run for one in evaluations))
    kept = {name: content for name, content in parts.items() if content}
    return environment.get_template("page.html").render(title=title, parts=kept)


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _signed(value: float, decimals: int) -> Markup:
    text = f"{value:+.{decimals}f}".replace("-", "−")
    return Markup('<span class="{}">{}</span>').format("up" if value >= 0 else "down", text)


def _training(folders: Iterable[Path]) -> list[tuple[str, str]]:
    """Name, whole path where others share it, and curves of the runs that have metrics.jsonl."""
    parts = []
    runs = {folder: folder.name for folder in map(Path.resolve, folders) if (folder / "metrics.jsonl").is_file()}
    for folder, name in told_apart(runs).items():
        try:
            figure = curves(read_metrics(folder))
        except ValueError:  # nothing to draw yet
            continue
        parts.append((name, data_uri(figure_bytes(figure), "png")))
    return parts


def _embeddings(
    folders: Mapping[Path, str], is_evaluated: Callable[[Path, Mapping[str, Any]], bool]
) -> list[tuple[str, dict[str, Any], dict[str, str]]]:
    """Title, probes, and figures by what they show, as `test.py --embeddings` wrote them.

    Args:
        folders: of results, with what their runs are called.
        is_evaluated: whether a checkpoint is one that the results in a folder are of; others are left out.
    """
    parts = []
    for folder, run in folders.items():
        for path in sorted(folder.glob("embeddings_*.json")):
            content = json.loads(path.read_text(encoding="utf-8"))
            if is_evaluated(folder, content.get("checkpoint", {})):
                found = {kind: _picture(path.with_name(path.stem + end)) for kind, end in FIGURES.items()}
                parts.append((f"{path.stem.removeprefix('embeddings_')} ({run})", content, found))
    return parts


def _picture(path: Path) -> str:
    """A PNG file as a data URI, empty where there is none."""
    return data_uri(path.read_bytes(), "png") if path.is_file() else ""
