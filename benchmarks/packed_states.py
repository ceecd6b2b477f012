"""How far a run strays that goes on from a packed state: `python -m benchmarks.packed_states --run FOLDER --out FILE`.

The run's newest state is taken up exactly, and packed in every way; each goes on over the same batches. The L1 loss on
equal batches, less the exact run's, is the figure.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

import torch

from benchmarks.trials import table
from data import build_batches, build_pair_degradation, open_images
from data.validation import ValidationSet
from option import build_parser
from training.build import build_schedule, build_training_step
from training.packed_state import pack, unpack
from training.validation import Validator
from utils.checkpoint import StateStore
from utils.environment import environment
from utils.files import write_json
from utils.randomness import seed_everything
from utils.run import read_settings

VARIANTS: dict[str, tuple[str | None, int]] = {  # moments kept (None: not packed), steps of warming up again
    "exact": (None, 0),
    "both moments": ("both", 0),
    "second moment": ("second", 0),
    "no moments": ("none", 0),
    "no moments, warmed up": ("none", 20),
}


def options_of(run: Path, dir_data: Path) -> argparse.Namespace:
    """Options of a run with another folder of images; the parser gives the strings of JSON their types."""
    parser = build_parser()
    parser.set_defaults(**{**read_settings(run), "dir_data": dir_data})
    return parser.parse_args([])


def go_on(name: str, state: dict[str, Any], options: argparse.Namespace, num_steps: int) -> tuple[list[float], float]:
    """Train on from a state; returns the L1 loss of every step and the validation PSNR after the last."""
    moments, warmup = VARIANTS[name]
    seed_everything(options.seed)
    device = torch.device("cpu")
    pair_degradation = build_pair_degradation(options)
    training_step = build_training_step(options, pair_degradation, device, None)
    training_step.load_state_dict(state if moments is None else unpack(pack(state, moments=moments)))
    schedule = build_schedule(options)
    epoch, first = state["progress"]["epoch"], state["progress"]["step_in_epoch"]
    start = (epoch - 1) * schedule.steps_per_epoch + first
    phase = schedule.phase(epoch)
    training_step.set_phase(phase)
    images, held_out = open_images(options)
    batches = build_batches(options, images, pair_degradation, device, num_encoder_steps=schedule.num_encoder_steps)
    losses = []
    for index, hr_pairs in enumerate(batches(range(start, start + num_steps))):
        rate = schedule.learning_rate(epoch, first + index) * min(1.0, (index + 1) / max(warmup, 1))
        losses.append(training_step(hr_pairs, step=start + index, phase=phase, learning_rate=rate)["pixel"].item())
    training_step.model.eval()
    validate = Validator(
        ValidationSet(held_out, pair_degradation.degradation), precision=options.precision, device=device
    )
    return losses, validate(training_step.model).psnr


def main() -> None:
    """Go on in every way, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of a run that has a state")
    parser.add_argument("--dir_data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--early", type=int, default=20, help="steps averaged as the first ones")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args()
    options = options_of(args.run, args.dir_data)
    state, _, _ = StateStore(args.run / "state").load()
    exact: list[float] = []
    rows = {}
    for name in VARIANTS:
        losses, psnr = go_on(name, state, options, args.steps)
        exact = exact or losses
        excess = [loss - reference for loss, reference in zip(losses, exact, strict=True)]
        rows[name] = [
            {
                f"L1 above exact, first {args.early} steps": statistics.mean(excess[: args.early]),
                "L1 above exact, later steps": statistics.mean(excess[args.early :]),
                "validation (dB)": psnr,
            }
        ]
        print(name, rows[name][0], flush=True)
        write_json(args.out, {"options": vars(args), "rows": rows, "environment": environment()})
    print(table(rows))


if __name__ == "__main__":
    main()
