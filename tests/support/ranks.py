"""A task in several processes of one group."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import multiprocessing as mp

from utils import distributed


def work(rank: int, world_size: int, folder: str, task: Callable[[int, int], dict[str, Any]]) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/group", rank=rank, world_size=world_size)
    torch.save(task(rank, world_size), f"{folder}/{rank}.pt")
    distributed.finalize()


def on_ranks(task: Callable[[int, int], dict[str, Any]], world_size: int, folder: Path) -> list[dict[str, Any]]:
    """Run a task in processes of one group; returns what each came to."""
    mp.spawn(work, (world_size, str(folder), task), nprocs=world_size)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world_size)]
