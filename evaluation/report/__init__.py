"""The result table against the published ones: `python -m evaluation.report RUN...`, or `test.py --report`.

RUN is a run folder, a folder of results, or one result file. Written are report.md, report.csv, report.tex and a
self-contained report.html: tables, kernels, images under a slider, curves of training, what the encoder learnt.
"""

from collections.abc import Sequence
from pathlib import Path

from evaluation.report.groups import read_groups
from evaluation.report.page import to_html
from evaluation.report.tables import to_csv, to_latex, to_markdown
from utils.files import replacing


def write_report(runs: Sequence[Path], out: Path) -> Path:
    """Write the report of runs into a folder; returns the path of the page.

    Raises:
        ValueError: a run has no results.
    """
    groups = read_groups(runs)
    pages = {
        "report.md": to_markdown(groups),
        "report.csv": to_csv(groups),
        "report.tex": to_latex(groups),
        "report.html": to_html(groups, runs),
    }
    for name, text in pages.items():
        with replacing(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return out / "report.html"
