"""How fast photographs are upscaled on a CPU: `python -m benchmarks.cpu_speed` writes benchmarks/results/cpu_speed.md.

First one LR image through each way of running the network, taking turns, so that whatever else the machine does hits
them alike; a ratio is taken within its round. Then what a user waits for: a small image from the command line with
imports, weights and compilation, 12 megapixels, and one on the web page's service, with peak memory. With
`--single RESULTS --bf16 RESULTS`, folders of results of the same sets by `test.py --backend torch --precision single`
and `--backend openvino --precision bf16`, it adds what the faster one changes in PSNR and SSIM.
"""

import argparse
import functools
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.evaluation_speed import accuracy_rows, cpu_flags, to_rows
from benchmarks.pages import provenance
from inference.upscaler import Upscaler
from model import create_model, load_model
from model.pretrained import pretrained_path
from utils.environment import ROOT, environment
from utils.files import replacing
from utils.image import write_image
from web.service import Service

RESULTS = Path("benchmarks/results/cpu_speed.md")
CPU = torch.device("cpu")
VARIANTS = {  # what the columns of Upscaler's table are
    "plain: PyTorch, float32, NCHW": {"channels_last": False},
    "PyTorch, float32": {},
    "PyTorch, bf16": {"precision": "bf16"},
    "OpenVINO, float32": {"backend": "openvino"},
    "OpenVINO, bf16": {"backend": "openvino", "precision": "bf16"},
}


def photograph(height: int, width: int) -> np.ndarray:
    """A smooth random image, (H, W, 3) uint8."""
    coarse = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def network_tasks(name: str, side: int) -> dict[str, Callable[[int], object]]:
    """One image through each variant of a model x2: the shipped weights, or fresh ones where there are none."""
    torch.manual_seed(0)
    model = create_model(name, 2).eval()
    if pretrained_path(name, 2).is_file():
        load_model(model, pretrained_path(name, 2))
    lr = torch.from_numpy(photograph(side, side)).permute(2, 0, 1)[None].float()
    upscalers = {title: Upscaler(model, **options) for title, options in VARIANTS.items()}  # type: ignore[arg-type]
    return {title: functools.partial(_upscale, upscaler, lr) for title, upscaler in upscalers.items()}


def _upscale(upscaler: Upscaler, lr: torch.Tensor, _: int) -> None:
    upscaler(lr)


def command_line(image: np.ndarray, folder: Path) -> tuple[float, float]:
    """Upscale an image x2 by test.py in a process of its own; seconds, and peak resident memory in MiB."""
    write_image(folder / "image.png", image)
    words = ["--cpu", "--model", "CDSR_S", "--scale", "2", "--dir_demo", str(folder / "image.png"), "--overwrite"]
    script = (
        "import sys, test; code = test.main(sys.argv[1:]); "
        "from utils.device import peak_memory, select_device; "
        "print('peak', peak_memory(select_device('cpu'))); sys.exit(code)"
    )
    start = time.perf_counter()
    run = subprocess.run(
        [sys.executable, "-c", script, *words, "--results", str(folder / "out")],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - start
    peak = re.search(r"^peak (\d+)$", run.stdout, re.MULTILINE)
    assert peak
    return seconds, int(peak[1]) / 2**20


def page_seconds(image: np.ndarray, folder: Path) -> float:
    """Seconds that the page's service takes for an image, its model at hand."""
    write_image(folder / "image.png", image)
    write_image(folder / "small.png", image[:64, :64])
    service = Service(CPU, folder / "visitors")
    service.upscale(folder / "small.png", "CDSR_S", 2)
    start = time.perf_counter()
    service.upscale(folder / "image.png", "CDSR_S", 2)
    return time.perf_counter() - start


def wait_rows(side: int, megapixels: float, rounds: int) -> list[str]:
    """Lines of a table: what a user of CDSR_S x2 waits for, by default settings."""
    lines = ["| what | seconds | peak memory |", "|---|---|---|"]
    height, width = (round((megapixels * 1e6 / 12) ** 0.5 * units) for units in (3, 4))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "visitors").mkdir()
        starts = [command_line(photograph(side, side), folder) for _ in range(rounds)]
        seconds, peak = sorted(starts)[len(starts) // 2]
        spread = f"{min(starts)[0]:.1f} to {max(starts)[0]:.1f}"
        lines.append(f"| test.py, {side}×{side}, from the start | {seconds:.1f} ({spread}) | {peak:.0f} MiB |")
        seconds, peak = command_line(photograph(height, width), folder)
        lines.append(f"| test.py, megapixels: {megapixels:g} | {seconds:.1f} | {peak:.0f} MiB |")
        side = round((megapixels * 1e6 / 12) ** 0.5)
        seconds = page_seconds(photograph(side, side), folder)
        lines.append(f"| the page, megapixels: {megapixels / 12:.3g} | {seconds:.1f} | |")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu_speed", description="Time upscaling on a CPU.")
    parser.add_argument("--models", nargs="+", default=["CDSR", "CDSR_S"])
    parser.add_argument("--side", type=int, default=128, help="of the LR image")
    parser.add_argument("--megapixels", type=float, default=12.0, help="of the large image; the page's is a twelfth")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--single", type=Path, help="results in PyTorch, float32")
    parser.add_argument("--bf16", type=Path, help="results in OpenVINO, bf16")
    parser.add_argument("--note", default="", help="what else the machine did meanwhile")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    accuracy = accuracy_rows(args.single, args.bf16) if args.single and args.bf16 else []
    lines = [
        "# Upscaling on a CPU",
        "",
        *provenance(
            "benchmarks.cpu_speed",
            environment(),
            more_versions=f"OpenVINO {_openvino_version()}",
            flags=", ".join(cpu_flags()),
            note=f"{args.rounds} rounds after warming up",
            meanwhile=args.note,
        ),
    ]
    for name in args.models:
        lines += ["", f"## {name} x2, one LR image of {args.side}×{args.side}, encoder included", ""]
        lines += to_rows(network_tasks(name, args.side), args.rounds)
    lines += ["", "## What a user of CDSR_S x2 waits for, by default", ""]
    lines += [*wait_rows(args.side, args.megapixels, min(args.rounds, 3)), ""]
    if accuracy:
        lines += ["## What OpenVINO in bf16 changes in PSNR and SSIM", "", *accuracy, ""]
    text = "\n".join(lines)
    with replacing(args.out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)
    return 0


def _openvino_version() -> str:
    import openvino

    return openvino.__version__


if __name__ == "__main__":
    sys.exit(main())
