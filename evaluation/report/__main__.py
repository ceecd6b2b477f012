"""The command line of the report: `python -m evaluation.report RUN...`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evaluation.report import __doc__ as description
from evaluation.report import write_report


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.report", description=(description or "").split("\n\n")[0]
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folder, results folder or result file")
    parser.add_argument("--out", type=Path, help="folder to write into (default: results of the first RUN)")
    args = parser.parse_args(arguments)
    first: Path = args.runs[0]
    default = first.parent if first.is_file() else first / "results" if (first / "results").is_dir() else first
    try:
        page = write_report(args.runs, args.out or default)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print((page.parent / "report.md").read_text(encoding="utf-8"))
    print(f"report: {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
