"""What each part of CDSR is worth: `python -m benchmarks.ablation --budget STEPS --seeds N --dir_data … --out FILE`.

LPE's branches, CSC and DQA are taken away one at a time; an oracle that is told the kernel bounds what an encoder can
bring; DASR is the method to beat. All train for equal steps on equal batches.
"""

import argparse

import torch

from benchmarks.trials import run_trials, table, trial_parser, validation
from evaluation.profiling import model_cost
from model import create_model
from model.variant import Variant
from utils.known_degradation import KnownDegradation

ANY_TRUTH = KnownDegradation(torch.zeros(1, 21, 21), torch.zeros(1))
ENCODER_PHASE = "--epochs_encoder 1 --lr_encoder 3e-4 --queue_size 2048"


def variants_of(size: str) -> dict[str, tuple[str, Variant | None, str]]:
    """Names, models and words of all that is compared. size: appended to the models' names, `_S` for the small ones."""
    cdsr = f"CDSR{size}"
    return {
        "CDSR": (cdsr, Variant(), ENCODER_PHASE),
        "LPE: pixel branch alone": (cdsr, Variant(lpe="pixel"), f"--lpe pixel {ENCODER_PHASE}"),
        "LPE: patch branch alone": (cdsr, Variant(lpe="patch"), f"--lpe patch {ENCODER_PHASE}"),
        "LPE: DASR's encoder": (cdsr, Variant(lpe="naive"), f"--lpe naive {ENCODER_PHASE}"),
        "without CSC": (cdsr, Variant(csc=False), f"--no-csc {ENCODER_PHASE}"),
        "without DQA": (cdsr, Variant(dqa=False), f"--no-dqa {ENCODER_PHASE}"),
        "oracle": (f"{cdsr}_oracle", None, ""),
        "DASR": (f"DASR{size}", None, ENCODER_PHASE),
    }


def cost_columns(model: str, variant: Variant | None, scale: int) -> dict[str, str]:
    """Parameters and multiply-adds of a model."""
    return model_cost(create_model(model, scale, variant), ANY_TRUTH).columns()


def main() -> None:
    """Train every variant with every seed, print the table; differences are from the first variant."""
    parser = trial_parser(__doc__.splitlines()[0], steps=500)
    names = list(variants_of(""))
    parser.add_argument("--size", choices=("", "_S"), default="_S", help="published size, or the small one")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--variants", nargs="+", choices=names, default=names, help="these alone")
    parser.add_argument("--recipe", default="--lr_sr 8e-4 --decay_type cosine")
    args: argparse.Namespace = parser.parse_args()
    shared = (
        f"--scale {args.scale} --sig_min {0.175 * args.scale} --sig_max {2.5 * args.scale} --epochs_encoder -1 "
        f"{args.recipe}"
    )
    compared = {name: variant for name, variant in variants_of(args.size).items() if name in args.variants}
    words = {name: f"--model {model} {shared} {more}" for name, (model, _, more) in compared.items()}
    costs = {name: cost_columns(model, variant, args.scale) for name, (model, variant, _) in compared.items()}
    print(table(run_trials(words, args, validation), costs, baseline=next(iter(words))))


if __name__ == "__main__":
    main()
