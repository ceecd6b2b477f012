"""What teaches an encoder: `python -m benchmarks.encoders --dir_data … --test_path … --out F`.

The encoder phase alone, by contrast alone: the branches of LPE, CSC, and what the two patches of a positive pair share
(`--positive`, table 1 of the paper). Linear probes tell what the codes know. There is no head, and the SR network stays
as it was initialised.
"""

import functools
from pathlib import Path

from benchmarks.ablation import Arm
from benchmarks.codes import knowledge
from benchmarks.trials import SIGMAS_X2, Row, last_weights, run_trials, table, trial_parser
from data.protocols import get_protocol
from model import open_model
from model.variant import Variant
from utils.device import select_device
from utils.run import read_settings

RECIPE = (
    "--optimizer MUON --channels_last --grad_clip 20 --context 64 --batch_encoder 16 --negatives batch "
    "--temperature 0.1 --moco_momentum 0 --queue_size 16"
)
SLOW, FAST = "--lr_encoder 1e-3", "--lr_encoder 8e-3"


def _arm(lpe: str, options: str, *, csc: bool = False) -> Arm:
    return Arm("CDSR_S", Variant(lpe=lpe, csc=csc), options)


ARMS = {
    "pixel branch": _arm("pixel", f"{FAST} --positive d"),
    "pixel branch, slower rate": _arm("pixel", f"{SLOW} --positive d"),
    "patch branch": _arm("patch", f"{FAST} --positive d"),
    "both, with CSC, as published": _arm("both", f"{SLOW} --positive cd", csc=True),
    "autocorrelation, positive d": _arm("autocorrelation", f"{FAST} --positive d"),
    "autocorrelation, positive cd": _arm("autocorrelation", f"{FAST} --positive cd"),
    "autocorrelation, positive c": _arm("autocorrelation", f"{FAST} --positive c"),
    "autocorrelation, with CSC": _arm("autocorrelation", f"{SLOW} --positive d", csc=True),
    "all three branches": _arm("all", f"{FAST} --positive d"),
}


def measure(run: Path, test_path: Path, device_name: str) -> Row:
    """What codes of B100 know, from the folder of a run."""
    device = select_device(device_name)
    settings = read_settings(run)
    model = open_model(settings["model"], settings["scale"], last_weights(run))
    model.eval().to(device)
    return knowledge(model, test_path, get_protocol("cdsr", settings["scale"]), device)


def main() -> None:
    """Train every encoder with every seed, print the table."""
    parser = trial_parser(__doc__.splitlines()[0], steps=300)
    parser.add_argument("--test_path", type=Path, required=True, help="folder of B100")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), help="these alone")
    parser.add_argument("--recipe", default=RECIPE)
    args = parser.parse_args()
    alone = f"--epochs_encoder {args.epochs} --epochs_sr 0"
    words = {name: f"{SIGMAS_X2} {args.recipe} {alone} {ARMS[name].words}" for name in args.arms}
    rows = run_trials(words, args, functools.partial(measure, test_path=args.test_path, device_name=args.device))
    print(table(rows))


if __name__ == "__main__":
    main()
