"""Our networks beside other people's, by one protocol in one run: `python -m benchmarks.peers --weights FOLDER
--test_path SRTestset`.

Every file of the folder is opened by spandrel (docs/elsewhere.md). All methods upscale an image before any upscales the
next, so that whatever else the machine does hits them alike; a ratio of times is taken within a row. It writes
`peers.md`, `peers.csv` with every row, and `peers.png`: PSNR against seconds and multiply-adds.

Protocol cdsr is what a blind network is for. dasr-iso at width 0 is plain bicubic downsampling, which most published
networks were trained for. The two put the LR pixels elsewhere over the HR ones, and a network trained for one is off by
`scale` - 1 SR pixels under the other; an aligned figure is of the result moved by as much.
"""

import argparse
import csv
import functools
import itertools
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.cost_plot import CostPoint, costs
from benchmarks.pages import provenance
from data.degradation import SCALES
from data.protocol import Protocol
from data.protocols import get_protocol
from data.samples import Testset
from data.test_sets import load_testset
from evaluation.evaluate import PSNR_AND_SSIM, evaluate
from evaluation.metrics import Measure
from evaluation.profiling import Cost, model_cost
from evaluation.results import Result, summarize
from inference.upscaler import Upscaler
from model import create_model, open_model
from model.network import Network
from model.pretrained import blur_and_real
from model.spandrel import open_descriptor
from utils.environment import environment
from utils.files import replacing, sha256
from utils.log import log_to_console, logger

CPU = torch.device("cpu")
OURS, OURS_REAL = "CDSR_S", "CDSR_S, real"

RESULTS = Path("benchmarks/results/peers")


class Method(NamedTuple):
    """What is compared: a network with its name and what it costs."""

    name: str
    upscaler: Upscaler
    cost: Cost


class Line(NamedTuple):
    """A line of the table: a method on a set, and its times over ours, row by row, where there is ours."""

    protocol: str
    scale: int
    test_set: str
    method: Method
    rows: list[Result]
    ratios: list[float]


def protocols(scale: int) -> list[Protocol]:
    """Protocol cdsr, and dasr-iso cut down to its width 0."""
    iso = get_protocol("dasr-iso", scale)
    return [get_protocol("cdsr", scale), replace(iso, test_kernels=iso.test_kernels[:1])]


def open_peers(folder: Path) -> tuple[dict[int, list[Method]], list[str]]:
    """Open every file of a folder; returns the methods by scale, and a sentence for each file that is refused.

    Raises:
        ValueError: there is no such folder, or no file in it.
    """
    paths = sorted(path for path in folder.glob("*") if path.is_file()) if folder.is_dir() else []
    if not paths:
        raise ValueError(f"no files of weights in {folder}; give a folder of files that spandrel opens")
    methods: dict[int, list[Method]] = {}
    problems = []
    for path in paths:
        try:
            scale = open_descriptor(path).scale
            if scale not in SCALES:
                raise ValueError(f"{path} is for scale {scale}: protocols are for {', '.join(map(str, SCALES))}")
            model = open_model("spandrel", scale, path)
        except ValueError as error:
            problems.append(str(error))
            continue
        methods.setdefault(scale, []).append(method_of(path.stem, model))
    return methods, problems


def our_methods(protocol: Protocol) -> list[Method]:
    """Bicubic, and the shipped weights, for blur and for real images, where there are some for the scale."""
    scale = protocol.scale
    named = zip((OURS, OURS_REAL), blur_and_real(OURS, scale), strict=False)
    ours = [method_of(name, open_model(OURS, scale, path)) for name, path in named if path.is_file()]
    return [method_of("bicubic", create_model(protocol.degradation().baseline, scale)), *ours]


def method_of(name: str, model: Network) -> Method:
    """Make a network ready."""
    return Method(name, Upscaler(model.eval()), model_cost(model))


def measures(move: int) -> dict[str, Measure]:
    """What is measured: the results as they are, and moved by SR pixels (down, right)."""
    moved = {f"aligned_{name}": functools.partial(aligned, measure, move) for name, measure in PSNR_AND_SSIM.items()}
    return {**PSNR_AND_SSIM, **moved}


def aligned(measure: Measure, move: int, sr: np.ndarray, hr: np.ndarray, border: int) -> float:
    """Measure what remains of sr (H, W, 3), moved by SR pixels (down, right), over hr."""
    if move < 0:
        return measure(sr[-move:, -move:], hr[:move, :move], border)
    return measure(sr[: len(sr) - move, : sr.shape[1] - move], hr[move:, move:], border)


def compare(testset: Testset, methods: Sequence[Method]) -> list[Line]:
    """Evaluate all methods on a set, side by side image by image. ValueError: a row failed."""
    rows: list[list[Result]] = [[] for _ in methods]
    grid = testset.protocol.degradation().grid_shift
    of_image = itertools.groupby(range(len(testset)), lambda index: testset.keys[index][0])
    for image, group in of_image:
        indices = list(group)
        for method, done in zip(methods, rows, strict=True):
            done += evaluate(
                method.upscaler,
                testset,
                device=CPU,
                name=method.name,
                metrics=measures(grid - method.upscaler.shift),
                indices=indices,
                overlap=False,
                progress=False,
            )
        logger.info("%s %s x%d: %s", testset.name, testset.protocol.slug, testset.protocol.scale, image)
    problems = [row.error for done in rows for row in done if row.error]
    if problems:
        raise ValueError(problems[0])
    ours: list[Result] = next((done for method, done in zip(methods, rows, strict=True) if method.name == OURS), [])
    of_set = testset.protocol.slug, testset.protocol.scale, testset.name
    return [
        Line(*of_set, method, done, [row.seconds / our.seconds for row, our in zip(done, ours, strict=bool(ours))])
        for method, done in zip(methods, rows, strict=True)
    ]


