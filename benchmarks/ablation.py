"""What each part of CDSR is worth: `python -m benchmarks.ablation --budget STEPS --seeds N --dir_data … --out FILE`.

LPE's branches, CSC and DQA are taken away one at a time; our autocorrelation branch and head are put in; an oracle that
is told the kernel and an encoder that is never trained bound what a code can bring; DASR is the method to beat. All
train for equal steps on equal batches.
"""

import argparse

import torch

from benchmarks.trials import run_trials, table, trial_parser, validation
from evaluation.profiling import model_cost
from model import create_model
from model.variant import Variant
from utils.known_degradation import KnownDegradation

ANY_TRUTH = KnownDegradation(torch.zeros(1, 21, 21), torch.zeros(1))
RECIPE = (
    "--optimizer MUON --lr_sr 1e-3 --decay_type cosine --warmup 100 --grad_clip 20 --context 64 --positive d "
    "--negatives batch --temperature 0.1 --moco_momentum 0 --queue_size 16"
)
ENCODER_PHASE = "--epochs_encoder 1 --lr_encoder 3e-4"
OUR_PHASE = "--epochs_encoder 1 --lr_encoder 8e-3"
"""Muon's rate, for the matrices of the autocorrelation branch."""

PARTS = {  # of the same SR network: variant, options besides
    "CDSR's parts": (Variant(), ENCODER_PHASE),
    "LPE: pixel branch alone": (Variant(lpe="pixel"), ENCODER_PHASE),
    "LPE: patch branch alone": (Variant(lpe="patch"), ENCODER_PHASE),
    "LPE: DASR's encoder": (Variant(lpe="naive"), ENCODER_PHASE),
    "LPE: all three branches": (Variant(lpe="all"), ENCODER_PHASE),
    "LPE: autocorrelation alone, no CSC": (Variant(lpe="autocorrelation", csc=False), OUR_PHASE),
    "the same with the head": (Variant(lpe="autocorrelation", csc=False, head=True), f"{OUR_PHASE} --d_weight 10"),
    "the same, told the kernel alone": (
        Variant(lpe="autocorrelation", csc=False, head=True),
        f"{OUR_PHASE} --d_weight 10 --c_weight 0",
    ),
    "without CSC": (Variant(csc=False), ENCODER_PHASE),
    "without DQA": (Variant(dqa=False), ENCODER_PHASE),
    "no code: an encoder never trained": (Variant(csc=False), "--freeze_epoch 0"),
}


def flags_of(variant: Variant) -> str:
    """Every part of a variant as a flag, whatever the model's own."""
    switches = {name: getattr(variant, name) for name in ("csc", "dqa", "head")}
    return " ".join([f"--lpe {variant.lpe}", *(f"--{'' if on else 'no-'}{name}" for name, on in switches.items())])


def variants_of(size: str) -> dict[str, tuple[str, Variant | None, str]]:
    """Names, models and words of all that is compared. size: appended to the models' names, `_S` for the small ones."""
    parts = {name: (f"CDSR{size}", variant, f"{flags_of(variant)} {more}") for name, (variant, more) in PARTS.items()}
    return parts | {
        "oracle": (f"CDSR{size}_oracle", None, ""),
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
    parser.add_argument("--recipe", default=RECIPE)
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
