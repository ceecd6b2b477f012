"""Data parallelism: who this process is, and what the processes exchange.

One process is the plain case: every function is then the identity, and no process group exists.

Gradients are averaged by one all-reduce of a flat buffer after the backward pass. The backward pass of a step has
several parts (`--split_batch`, a frozen encoder), which DistributedDataParallel's hooks do not allow; 13 M weights are
little to send.
"""

import os
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from utils.log import logger

TIMEOUT = timedelta(minutes=30)
"""A process that does not answer for this long stops the run; of one that dies, torchrun tells at once."""


T = TypeVar("T")


def is_launched() -> bool:
    """Whether torchrun started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def is_first() -> bool:
    """Whether this process speaks for all: it is alone, or the first that torchrun started; known before they join."""
    return int(os.environ["RANK"]) == 0 if is_launched() else True


def launch(num_processes: int, script: str, words: Sequence[str]) -> int:
    """Run a script in several processes of this machine by torchrun; returns the exit code.

    This process is torchrun's, so that a signal to it alone reaches the others once, and they save their state, for
    which it waits: they agree to stop only every few steps, and not within a validation. Where one of them dies, it
    stops the others soon.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main

    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(int(TIMEOUT.total_seconds())))
    try:
        main(["--standalone", f"--nproc_per_node={num_processes}", script, *words])
    except SignalException as stop:
        return 128 + stop.sigval
    except ChildFailedError as error:
        logger.error("%s", error)
        return 1
    return 0


def initialize(device: torch.device, timeout: timedelta = TIMEOUT) -> None:
    """Join the process group that torchrun describes, by NCCL on GPUs and gloo elsewhere; once is enough."""
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timeout)


def finalize() -> None:
    """Leave the process group."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process, from 0; 0 alone writes files."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def local_rank() -> int:
    """Number of this process on its machine: the GPU that it takes."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def barrier() -> None:
    """Wait for all processes."""
    if dist.is_initialized():
        dist.barrier()


def gather_rows(tensor: Tensor) -> Tensor:
    """Concatenate the (B, ...) tensors of all ranks, in their order, without gradient."""
    if world_size() == 1:
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


def gather_objects(item: T) -> list[T]:
    """What each rank gave, in their order: anything that can be pickled."""
    if world_size() == 1:
        return [item]
    gathered: list[Any] = [None] * world_size()
    dist.all_gather_object(gathered, item)
    return gathered


def own_rows(tensor: Tensor) -> Tensor:
    """This rank's share of the rows of a tensor that all ranks have."""
    return tensor.chunk(world_size())[rank()]


def average(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its mean over the ranks, in place, by one all-reduce."""
    listed = list(tensors)
    if world_size() == 1 or not listed:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in listed])
    dist.all_reduce(flat)
    flat /= world_size()
    for tensor, mean in zip(listed, flat.split([tensor.numel() for tensor in listed]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def largest(number: int, device: torch.device) -> int:
    """The largest number of all ranks."""
    if world_size() == 1:
        return number
    most = torch.tensor(number, device=device)
    dist.all_reduce(most, dist.ReduceOp.MAX)
    return int(most)