def to_markdown(lines: Sequence[Line], files: Iterable[Path], facts: Mapping[str, Any]) -> str:
    """The page."""
    parts = [
        "# Networks of other people beside ours",
        "",
        "PSNR (dB) / SSIM on Y, `scale` border pixels off, SR rounded to 8 bits; float32. `cdsr`: nine Gaussian",
        "kernels an image; `dasr-iso_0.00`: plain bicubic downsampling. Aligned: of results moved to the grid of the",
        "protocol, `scale` - 1 SR pixels where the network was trained for the other. Multiply-adds are of one SR",
        "image of 1280×720. A time is the network's own, each image upscaled alone; × is the median of the times over",
        f"{OURS}'s of the same row, with the smallest and the largest.",
        "",
        *provenance("benchmarks.peers", facts, note="nothing is random", meanwhile=facts["note"]),
        *(f"- `{path.name}`: SHA-256 `{sha256(path)}`" for path in files),
    ]
    for (protocol, scale, test_set), group in itertools.groupby(lines, lambda line: line[:3]):
        columns = ("PSNR / SSIM", "aligned", "parameters (M)", "multiply-adds (G)", "s/image", "× (smallest, largest)")
        head = (f"{test_set} ×{scale}, {protocol}", *columns)
        parts += ["", "| " + " | ".join(head) + " |", "|---" * len(head) + "|", *map(_to_row, group)]
    return "\n".join([*parts, ""])


def _to_row(line: Line) -> str:
    summary, ratios = summarize(line.rows), line.ratios
    cells = (
        line.method.name,
        *(f"{summary.values[f'{kind}psnr']:.2f} / {summary.values[f'{kind}ssim']:.4f}" for kind in ("", "aligned_")),
        *line.method.cost.columns().values(),
        f"{summary.seconds:.4f}",
        f"{statistics.median(ratios):.3g} ({min(ratios):.3g}, {max(ratios):.3g})" if ratios else "–",
    )
    return "| " + " | ".join(cells) + " |"


def write(folder: Path, lines: Sequence[Line], files: Iterable[Path], facts: Mapping[str, Any]) -> str:
    """Write the page, the rows and the plot; returns the page."""
    page = to_markdown(lines, files, facts)
    with replacing(folder / "peers.md") as temporary:
        temporary.write_text(page, encoding="utf-8")
    with replacing(folder / "peers.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = list(measures(0))
        writer.writerow(["protocol", "scale", "set", "method", "image", "kernel", *names, "seconds"])
        for line in lines:
            of_line = line.protocol, line.scale, line.test_set, line.method.name
            writer.writerows(
                [*of_line, row.image, row.kernel, *(row.values[name] for name in names), row.seconds]
                for row in line.rows
            )
    panels: dict[str, list[CostPoint]] = {}
    for line in lines:
        summary = summarize(line.rows)
        psnr = summary.values["aligned_psnr"]
        point = CostPoint(line.method.name, psnr, summary.seconds, line.method.cost.multiply_adds)
        panels.setdefault(f"{line.test_set} ×{line.scale}, {line.protocol}", []).append(point)
    costs(panels, folder / "peers.png", psnr_label="aligned PSNR (dB)")
    return page


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 0, or 1 where a file was refused or a row failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description="Compare with other networks.")
    parser.add_argument("--weights", type=Path, required=True, help="folder of files that spandrel opens")
    parser.add_argument("--test_path", type=Path, required=True, help="folder of the test sets, plain or prepared")
    parser.add_argument("--test_sets", nargs="+", default=["Set5"])
    parser.add_argument("--scales", nargs="+", type=int, choices=SCALES, help="default: those of the files")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--note", default="", help="what else the machine did meanwhile")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder to write")
    args = parser.parse_args(arguments)
    log_to_console()
    torch.set_num_threads(args.threads)
    facts = environment() | {"note": args.note}
    try:
        peers, problems = open_peers(args.weights)
        jobs = [
            (load_testset(args.test_path, name, protocol), [*our_methods(protocol), *peers.get(protocol.scale, [])])
            for scale in args.scales or sorted(peers)
            for protocol in protocols(scale)
            for name in args.test_sets
        ]
        used = {method.name for _, methods in jobs for method in methods}
        files = [path for path in sorted(args.weights.glob("*")) if path.stem in used]
        lines, page = list[Line](), ""
        for testset, methods in jobs:
            lines += compare(testset, methods)
            page = write(args.out, lines, files, facts)  # so far: it may be interrupted
    except ValueError as error:
        logger.error("error: %s", error)
        return 1
    for problem in problems:
        logger.error("error: %s", problem)
    print(page)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
