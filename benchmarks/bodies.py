"""Bodies of a small SR network at equal time: `python -m benchmarks.bodies --dir_data … --out F`.

Each learns under the true kernel for as many steps as fit into the time of the first body's budget. To know how many,
the time of a step is measured first, all bodies taking turns; a file that is gone on with keeps its steps. A body is
written features x blocks x residual blocks of a block.
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence

import torch

import main as training
from benchmarks.train_step import compare
from benchmarks.trials import ANY_TRUTH, SIGMAS_X2, read_trials, run_trials, table, trial_parser, validation
from evaluation.profiling import model_cost
from model import CDSR_S_SIZE, register
from model.cdsr import CDSRSize
from model.oracle import Oracle
from utils.device import autocast, resolve_precision, select_device

BODIES = ("64x2x6", "64x2x4", "64x4x2", "64x1x13", "96x2x1", "96x1x4", "48x2x10")
"""The first is CDSR_S's, whose time the others have."""

RECIPE = (
    "--optimizer MUON --channels_last --lr_sr 1e-3 --decay_type cosine --warmup 100 --grad_clip 20 --ema 0.995 "
    "--epochs_encoder -1"
)


def size_of(body: str) -> CDSRSize:
    """The size that a body's name spells."""
    num_features, num_blocks, num_residual_blocks = map(int, body.split("x"))
    return CDSR_S_SIZE._replace(
        num_features=num_features, num_blocks=num_blocks, num_residual_blocks=num_residual_blocks
    )


def step_of(body: str, args: argparse.Namespace, device: torch.device) -> Callable[[int], object]:
    """Forward and backward pass of a body on a batch as the training has it."""
    model = Oracle(scale=2, size=size_of(body)).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    lr = torch.rand(args.batch_size, 3, args.patch_size, args.patch_size, device=device)
    lr = (255 * lr).contiguous(memory_format=torch.channels_last)
    code = torch.rand(args.batch_size, CDSR_S_SIZE.code_dim, device=device)

    def step(_: int) -> None:
        with autocast(device, resolve_precision(args.precision, device)):
            loss = model.super_resolve(lr, code).mean()
        loss.backward()

    return step


def epoch_of(words: str) -> int:
    """Steps of an epoch that words for main.py name; 0: none."""
    told = re.findall(r"--test_every (\d+)", words)
    return int(told[-1]) if told else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Time and train every body, print the table; `train` and words for main.py train one."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["train"]:
        for body in BODIES:
            register(body, Oracle, size=size_of(body))
        return training.main(list(argv[1:]))
    parser = trial_parser(__doc__.splitlines()[0], steps=1500)
    parser.add_argument("--bodies", nargs="+", choices=BODIES, default=list(BODIES), help="these alone")
    args = parser.parse_args(argv)
    device = select_device(args.device)
    bodies = [BODIES[0], *(body for body in args.bodies if body != BODIES[0])]
    times = compare({body: step_of(body, args, device) for body in bodies}, device, rounds=20)
    known = read_trials(args.out).get("variants", {})
    words, columns = {}, {}
    for body, row in zip(bodies, times, strict=True):
        epoch = epoch_of(known.get(body, "")) or round(args.budget * row["ratio"]) // args.epochs
        words[body] = f"{SIGMAS_X2} {RECIPE} --model {body} --test_every {epoch}"
        cost = model_cost(Oracle(scale=2, size=size_of(body)), ANY_TRUTH).columns()
        columns[body] = {**cost, "time of a step": f"{1 / row['ratio']:.2f}", "steps": str(epoch * args.epochs)}
    rows = run_trials(words, args, validation, module="benchmarks.bodies train")
    print(table(rows, columns, baseline=BODIES[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
