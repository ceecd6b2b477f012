"""The result table against the published ones: `python -m utils.report RUN...`, or `test.py --report`.

RUN is a run folder, a folder of results, or one result file. Written are report.md, report.csv, report.tex and a
self-contained report.html: tables, kernels, pictures under a slider, curves of training, what the encoder learnt.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from utils.files import replacing
from utils.report_data import read_groups
from utils.report_html import to_html
from utils.report_tables import to_csv, to_latex, to_markdown


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m utils.report", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folder, results folder or result file")
    parser.add_argument("--out", type=Path, help="folder to write into (default: results of the first RUN)")
    args = parser.parse_args(arguments)
    first: Path = args.runs[0]
    default = first.parent if first.is_file() else first / "results" if (first / "results").is_dir() else first
    try:
        page = write_report(args.runs, args.out or default)
    except ValueError as error:
        parser.error(str(error))
    print((page.parent / "report.md").read_text(encoding="utf-8"))
    print(f"report: {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
