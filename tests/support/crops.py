"""A training set whose pixels say where they are from."""

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from data import build_batches, build_pair_degradation, load_batches, open_images
from data.sources import open_source
from data.training_set import TrainingSet
from option import Options, parse_options

PATCH = 16
SIZES = [(40, 31), (16, 16), (25, 60), (33, 18), (50, 50), (17, 29), (20, 20)]


def coordinates(index: int, size: tuple[int, int]) -> np.ndarray:
    """An image whose pixels say which image, row and column they are."""
    y, x = np.mgrid[: size[0], : size[1]]
    return np.dstack([np.full(size, index), y, x]).astype(np.uint8)


def make_crops(path: Path, **given) -> TrainingSet:
    options = {"seed": 3, "batch_size": 6, "patch": PATCH} | given
    return TrainingSet(open_source(path), **options)


def make_args(path: Path, **given) -> Options:
    defaults = {"patch_size": 8, "batch_size": 6, "n_threads": 0, "seed": 3}
    return parse_options(["--dir_data", str(path)]).replace(**defaults | given)


def loader_of(args: Options, steps: range) -> DataLoader:
    images, _ = open_images(args)
    loader = build_batches(args, images, build_pair_degradation(args), torch.device("cpu"))(steps)
    assert isinstance(loader, DataLoader)
    return loader


def batches_of(dataset: TrainingSet | DataLoader, steps: range = range(8)) -> torch.Tensor:
    """Batches of a loader, or those of these steps of a set."""
    return torch.stack(list(load_batches(dataset, steps) if isinstance(dataset, TrainingSet) else dataset))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])
