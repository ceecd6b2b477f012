"""Measure what several processes add to a training step: `python -m benchmarks.scaling --out FILE`.

Every process has one thread and the same number of pairs (weak scaling), by gloo on the CPU. The step is timed whole,
its exchanges alone: the average of all gradients, and the pixels and keys that shuffling batch normalisation gathers.
`docs/scaling.md` fits its cost model to these figures.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as mp

from benchmarks.train_step import build_step, time_calls
from model import create_model
from utils import distributed
from utils.environment import environment
from utils.files import write_json

CPU = torch.device("cpu")


def measure(rank: int, world_size: int, folder: str, args: argparse.Namespace) -> None:
    """Time one process among several; the first writes its milliseconds: medians, smallest and largest."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/group", rank=rank, world_size=world_size)
    side = args.patch_size * args.scale
    hr_pairs = torch.randint(0, 256, (args.batch_size, 2, 3, side, side), dtype=torch.uint8)
    lr = torch.zeros(args.batch_size, 3, args.patch_size, args.patch_size)
    model = create_model(args.model, args.scale)
    gradients = [torch.zeros_like(parameter) for parameter in model.parameters()]
    keys = torch.zeros(args.batch_size, 256)
    step = build_step(args.variant, args, CPU)
    calls = {
        "step": lambda index: step(index, hr_pairs),
        "average of gradients": lambda index: distributed.average(gradients),
        "gathered pixels and keys": lambda index: [distributed.gather_rows(rows) for rows in (lr, keys)],
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call(0)
    for _ in range(args.rounds):
        for name, call in calls.items():
            distributed.barrier()
            times[name].append(1e3 * time_calls(call, 1, CPU))
    rows = {
        name: {"ms": statistics.median(values), "smallest": min(values), "largest": max(values)}
        for name, values in times.items()
    }
    if rank == 0:
        num_bytes = sum(gradient.nbytes for gradient in gradients)
        write_json(Path(folder) / "rows.json", {"rows": rows, "gradient_mb": num_bytes / 1e6})
    distributed.finalize()


def main() -> None:
    """Measure 1, 2, … processes, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="CDSR_S", choices=("CDSR", "CDSR_S"))
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--batch_size", type=int, default=4, help="pairs of each process")
    parser.add_argument("--patch_size", type=int, default=48, help="LR pixels")
    parser.add_argument("--variant", default="bf16", help="as of benchmarks.train_step")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args()
    results: dict[str, Any] = {}
    for world_size in args.processes:
        with tempfile.TemporaryDirectory() as folder:
            mp.spawn(measure, (world_size, folder, args), nprocs=world_size)
            results[str(world_size)] = result = json.loads((Path(folder) / "rows.json").read_text())
        for name, row in result["rows"].items():
            print(
                f"{world_size} processes, {name:26} {row['ms']:9.2f} ms ({row['smallest']:.2f}, {row['largest']:.2f})"
            )
    write_json(args.out, {"options": vars(args), "environment": environment(), "processes": results})


if __name__ == "__main__":
    main()
