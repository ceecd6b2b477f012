"""Train on machines that go away, a piece at a time: `python -m examples.train_in_pieces --carry FOLDER -- OPTIONS`.

Each call trains for some minutes with the options of `main.py`, then leaves in the folder what the next call needs, on
this machine or another: the packed state in parts of 15 MiB, the logs, and the best weights in 16 bits. A call on a
machine that still has the run goes on from its exact state, unless another machine has got further.
"""

import argparse
import shutil
import sys
from pathlib import Path

import torch

import main
from option import parse_options
from training.packed_state import MANIFEST, MOMENTS, pack, read_parts, unpack, write_parts
from utils.checkpoint import StateStore, load_weights, save_weights
from utils.run import LOGS


def take_up(carry: Path, run: Path) -> bool:
    """Make the run ready to be resumed, from its own state or a later one carried; returns whether there is any."""
    own = StateStore(run / "state").paths()
    packed = read_parts(carry) if (carry / MANIFEST).is_file() else None
    if packed is None or (own and step_of(own[-1]) >= packed["step"]):
        return bool(own)
    state = unpack(packed)
    for name in LOGS:
        if (carry / name).is_file():
            run.mkdir(parents=True, exist_ok=True)
            shutil.copy(carry / name, run / name)
    progress = state["progress"]
    state["model_files"] = {}  # they stayed behind
    StateStore(run / "state").save(state, epoch=progress["epoch"], step=state.pop("step"))
    return True


def step_of(state: Path) -> int:
    """The global step in the name of a state's file."""
    return int(state.stem.rpartition("_")[2])


def leave(run: Path, carry: Path, moments: str) -> None:
    """Put into the folder what the next piece needs."""
    carry.mkdir(parents=True, exist_ok=True)
    state, path, _ = StateStore(run / "state").load()
    packed = {**pack(state, moments=moments), "step": step_of(path)}
    parts = write_parts(carry, packed)
    for name in LOGS:
        if (run / name).is_file():
            shutil.copy(run / name, carry / name)
    best = state["progress"]["best_epoch"]
    for weights in sorted((run / "model").glob(f"model_{best}_psnr_*")):
        if weights.stem.endswith("_ema") == bool(state["ema"]):
            tensors, metadata = load_weights(weights)
            save_weights(carry / "best.safetensors", tensors, {**metadata, "epoch": best}, is_half=True)
    num_bytes = sum(part.stat().st_size for part in parts)
    print(f"{carry}: step {packed['step']}, {num_bytes / 2**20:.1f} MiB in {len(parts)} parts")


def train_a_piece(argv: list[str] | None = None) -> int:
    """Train one piece; returns the exit code of `main.py`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--carry", type=Path, required=True, help="folder that travels from piece to piece")
    parser.add_argument("--time_limit", default="9m", help="as of main.py")
    parser.add_argument("--moments", choices=MOMENTS, default="second", help="which averages of Adam travel")
    parser.add_argument("words", nargs="+", metavar="OPTIONS", help="of main.py, after --")
    args = parser.parse_args(argv)
    words = [*args.words, "--time_limit", args.time_limit]
    run = parse_options(words).run_folder
    try:
        more = ["--resume", "-1"] if take_up(args.carry, run) else []
    except (ValueError, OSError) as error:
        parser.error(str(error))
    code = main.main([*words, *more])
    if code == 0 and torch.cuda.is_available():
        print(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    if StateStore(run / "state").paths():
        leave(run, args.carry, args.moments)
    return code


if __name__ == "__main__":
    sys.exit(train_a_piece())
