"""The whole training set on the device as uint8: crops, flips and turns there, without a loader process.

The batches equal those of `TrainingSet`, bit for bit, where all images can be decoded: both follow one plan.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from data.training_set import TrainingSet
from utils.device import send

SHARE_OF_FREE_MEMORY = 0.5
"""The images may take this much of a GPU's free memory."""


class ResidentCrops:
    """The batches of a training set, each cut on the device.

    Args:
        crops: the training set whose batches these are; each of its images is read once.
        device: where the images stay.

    Raises:
        ValueError: the images do not fit, or one cannot be decoded; no other image stands in for it here.
    """

    def __init__(self, crops: TrainingSet, device: torch.device) -> None:
        self.crops, self.device = crops, device
        self.sizes = crops.source.sizes
        num_pixels = self.sizes.prod(axis=1)
        check_fits(int(num_pixels.sum()) * 3, device)
        self.starts = np.concatenate([[0], np.cumsum(num_pixels)[:-1]])
        self.pixels = torch.empty(int(num_pixels.sum()), 3, dtype=torch.uint8, device=device)
        for index, start in enumerate(self.starts):
            image = np.array(crops.source.image(index)).reshape(-1, 3)
            self.pixels[start : start + len(image)] = torch.from_numpy(image).to(device)

    def batches(self, steps: Iterable[int]) -> Iterator[Tensor]:
        """Yield the batches of these steps."""
        return map(self.batch, steps)

    def batch(self, step: int) -> Tensor:
        """Gather the (B, 2, 3, P, P) uint8 batch of a step; the CPU sends a few numbers a crop and never waits."""
        plan = self.crops.plan(step)
        own = self.crops.rows(step)
        rows = slice(own.start, own.stop)
        pairs, corners = plan.pairs[rows], plan.corners[rows]
        widths = self.sizes[pairs, 1]  # (B, 2)
        firsts = self.starts[pairs] + corners[..., 0] * widths + corners[..., 1]
        orientations = plan.orientations[rows]
        row, column = self._turned_grid(self._send(orientations))
        index = self._send(firsts)[..., None, None] + row * self._send(widths)[..., None, None] + column
        return self.pixels[index].permute(0, 1, 4, 2, 3)  # (B, 2, P, P, 3) -> (B, 2, 3, P, P)

    def _send(self, array: np.ndarray) -> Tensor:
        return send(torch.from_numpy(np.ascontiguousarray(array)), self.device)

    def _turned_grid(self, orientations: Tensor) -> tuple[Tensor, Tensor]:
        """Source row and column of every pixel of a crop turned by `orient`, each (B, 2, P, P)."""
        last = self.crops.patch - 1
        along = torch.arange(self.crops.patch, device=self.device)
        row, column = torch.meshgrid(along, along, indexing="ij")
        turns, is_mirrored = (orientations % 4)[..., None, None], (orientations >= 4)[..., None, None]
        column = torch.where(is_mirrored, last - column, column)  # mirrored last, so looked up first
        row = row.expand_as(column)
        sources = ((row, column), (column, last - row), (last - row, last - column), (last - column, row))
        turned_row, turned_column = sources[0]
        for turn, (other_row, other_column) in enumerate(sources[1:], start=1):
            turned_row = torch.where(turns == turn, other_row, turned_row)
            turned_column = torch.where(turns == turn, other_column, turned_column)
        return turned_row, turned_column


def check_fits(num_bytes: int, device: torch.device) -> None:
    """Refuse images that would crowd out the training."""
    if device.type != "cuda":
        return
    free, _ = torch.cuda.mem_get_info(device)
    if num_bytes > SHARE_OF_FREE_MEMORY * free:
        raise ValueError(
            f"--data_resident: the images take {num_bytes / 1e9:.1f} GB, and {free / 1e9:.1f} GB of {device} are "
            "free; leave it out and pack an LMDB (python -m data.build_lmdb)"
        )
