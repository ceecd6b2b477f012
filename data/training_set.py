"""The training set: batches of crop pairs, each a function of the seed and the global step alone.

An item of the data set is the whole batch of a step, and its images, corners and turns are drawn from (seed, step). So
a resumed run sees the batches it would have seen, whatever the number of workers; the ranks of a parallel run share out
the batch of one process; and a folder and the LMDB packed from it give the same pixels. Two crops make a pair, as
momentum contrast needs: of one image, or of two for an encoder that is to look at the degradation alone (CDSR, table
1).

Differs from the published code: there `--data_range 1-3450/801-810` trains on the images it validates on, which are
held out here; one turn serves both crops of a pair, which are turned independently here; and the random state behind
order and crops is not part of a checkpoint, so that a resumed run sees other batches.
"""

from dataclasses import KW_ONLY, dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from data.crop_plan import CropPlan, draw_crops, orient
from data.pairs import PairDegradation, Pairs
from data.sources import MAX_NAMED, ImageSource
from utils.image import ImageError
from utils.log import logger


class TrainingSetError(ValueError):
    """The images cannot be read any more. Says so in one line even where a worker's traceback was put around it."""

    def __str__(self) -> str:
        return super().__str__().rpartition(f"{type(self).__name__}: ")[2].strip()


@dataclass(eq=False)
class TrainingSet(Dataset[torch.Tensor | Pairs]):
    """Item i is the batch of the run's step i: (batch_size / world_size, 2, 3, P, P) uint8 RGB, P = `patch`.

    batch_size: pairs in the batch of all ranks together; rank r has rows r·B to (r+1)·B of it, B being its share.
    first_batch_size, num_first_steps: pairs in each of the first steps of the run, those of the encoder alone.
    same_image: whether a pair is of one image, or of two that are never the same.
    pair_degradation: makes LR pairs, too, of a degradation that runs in workers; None: the training step does.
    An image that cannot be decoded is named once in a warning, and the next one of the source stands in for it for
    good; TrainingSetError when more than half of them fail.
    """

    source: ImageSource
    _: KW_ONLY
    seed: int
    batch_size: int
    patch: int
    first_batch_size: int = 0
    num_first_steps: int = 0
    augment: bool = True
    same_image: bool = True
    rank: int = 0
    world_size: int = 1
    pair_degradation: PairDegradation | None = None

    def __post_init__(self) -> None:
        """Check what the user gave."""
        num_images = len(self.source.names)
        for flag, size in (("batch_size", self.batch_size), ("batch_encoder", self.first_batch_size)):
            if size % self.world_size:
                raise ValueError(f"--{flag} {size} cannot be shared by {self.world_size} processes: give a multiple")
        if not self.same_image and num_images < 2:
            raise ValueError("--positive d takes two images, and there is one to train on: widen --data_range")
        assert 0 <= self.rank < self.world_size
        assert (self.source.sizes >= self.patch).all()
        self._broken = torch.zeros(num_images, dtype=torch.bool).share_memory_()  # known to all workers

    def __getitem__(self, step: int) -> torch.Tensor | Pairs:
        hr = self.hr_pairs(step)
        if self.pair_degradation is None:
            return hr
        lr = self.pair_degradation.degrade(hr, step)
        return Pairs(hr, lr.byte(), self.pair_degradation.known(len(hr), step))

    def hr_pairs(self, step: int) -> torch.Tensor:
        """HR patches of the batch of a step."""
        plan, rows = self.plan(step), self.rows(step)
        batch = np.empty((len(rows), 2, 3, self.patch, self.patch), np.uint8)
        for out, row in zip(batch, rows, strict=True):
            for i, crop in enumerate(self._read_pair(plan.pairs[row], plan.corners[row])):
                crop = np.ascontiguousarray(crop)  # turning it in place would touch far memory three times
                out[i] = orient(crop, int(plan.orientations[row, i])).transpose(2, 0, 1)
        return torch.from_numpy(batch)

    def plan(self, step: int) -> CropPlan:
        """What the batch of a step is made of, all ranks together."""
        sizes, batch_size = self.source.sizes, self._batch_size_at(step)
        return draw_crops(self.seed, step, batch_size, sizes, self.patch, self.augment, self.same_image)

    def rows(self, step: int) -> range:
        """This rank's rows of the batch of a step."""
        share = self._batch_size_at(step) // self.world_size
        return range(self.rank * share, (self.rank + 1) * share)

    def _batch_size_at(self, step: int) -> int:
        return self.first_batch_size if step < self.num_first_steps else self.batch_size

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
            try:
                pixels = self.source.image(index)
            except ImageError as error:
                self._set_broken(index, error)
                continue
            room, side = self.source.sizes[index] - self.patch + 1, self.patch
            # The corner is unchanged by % unless another image stands in.
            return index, [pixels[y : y + side, x : x + side] for y, x in (corners % room).tolist()]
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
