"""Short trainings to compare: each variant with each seed is one `main.py` in a process of its own.

Rows are written as they come, and a file that is there already is gone on with.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from evaluation.probe import confidence_margin
from utils.device import PRECISIONS
from utils.environment import ROOT, environment
from utils.files import write_json
from utils.known_degradation import KnownDegradation
from utils.run import read_metrics

SIGMAS_X2 = "--scale 2 --sig_min 0.35 --sig_max 5"
"""The published range of kernels, as words for `main.py`."""

ANY_TRUTH = KnownDegradation(torch.zeros(1, 21, 21), torch.zeros(1))
"""For counting the cost of a model that has to be told."""

MAY_CHANGE = {"dir_data", "test_path", "out", "seeds", "jobs", "device", "arms", "baseline", "bodies", "recipes"}
"""Options that a file of rows may be gone on with, whatever they were."""

Row = dict[str, float]
Measure = Callable[[Path], Row]
"""What is measured of a trial, from its run folder."""


def trial_parser(description: str, *, steps: int, epochs: int = 1) -> argparse.ArgumentParser:
    """Make a parser of what all comparisons take: images, budget, seeds, the file to write."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--dir_data", type=Path, required=True, help="as of main.py")
    parser.add_argument("--data_range", default="1-458/459-464", help="training/validation images")
    parser.add_argument("--budget", type=int, default=steps, help="steps that train the SR network")
    parser.add_argument("--epochs", type=int, default=epochs, help="equal parts of the budget")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--patch_size", type=int, default=32, help="LR pixels")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--jobs", type=int, default=1, help="trainings at a time; OMP_NUM_THREADS sets the threads of each"
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write, or to go on with")
    return parser


def run_trials(
    variants: Mapping[str, str], args: argparse.Namespace, measure: Measure, *, module: str = "main"
) -> dict[str, list[Row]]:
    """Train every variant with every seed; returns the rows of each variant, in the order of the seeds.

    Args:
        variants: words for `main.py` by name; they come last and win.
        args: of `trial_parser`.
        measure: called with the folder of each run, before it is deleted.
        module: what trains, as after `python -m`; it takes the words of `main.py`.
    """
    known = read_trials(args.out)
    rows: dict[str, list[Row]] = known.get("rows", {})
    _require_same(known, vars(args), variants, args.out)
    words_of = known.get("variants", {}) | dict(variants)
    facts = environment()
    before = known.get("commits", [known["environment"]["commit"]]) if known else []
    commits = list(dict.fromkeys([*before, facts["commit"]]))
    options = {key: value for key, value in vars(args).items() if key not in ("seeds", "jobs")}
    seeds = range(1, args.seeds + 1)
    missing = [(seed, name) for seed in seeds for name in variants if len(rows.setdefault(name, [])) < seed]
    with ThreadPoolExecutor(args.jobs) as pool:
        found = pool.map(lambda trial: _train(variants[trial[1]], trial[0], args, measure, module), missing)
        for (seed, name), row in zip(missing, found, strict=True):
            rows[name].append(row)
            print(f"seed {seed}, {name}: {_spell(row)}", flush=True)
            record = {"options": options, "variants": words_of, "rows": rows, "environment": facts, "commits": commits}
            write_json(args.out, record)
    return {name: rows[name] for name in variants}


def read_trials(out: Path) -> dict[str, Any]:
    """What `run_trials` wrote, empty where there is no file: options, variants, rows, the environment of the last row,
    and the commits of all of them, in the order of their first rows.
    """
    return json.loads(out.read_text()) if out.is_file() else {}


def _require_same(known: Mapping[str, Any], options: Mapping[str, Any], variants: Mapping[str, str], out: Path) -> None:
    """Refuse to go on with a file whose rows were trained otherwise."""
    differing = [
        f"{name} {old}, not {new}"
        for before, now in ((known.get("options", {}), options), (known.get("variants", {}), variants))
        for name, new in now.items()
        if name not in MAY_CHANGE and name in before and (old := before[name]) != new
    ]
    if differing:
        sys.exit(f"{out} has trials of other options ({'; '.join(differing)}): give another --out")


def _train(words: str, seed: int, args: argparse.Namespace, measure: Measure, module: str) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        options = (
            f"--data_range {args.data_range} --patch_size {args.patch_size} --batch_size {args.batch_size} "
            f"--test_every {args.budget // args.epochs} --epochs_sr {args.epochs} --precision {args.precision} "
            f"--device {args.device} --n_threads 1 --seed {seed} --no-use_tb_logger --save trial {words}"
        )
        images = ["--dir_data", str(args.dir_data.resolve())]
        command = [sys.executable, "-m", *module.split(), *images, *options.split()]
        paths = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=folder, env=paths, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{shlex.join(command)}\n{done.stderr[-2000:]}")
        return measure(next((Path(folder) / "experiment").iterdir()))


def last_weights(run: Path) -> Path:
    """The weights of the last epoch of a run, averaged where averages are kept."""
    return max((run / "model").glob("model_*.pt"), key=lambda path: (int(path.name.split("_")[1]), "_ema" in path.stem))


def validation(run: Path) -> Row:
    """PSNR on the held-out images after the last step, of the averaged weights where they are kept."""
    last = read_metrics(run)[-1]
    return {"validation": last.get("psnr_ema", last["psnr"])}


def table(
    rows: Mapping[str, list[Row]],
    constants: Mapping[str, Mapping[str, str]] | None = None,
    *,
    baseline: str | None = None,
) -> str:
    """Format mean ± standard deviation over the seeds as a Markdown table.

    Args:
        rows: of each variant, in the order of the seeds.
        constants: further columns by variant, the same for every seed.
        baseline: a variant; each figure that it has too is followed by the difference from it, paired by seed, with
            the half width of Student's 95 % interval: where that is the larger, the seeds do not tell the two apart.
    """
    constants = constants or {}
    fixed = list(next(iter(constants.values()), {}))
    columns = list(dict.fromkeys(column for seeds in rows.values() for column in seeds[0]))
    references = {
        column: [row[column] for row in rows[baseline]] if baseline and column in rows[baseline][0] else []
        for column in columns
    }
    heads = [f"− {baseline.partition(':')[0]}"] if baseline else []
    titles = [title for column in columns for title in (column, *(heads if references[column] else []))]
    lines = ["| | " + " | ".join([*fixed, *titles]) + " |", "|---" * (1 + len(fixed) + len(titles)) + "|"]
    for name, seeds in rows.items():
        cells = [constants[name][column] for column in fixed]
        for column in columns:
            values = [row[column] for row in seeds if column in row]
            cells.append(_mean(values) if values else "")
            if references[column]:
                cells.append(_difference(values, references[column]) if values and name != baseline else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _mean(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def _difference(values: Sequence[float], references: Sequence[float]) -> str:
    pairs = [value - reference for value, reference in zip(values, references, strict=False)]
    if len(pairs) < 2:
        return f"{pairs[0]:+.2f}"
    return f"{statistics.mean(pairs):+.2f} ± {confidence_margin(pairs):.2f}"


def _spell(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in row.items())
