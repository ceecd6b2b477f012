"""Speed of the evaluation: precision and memory layout of the network, and the work that goes on beside it.

`python -m benchmarks.evaluation_speed` writes benchmarks/results/evaluation_speed.md. All variants of a round run one
after another, so that whatever else the machine does hits them alike; a ratio is taken within its round. With
`--single RESULTS --bf16 RESULTS`, folders of results of the same sets by `test.py --precision ...`, it adds what bf16
changes in PSNR and SSIM.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.pages import provenance
from benchmarks.train_step import compare
from data.samples import Sample, Samples
from evaluation.evaluate import evaluate
from evaluation.report.groups import read_evaluations
from evaluation.results import read_rows
from inference.upscaler import Upscaler
from model import create_model
from utils.environment import environment
from utils.files import replacing

RESULTS = Path("benchmarks/results/evaluation_speed.md")
CPU = torch.device("cpu")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8")
VARIANTS = {
    "single, NCHW (the plain network)": ("single", False),
    "single, channels_last (`--precision single`)": ("single", True),
    "bf16, NCHW": ("bf16", False),
    "bf16, channels_last (`--precision bf16`)": ("bf16", True),
}


def to_rows(tasks: dict[str, Callable[[int], object]], rounds: int) -> list[str]:
    """Time tasks; lines of a table: seconds, and the ratio to the first task."""
    lines = ["| variant | seconds (median) | times as fast (median) | smallest, largest ratio |", "|---|---|---|---|"]
    return lines + [
        f"| {row['variant']} | {row['ms'] / 1e3:.3f} | {row['ratio']:.2f} | "
        f"{row['smallest']:.2f}, {row['largest']:.2f} |"
        for row in compare(tasks, CPU, rounds=rounds)
    ]


def network_tasks(name: str, scale: int, side: int) -> dict[str, Callable[[int], object]]:
    """One image through each variant."""
    model = create_model(name, scale).eval()
    lr = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)) * 255
    upscalers = {
        title: Upscaler(model, precision=precision, channels_last=channels_last)
        for title, (precision, channels_last) in VARIANTS.items()
    }
    return {title: lambda _, upscaler=upscaler: upscaler(lr) for title, upscaler in upscalers.items()}  # type: ignore[misc]


class Synthetic(Samples):
    """Samples of one size, made when they are asked for."""

    def __init__(self, number: int, side: int) -> None:
        self.number, self.side = number, side

    @property
    def keys(self) -> list[tuple[str, str]]:
        """(image, kernel) of every sample."""
        return [(f"p{index}", "k") for index in range(self.number)]

    def read(self, index: int) -> Sample:
        """Make a sample."""
        hr = np.random.default_rng(index).integers(0, 256, (2 * self.side, 2 * self.side, 3), np.uint8)
        return Sample(*self.keys[index], lr=hr[::2, ::2], hr=hr)


def pipeline_tasks(number: int, side: int) -> dict[str, Callable[[int], object]]:
    """A small evaluation with each step alone, and with reading and measuring beside the network."""
    upscaler = Upscaler(create_model("CDSR_S", 2).eval())
    samples = Synthetic(number, side)

    def run(overlap: bool) -> None:
        evaluate(upscaler, samples, device=CPU, name="pipeline", overlap=overlap)

    return {"one after another (`--profile`)": lambda _: run(False), "side by side (default)": lambda _: run(True)}


def accuracy_rows(single: Path, bf16: Path) -> list[str]:
    """PSNR and SSIM of both precisions by set."""
    rows = ["| set | single | bf16 | difference | largest of a row |", "|---|---|---|---|---|"]
    others = {one.path.name: one for one in read_evaluations(bf16)}
    for one in read_evaluations(single):
        if one.path.name not in others:
            raise ValueError(f"{bf16} has no {one.path.name}, which {single} has")
        pair = one, others[one.path.name]
        means = [(one.content["summary"]["psnr"], one.content["summary"]["ssim"]) for one in pair]
        texts = [f"{psnr:.3f} / {ssim:.5f}" for psnr, ssim in means]
        both = zip(*(read_rows(one.path.with_suffix(".csv")) for one in pair), strict=True)
        worst = max(abs(first.psnr - second.psnr) for first, second in both)
        rows.append(
            f"| {one.set_name} ({one.protocol['protocol']}, {one.content['checkpoint']['model']}) | {texts[0]} | "
            f"{texts[1]} | {means[1][0] - means[0][0]:+.4f} dB | {worst:.4f} dB |"
        )
    return rows


def cpu_flags() -> list[str]:
    """Those of FLAGS that this processor has."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    flags = next(line for line in lines if line.startswith("flags")).split()
    return [flag for flag in FLAGS if flag in flags]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluation_speed", description="Time the evaluation.")
    parser.add_argument("--model", default="CDSR")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--side", type=int, default=128, help="side of the LR images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--note", default="", help="what else the machine did meanwhile")
    parser.add_argument("--single", type=Path, help="results by --precision single")
    parser.add_argument("--bf16", type=Path, help="results by --precision bf16")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    accuracy = accuracy_rows(args.single, args.bf16) if args.single and args.bf16 else []
    network = to_rows(network_tasks(args.model, args.scale, args.side), args.rounds)
    pipeline = to_rows(pipeline_tasks(8, args.side), args.rounds)
    lines = [
        "# Speed of the evaluation on a CPU",
        "",
        *provenance(
            "benchmarks.evaluation_speed",
            environment(),
            flags=", ".join(cpu_flags()),
            note=f"seed 0; {args.rounds} rounds after warming up",
            meanwhile=args.note,
        ),
        "",
        f"## The network: {args.model} x{args.scale}, one LR image of {args.side}x{args.side}",
        "",
        *network,
        "",
        f"## The pipeline: CDSR_S x2, 8 LR images of {args.side}x{args.side}, PSNR and SSIM",
        "",
        *pipeline,
        "",
    ]
    if accuracy:
        lines += ["## What bf16 changes in PSNR and SSIM", "", *accuracy, ""]
    text = "\n".join(lines)
    with replacing(args.out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
