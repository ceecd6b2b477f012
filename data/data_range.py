"""`--data_range`: which images are for training, and which are held out for validation."""

import re

import numpy as np

from utils.log import logger


def parse_range(data_range: str) -> tuple[int, int, int, int]:
    """First and last image for training and for validation, all counted from 1, ends included: 1-3450/801-810."""
    match = re.fullmatch(r"(\d+)-(\d+)/(\d+)-(\d+)", data_range.replace(" ", ""))
    train_first, train_last, first, last = map(int, match.groups()) if match else (0, 0, 0, 0)
    if not (1 <= train_first <= train_last and 1 <= first <= last):
        raise ValueError(
            f"--data_range {data_range!r}: give two ranges FIRST-LAST/FIRST-LAST of training and validation images, "
            "counted from 1 with FIRST <= LAST, such as 1-3450/801-810"
        )
    return train_first, train_last, first, last


def split_range(data_range: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices (from 0) of the training and the validation images among `count` sorted ones; no index is in both.

    Validation images are taken out of training. Where the images end before a range does, it is cut down with a
    warning; where they end before the validation range begins, the last 5 % are held out (1 to 10 images).
    """
    train_first, train_last, first, last = parse_range(data_range)
    if count < 2:
        raise ValueError(f"{count} image is not enough: one is needed to train and another to validate")
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
        logger.warning(
            "--data_range %s goes beyond the %d images there are: %d for training, %d to %d for validation",
            *(data_range, count, len(train), validation[0] + 1, validation[-1] + 1),
        )
    return train, validation
