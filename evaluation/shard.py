"""One evaluation shared by the processes that `torchrun` starts."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from utils import distributed

T = TypeVar("T")

LONGEST_WAIT = datetime.timedelta(days=7)
"""For the slowest process; one that fails is noticed by torchrun at once."""


@dataclass(frozen=True)
class Shard:
    """This process's part: number `rank` of `size`."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    def indices(self, keys: Sequence[tuple[str, str]]) -> list[int]:
        """Take the samples of every size-th image, so that each image is read in one place alone.

        keys: (image, test kernel) of every sample.
        """
        number = {image: i for i, image in enumerate(dict.fromkeys(image for image, _ in keys))}
        return [index for index, (image, _) in enumerate(keys) if number[image] % self.size == self.rank]

    def merge(self, indices: Sequence[int], rows: Sequence[T]) -> list[T]:
        """Collect the rows of all processes, in the order of their indices; each process gets all of them."""
        parts = distributed.gather_objects(list(zip(indices, rows, strict=True)))
        return [row for _, row in sorted((pair for part in parts for pair in part), key=lambda pair: pair[0])]

    def close(self) -> None:
        """Leave the group, when all have come here."""
        distributed.barrier()
        distributed.finalize()


def join_shard() -> Shard:
    """Join the group of `torchrun`, or be alone. Rows travel by gloo, also between processes that use GPUs."""
    if not distributed.is_launched():
        return Shard()
    distributed.initialize(torch.device("cpu"), LONGEST_WAIT)
    return Shard(distributed.rank(), distributed.world_size())
