"""What each part is worth: `python -m benchmarks.ablation --budget STEPS --seeds N --dir_data … --test_path … --out F`.

CDSR's parts are taken away one at a time, and ours put in: the autocorrelation branch, the head, the teacher. Table 1
of the paper is in it: what the two patches of a positive pair share (`--positive`). A network without a code and an
oracle that is told the kernel bound what a code can bring; DASR is the method to beat. All train the SR network for
equal steps; the kernels of the validation and of the test set are of the training range.
"""

import argparse
import functools
from pathlib import Path
from typing import NamedTuple

from benchmarks.codes import measure
from benchmarks.trials import ANY_TRUTH, run_trials, table, trial_parser
from evaluation.profiling import model_cost
from model import create_model
from model.variant import Variant
from utils.device import select_device

RECIPE = (
    "--optimizer MUON --channels_last --lr_sr 1e-3 --decay_type cosine --warmup 100 --grad_clip 20 --ema 0.995 "
    "--context 64 --batch_encoder 24 --positive d --negatives batch --temperature 0.1 --moco_momentum 0 "
    "--queue_size 16 --epochs_encoder -1"
)
ENCODER = "--epochs_encoder 1 --lr_encoder 3e-4"
OUR_ENCODER = "--epochs_encoder 1 --lr_encoder 8e-3"
"""Muon's rate, for the matrices of the autocorrelation branch."""
TAUGHT = f"{OUR_ENCODER} --d_weight 10"
RECIPES_ENCODER = "--epochs_encoder 3 --lr_encoder 1.2e-2 --lr_decay_encoder 1 --gamma_encoder 0.4 --context 96"
"""The encoder phase of `small_x2`."""

BRANCH = Variant(lpe="autocorrelation", csc=False)
HEAD = BRANCH._replace(head=True)


class Arm(NamedTuple):
    """What is compared: a model, its parts where it has any, and options besides the recipe's."""

    model: str
    variant: Variant | None
    options: str

    @property
    def words(self) -> str:
        """The flags for all of it, every part named whatever the model's own."""
        words = [f"--model {self.model}"]
        if self.variant:
            words += [f"--lpe {self.variant.lpe}"]
            words += [f"--{'' if getattr(self.variant, part) else 'no-'}{part}" for part in ("csc", "dqa", "head")]
        return " ".join([*words, self.options])


def arms(size: str, epochs: int) -> dict[str, Arm]:
    """All that is compared, by name.

    Args:
        size: appended to the models' names, `_S` for the small ones.
        epochs: that train the SR network; a teacher has the first half.
    """
    cdsr, teacher = f"CDSR{size}", f"--epochs_teacher {epochs // 2}"
    return {
        "no code": Arm(f"{cdsr}_unconditional", None, ""),
        "CDSR's parts": Arm(cdsr, Variant(), ENCODER),
        "pixel branch alone": Arm(cdsr, Variant(lpe="pixel"), ENCODER),
        "patch branch alone": Arm(cdsr, Variant(lpe="patch"), ENCODER),
        "without CSC": Arm(cdsr, Variant(csc=False), ENCODER),
        "without DQA": Arm(cdsr, Variant(dqa=False), ENCODER),
        "with the autocorrelation branch": Arm(cdsr, Variant(lpe="all"), ENCODER),
        "autocorrelation alone, positive d": Arm(cdsr, BRANCH, OUR_ENCODER),
        "autocorrelation alone, positive cd": Arm(cdsr, BRANCH, f"{OUR_ENCODER} --positive cd"),
        "autocorrelation alone, positive c": Arm(cdsr, BRANCH, f"{OUR_ENCODER} --positive c"),
        "head": Arm(cdsr, HEAD, TAUGHT),
        "head, teacher": Arm(cdsr, HEAD, f"{TAUGHT} {teacher}"),
        "head, teacher, longer encoder phase": Arm(cdsr, HEAD, f"{TAUGHT} {teacher} {RECIPES_ENCODER}"),
        "head, teacher, no contrast": Arm(cdsr, HEAD, f"{TAUGHT} {teacher} --c_weight 0"),
        "oracle": Arm(f"{cdsr}_oracle", None, ""),
        "DASR": Arm(f"DASR{size}", None, ENCODER),
    }


def main() -> None:
    """Train every arm with every seed, print the table; differences are from the network without a code."""
    parser = trial_parser(__doc__.splitlines()[0], steps=2000, epochs=4)
    names = list(arms("", 1))
    parser.add_argument("--size", choices=("", "_S"), default="_S", help="published size, or the small one")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--test_path", type=Path, required=True, help="folder of Set14 and B100")
    parser.add_argument("--arms", nargs="+", choices=names, default=names, help="these alone")
    parser.add_argument("--baseline", choices=names, default=names[0], help="what differences are from")
    parser.add_argument("--recipe", default=RECIPE)
    args: argparse.Namespace = parser.parse_args()
    taught = [name for name in args.arms if "teacher" in name]
    if args.epochs < 2 and taught:
        parser.error(f"--epochs {args.epochs} has none for a teacher: give 2 or more, or not {'; '.join(taught)}")
    shared = f"--scale {args.scale} --sig_min {0.175 * args.scale} --sig_max {2.5 * args.scale} {args.recipe}"
    compared = {name: arm for name, arm in arms(args.size, args.epochs).items() if name in args.arms}
    words = {name: f"{shared} {arm.words}" for name, arm in compared.items()}
    models = {name: create_model(arm.model, args.scale, arm.variant) for name, arm in compared.items()}
    costs = {name: model_cost(model, ANY_TRUTH).columns() for name, model in models.items()}
    device = select_device(args.device)
    rows = run_trials(words, args, functools.partial(measure, test_path=args.test_path, device=device))
    print(table(rows, costs, baseline=args.baseline if args.baseline in rows else None))


if __name__ == "__main__":
    main()
