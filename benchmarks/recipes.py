"""Compare training recipes on equal small budgets, with seeds and spread: `python -m benchmarks.recipes --dir_data …`.

Every variant sees the same number of patches. A run is one `main.py` in a process of its own; its figure is the
validation PSNR after the last step (of the averaged weights where they are kept).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from utils.files import write_json
from utils.run import ROOT, environment

VARIANTS = {  # name: options, batch size as a multiple of --batch_size
    "paper: Adam 1e-4, steps": ("--lr_sr 1e-4", 1),
    "4e-4, steps": ("--lr_sr 4e-4", 1),
    "8e-4, cosine": ("--lr_sr 8e-4 --decay_type cosine", 1),
    "8e-4, cosine, warm-up, EMA 0.999": ("--lr_sr 8e-4 --decay_type cosine --warmup 20 --ema 0.999", 1),
    "2e-3, cosine, warm-up, clipped": ("--lr_sr 2e-3 --decay_type cosine --warmup 20 --grad_clip 20", 1),
    "8e-4, cosine, batch x2": ("--lr_sr 8e-4 --decay_type cosine", 2),
}


def train(words: str, multiple: int, seed: int, args: argparse.Namespace) -> dict[str, float]:
    """Run one recipe; returns its last validation row."""
    steps, batch_size = args.steps // multiple, args.batch_size * multiple
    with tempfile.TemporaryDirectory() as folder:
        command = (
            f"{sys.executable} {ROOT / 'main.py'} --model {args.model} --scale 2 --sig_min 0.35 --sig_max 5 "
            f"--dir_data {args.dir_data.resolve()} --data_range {args.data_range} --patch_size {args.patch_size} "
            f"--batch_size {batch_size} --test_every {steps} --epochs_sr 1 --n_threads 1 --save try --seed {seed} "
            f"--precision {args.precision} --no-use_tb_logger {words}"
        )
        subprocess.run(command.split(), cwd=folder, env=os.environ, check=True, stderr=subprocess.DEVNULL)
        rows = (Path(folder) / "experiment" / "try_x2_s-fold_aniso" / "metrics.jsonl").read_text().splitlines()
    return json.loads(rows[-1])


def main() -> None:
    """Run all variants with all seeds, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir_data", type=Path, required=True)
    parser.add_argument("--data_range", default="1-458/459-464")
    parser.add_argument("--model", default="CDSR_S")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--patch_size", type=int, default=32)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args()
    table: dict[str, list[float]] = {}
    for seed in range(1, args.seeds + 1):
        for name, (words, multiple) in VARIANTS.items():
            row = train(words, multiple, seed, args)
            table.setdefault(name, []).append(row.get("psnr_ema", row["psnr"]))
            print(f"seed {seed} {name}: {table[name][-1]:.2f} dB", flush=True)
            write_json(args.out, {"options": vars(args), "environment": environment(), "psnr": table})
    for name, values in table.items():
        spread = statistics.stdev(values) if len(values) > 1 else float("nan")
        print(f"| {name} | {statistics.mean(values):.2f} | {spread:.2f} |")


if __name__ == "__main__":
    main()
