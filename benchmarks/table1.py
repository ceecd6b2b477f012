"""Does a code that is purer in degradation super-resolve better? `python -m benchmarks.table1 --dir_data … --out FILE`.

Table 1 of the paper: the same network is trained with three positive pairs (`--positive`): another patch of the same
image under the same degradation (cd), another image under the same degradation (d), the same image under another
degradation (c). A linear probe then says how much the code knows of the kernel and of the image.
"""

import argparse
import functools
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.trials import Row, run_trials, table, trial_parser, validation
from utils.run import ROOT

POSITIVES = {
    "cd: same image, same degradation": "cd",
    "d: another image, same degradation": "d",
    "c: same image, another degradation": "c",
}


def probe(run: Path, args: argparse.Namespace) -> Row:
    """PSNR on the held-out images, and what linear probes read from the codes of a test set."""
    weights = max((run / "model").glob("model_*.pt"), key=lambda path: int(path.name.split("_")[1]))
    command = (
        f"{sys.executable} {ROOT / 'test.py'} --model {args.model} --scale {args.scale} --pre_train {weights} "
        f"--test_path {args.test_path.resolve()} --test_sets {args.test_set} --embeddings --results {run} "
        f"--device {args.device}"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    (found,) = run.glob("embeddings_*.json")
    probes = json.loads(found.read_text())["probes"]
    return {
        **validation(run),
        "kernel probe (%)": 100 * probes["kernel"]["accuracy"],
        "image probe (%)": 100 * probes["image"]["accuracy"],
    }


def main() -> None:
    """Train with each positive pair and each seed, print the table."""
    parser = trial_parser(__doc__.splitlines()[0], steps=500)
    parser.add_argument("--model", default="CDSR_S")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--recipe", default="--lr_sr 8e-4 --decay_type cosine --lr_encoder 3e-4 --queue_size 2048")
    parser.add_argument("--test_path", type=Path, required=True, help="folder of the test set that is probed")
    parser.add_argument("--test_set", default="B100", help="its name; protocol cdsr")
    args = parser.parse_args()
    shared = (
        f"--model {args.model} --scale {args.scale} --sig_min {0.175 * args.scale} --sig_max {2.5 * args.scale} "
        f"--epochs_encoder 1 {args.recipe}"
    )
    variants = {name: f"{shared} --positive {positive}" for name, positive in POSITIVES.items()}
    rows = run_trials(variants, args, functools.partial(probe, args=args))
    print(table(rows, baseline=next(iter(variants))))


if __name__ == "__main__":
    main()
