"""`--data_range`: which images are for training, and which are held out for validation."""

import re
from dataclasses import dataclass

import numpy as np

from data.sources import warn_once


@dataclass(frozen=True)
class DataRange:
    """First and last image for training and for validation, counted from 1, ends included."""

    train: tuple[int, int]
    validation: tuple[int, int]

    @classmethod
    def parse(cls, text: str) -> "DataRange":
        """Read FIRST-LAST/FIRST-LAST, such as 1-3450/801-810. ValueError for anything else."""
        match = re.fullmatch(r"(\d+)-(\d+)/(\d+)-(\d+)", text.replace(" ", ""))
        train_first, train_last, first, last = map(int, match.groups()) if match else (0, 0, 0, 0)
        if not (1 <= train_first <= train_last and 1 <= first <= last):
            raise ValueError(
                f"--data_range {text!r}: give two ranges FIRST-LAST/FIRST-LAST of training and validation images, "
                "counted from 1 with FIRST <= LAST, such as 1-3450/801-810"
            )
        return cls((train_first, train_last), (first, last))

    def split(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices (from 0) of the training and the validation images among `count` sorted ones; none is in both.

        Validation images are taken out of training. Where the images end before a range does, it is cut down with a
        warning; where they end before the validation range begins, the last 5 % are held out (1 to 10 images).
        """
        if count < 2:
            raise ValueError(f"{count} usable image is not enough: one is needed to train and another to validate")
        (train_first, train_last), (first, last) = self.train, self.validation
        if first <= count:
            validation = np.arange(first - 1, min(last, count))
        else:
            validation = np.arange(count - max(1, min(10, count // 20)), count)
        train = np.setdiff1d(np.arange(train_first - 1, min(train_last, count)), validation)
        if not len(train):
            raise ValueError(
                f"--data_range {self} leaves none of the {count} images for training once those for validation are "
                "held out"
            )
        if max(train_last, last) > count:
            warn_once(
                f"--data_range {self} goes beyond the {count} images there are: {len(train)} for training, "
                f"{validation[0] + 1} to {validation[-1] + 1} for validation"
            )
        return train, validation

    def __str__(self) -> str:
        """As `parse` reads it."""
        return "/".join(f"{first}-{last}" for first, last in (self.train, self.validation))
