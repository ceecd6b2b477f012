"""The training set: batches of crop pairs, each a function of the seed and the global step alone.

An item of the data set is a whole batch, and its images, corners and turns are drawn from (seed, step). So a resumed
run sees the batches it would have seen, whatever the number of workers; the ranks of a parallel run share out the batch
of one process; and a folder and the LMDB packed from it give the same pixels. Two crops make a pair, as momentum
contrast needs: of one image, or of two for an encoder that is to look at the degradation alone (CDSR, table 1).

Differs from the published code: there `--data_range 1-3450/801-810` trains on the images it validates on, which are
held out here; one turn serves both crops of a pair, which are turned independently here; and the random state behind
order and crops is not part of a checkpoint, so that a resumed run sees other batches.
"""

import logging
import re

import numpy as np
import torch
from torch.utils.data import Dataset

from data.crops import CropPlan, draw_crops, orient
from data.sources import MAX_NAMED, ImageSource, warn_once
from utils.image import ImageError

logger = logging.getLogger("cdsr")


class TrainingSetError(ValueError):
    """The images cannot be read any more. Says so in one line even where a worker's traceback was put around it."""

    def __str__(self) -> str:
        return super().__str__().rpartition(f"{type(self).__name__}: ")[2].strip()


class TrainingCrops(Dataset[torch.Tensor]):
    """Item i is the batch of step `start_step` + i: (batch_size / world_size, 2, 3, P, P) uint8 RGB, P = `patch`.

    batch_size: pairs in the batch of all ranks together; rank r has rows r·B to (r+1)·B of it, B being its share.
    same_image: whether a pair is of one image, or of two that are never the same.
    An image that cannot be decoded is named once in a warning, and the next one of the source stands in for it for
    good; TrainingSetError when more than half of them fail.
    """

    def __init__(
        self,
        source: ImageSource,
        *,
        seed: int,
        batch_size: int,
        patch: int,
        num_steps: int,
        start_step: int = 0,
        augment: bool = True,
        same_image: bool = True,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size % world_size:
            raise ValueError(f"--batch_size {batch_size} cannot be shared by {world_size} processes: give a multiple")
        if not same_image and len(source.names) < 2:
            raise ValueError("--positive d takes two images, and there is one to train on: widen --data_range")
        assert 0 <= rank < world_size
        assert (source.sizes >= patch).all()
        self.source = source
        self.seed = seed
        self.batch_size = batch_size
        self.patch = patch
        self.num_steps = num_steps
        self.start_step = start_step
        self.augment = augment
        self.same_image = same_image
        share = batch_size // world_size
        self.rows = range(rank * share, (rank + 1) * share)
        self._broken = torch.zeros(len(source.names), dtype=torch.bool).share_memory_()  # known to all workers

    def __len__(self) -> int:
        return self.num_steps

    def __getitem__(self, index: int) -> torch.Tensor:
        if not 0 <= index < self.num_steps:
            raise IndexError(index)
        plan = self.plan(self.start_step + index)
        batch = np.empty((len(self.rows), 2, 3, self.patch, self.patch), np.uint8)
        for out, row in zip(batch, self.rows, strict=True):
            for i, crop in enumerate(self._read_pair(plan.pairs[row], plan.corners[row])):
                crop = np.ascontiguousarray(crop)  # turning it in place would touch far memory three times
                out[i] = orient(crop, int(plan.orientations[row, i])).transpose(2, 0, 1)
        return torch.from_numpy(batch)

    def plan(self, step: int) -> CropPlan:
        """What the batch of a global step is made of, all ranks together."""
        sizes = self.source.sizes
        return draw_crops(self.seed, step, self.batch_size, sizes, self.patch, self.augment, self.same_image)

    def _read_pair(self, pair: np.ndarray, corners: np.ndarray) -> list[np.ndarray]:
        """The two crops of a pair of images."""
        image, partner = map(int, pair)
        if self.same_image:
            return self._read_crops(image, corners)[1]
        own, first = self._read_crops(image, corners[:1])
        return first + self._read_crops(partner, corners[1:], other_than=own)[1]

    def _read_crops(
        self, image: int, corners: np.ndarray, other_than: int | None = None
    ) -> tuple[int, list[np.ndarray]]:
        """Crops of an image, or of the next one that can be read; and which one that was."""
        num_images = len(self._broken)
        for index in (i % num_images for i in range(image, image + num_images)):
            if self._broken[index] or index == other_than:
                continue
            room = self.source.sizes[index] - self.patch + 1
            try:  # the corner is unchanged by % unless another image stands in
                return index, [self.source.crop(index, y, x, self.patch) for y, x in (corners % room).tolist()]
            except ImageError as error:
                self._set_broken(index, error)
        raise TrainingSetError("no training image can be read any more: is --dir_data still there and whole?")

    def _set_broken(self, image: int, error: ImageError) -> None:
        self._broken[image] = True
        num_broken = int(self._broken.sum())
        if 2 * num_broken > len(self._broken):
            raise TrainingSetError(
                f"{num_broken} of {len(self._broken)} training images cannot be read (the last: {error}): "
                "is --dir_data still there and whole?"
            ) from error
        if num_broken <= MAX_NAMED:
            last = " (further ones are not named)" if num_broken == MAX_NAMED else ""
            logger.warning("%s; another training image stands in for it%s", error, last)


def split_range(data_range: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices (from 0) of the training and the validation images among `count` sorted ones; no index is in both.

    data_range: 'FIRST-LAST/FIRST-LAST' of training and validation, counted from 1, ends included, as 1-3450/801-810.
    Validation images are taken out of training. Where the images end before a range does, it is cut down with a
    warning; where they end before the validation range begins, the last 5 % are held out (1 to 10 images).
    """
    match = re.fullmatch(r"(\d+)-(\d+)/(\d+)-(\d+)", data_range.replace(" ", ""))
    train_first, train_last, first, last = map(int, match.groups()) if match else (0, 0, 0, 0)
    if not (1 <= train_first <= train_last and 1 <= first <= last):
        raise ValueError(
            f"--data_range {data_range!r} is not FIRST-LAST/FIRST-LAST of training and validation images, counted "
            "from 1 with FIRST <= LAST, such as 1-3450/801-810"
        )
    if count < 2:
        raise ValueError(f"{count} usable image is not enough: one is needed to train and another to validate")
    if first <= count:
        validation = np.arange(first - 1, min(last, count))
    else:
        validation = np.arange(count - max(1, min(10, count // 20)), count)
    train = np.setdiff1d(np.arange(train_first - 1, min(train_last, count)), validation)
    if not len(train):
        raise ValueError(
            f"--data_range {data_range} leaves none of the {count} images for training once those for validation "
            "are held out"
        )
    if max(train_last, last) > count:
        warn_once(
            f"--data_range {data_range} goes beyond the {count} images there are: {len(train)} for training, "
            f"{validation[0] + 1} to {validation[-1] + 1} for validation"
        )
    return train, validation
