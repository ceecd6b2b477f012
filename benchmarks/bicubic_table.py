"""Plain bicubic under every width and kernel, beside what is printed: a check of everything but the network.

`python -m benchmarks.bicubic_table --test_path DIR` writes benchmarks/results/bicubic.md and bicubic.csv. Protocol
dasr-iso is upscaled as by MATLAB, protocol cdsr by PyTorch. An interrupted run goes on where it stopped.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from data.protocols import get_protocol
from data.test_sets import TEST_SETS, load_testset
from evaluation.evaluate import evaluate
from evaluation.report.published_results import BICUBIC_DASR_PIPELINE, BICUBIC_PRINTED
from evaluation.results import by_kernel, summarize
from evaluation.rowlog import RowLog, remove_parts
from inference.upscaler import Upscaler
from model import create_model
from utils.files import replacing
from utils.run import environment, log_to_console

RESULTS = Path("benchmarks/results")
MODELS = {"dasr-iso": "bicubic_matlab", "cdsr": "bicubic"}
CDSR_MEASURED = {2: (26.50, 0.792), 3: (23.47, 0.691), 4: (21.60, 0.616)}
"""Set5 by protocol cdsr, measured with the published code."""

HEAD = (
    *("protocol", "model", "scale", "set", "kernel", "PSNR", "SSIM", "PSNR, grey file as one plane"),
    *("reference", "from", "difference"),
)
TOLERANCE = {"printed": 0.03, "DASR's code": 0.02, "CDSR's code": 0.01}


class Line(NamedTuple):
    """A figure of the table; `grey` is the other reading, grey images measured as one plane."""

    protocol: str
    model: str
    scale: int
    test_set: str
    kernel: str
    psnr: float
    ssim: float
    grey_psnr: float | None
    reference: float | None
    source: str

    @property
    def difference(self) -> float | None:
        """To the reference; the printed figures measure grey images as one plane."""
        if self.reference is None:
            return None
        ours = self.grey_psnr if self.source == "printed" and self.grey_psnr is not None else self.psnr
        return ours - self.reference


def measure(root: Path, protocol_name: str, scale: int, test_set: str, work: Path) -> list[Line]:
    """Evaluate one set: a line for each width of dasr-iso, one for all kernels of cdsr together."""
    protocol = get_protocol(protocol_name, scale)
    model = MODELS[protocol_name]
    device = torch.device("cpu")
    testset = load_testset(root, test_set, protocol)
    stem = work / f"{test_set}_x{scale}_{protocol.slug}_{model}"
    row_log = RowLog(stem, {"protocol": protocol.describe(), "model": model, "images": testset.keys})
    upscaler = Upscaler(create_model(model, scale))
    rows = evaluate(upscaler, testset, device=device, name=stem.name, row_log=row_log)
    groups = {"all": rows}
    if protocol_name == "dasr-iso":
        groups = {label: [row for row in rows if row.kernel == label] for label in by_kernel(rows)}
    lines = []
    for kernel, own in groups.items():
        summary = summarize(own)
        if summary.num_failed:
            raise ValueError(f"{test_set}: {summary.num_failed} rows failed")
        reference, source = find_reference(protocol_name, scale, test_set, kernel)
        grey = summary.grey_values.get("psnr") if summary.num_grey_images else None
        figures = (kernel, summary.psnr, summary.ssim, grey, reference, source)
        lines.append(Line(protocol_name, model, scale, test_set, *figures))
    return lines


def find_reference(protocol: str, scale: int, test_set: str, kernel: str) -> tuple[float | None, str]:
    """A figure to compare with, and where it is from."""
    if protocol == "cdsr":
        return (CDSR_MEASURED[scale][0], "CDSR's code") if test_set == "Set5" else (None, "")
    if float(kernel) == 0:
        return BICUBIC_PRINTED[scale].get(test_set), "printed"
    reference = BICUBIC_DASR_PIPELINE[scale].get(test_set, {}).get(kernel)
    return reference, "DASR's code" if reference is not None else ""


def to_markdown(lines: Sequence[Line]) -> str:
    """The page."""
    facts = environment()
    rows = ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
    for line in lines:
        optional = [None if value is None else f"{value:.2f}" for value in (line.grey_psnr, line.reference)]
        difference = "" if line.difference is None else f"{line.difference:+.3f}"
        rows.append(
            f"| {line.protocol} | {line.model} | {line.scale} | {line.test_set} | {line.kernel} | {line.psnr:.2f} | "
            f"{line.ssim:.4f} | {optional[0] or ''} | {optional[1] or ''} | {line.source} | {difference} |"
        )
    compared = [line for line in lines if line.difference is not None]
    within = [line for line in compared if abs(line.difference or 0) <= TOLERANCE[line.source] + 0.005]
    return "\n".join(
        [
            "# Plain bicubic against print",
            "",
            "PSNR (dB) and SSIM on Y of BT.601, `scale` border pixels off, SR rounded to 8 bits. A grey file (one of",
            "Set14: bridge) is measured as RGB on Y, as CDSR's and DASR's code does, which is the default; a column of",
            "its own has the other reading, which the printed figures at width 0 have. Kernel: width of dasr-iso (0:",
            "bicubic alone), or all nine kernels of cdsr. Differences are of unrounded figures to rounded ones.",
            "",
            f"Of {len(compared)} figures with a reference, {len(within)} are within its tolerance (printed: 0.03 dB;",
            "DASR's code: 0.02 dB; CDSR's code: 0.01 dB; rounding of the reference on top).",
            "",
            "- command: `python -m benchmarks.bicubic_table --test_path DIR`",
            f"- commit: {facts['commit']}",
            f"- versions: Python {facts['python']}, PyTorch {facts['torch']}; {facts['platform']}",
            f"- hardware: {facts['processor']}, {facts['threads']} thread(s)",
            f"- date: {facts['date']}; nothing is random",
            "",
            *rows,
            "",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bicubic_table", description="Measure plain bicubic.")
    parser.add_argument("--test_path", type=Path, required=True, help="folder of the test sets, plain or prepared")
    parser.add_argument("--test_sets", nargs="+", default=TEST_SETS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args(arguments)
    log_to_console()
    work = args.out / "bicubic.partial"
    lines = [
        line
        for test_set in args.test_sets
        for protocol in MODELS
        for scale in (2, 3, 4)
        for line in measure(args.test_path, protocol, scale, test_set, work)
    ]
    lines.sort(key=lambda line: (line.protocol, line.scale, args.test_sets.index(line.test_set), line.kernel))
    with replacing(args.out / "bicubic.md") as temporary:
        temporary.write_text(to_markdown(lines), encoding="utf-8")
    with replacing(args.out / "bicubic.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*Line._fields, "difference"])
        writer.writerows([*line, line.difference] for line in lines)
    for path in work.glob("*.part*.jsonl"):
        remove_parts(path.with_name(path.name.rsplit(".part", 1)[0]))
    work.rmdir()
    print((args.out / "bicubic.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
