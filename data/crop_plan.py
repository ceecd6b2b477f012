"""The plan of a training batch: which images, where, and how turned; a function of the seed and the step alone."""

import functools
from dataclasses import dataclass

import numpy as np

_ORDER, _CROPS, _PARTNERS = 0, 1, 2  # streams of random numbers


@dataclass(frozen=True)
class CropPlan:
    """What one batch of B pairs is made of."""

    images: np.ndarray  # (B,) int64: indices into the source
    partners: np.ndarray  # (B,) int64: the same of the second patches
    corners: np.ndarray  # (B, 2, 2) int64: (top, left) of either patch
    orientations: np.ndarray  # (B, 2) int64: 0 to 7, see `orient`

    @property
    def pairs(self) -> np.ndarray:
        """Images of both patches, (B, 2) int64."""
        return np.stack([self.images, self.partners], axis=1)


def draw_crops(
    seed: int,
    step: int,
    batch_size: int,
    sizes: np.ndarray,
    patch: int,
    augment: bool = True,
    same_image: bool = True,
) -> CropPlan:
    """Plan of the batch of global step `step`.

    sizes: (N, 2) int64, height and width of each image, at least `patch`. The images of consecutive batches follow
    each other in a shuffled order that holds every image once, drawn anew for each pass.
    same_image: else the second patch is of any of the N - 1 other images.
    """
    passes, places = np.divmod(step * batch_size + np.arange(batch_size), len(sizes))
    images = np.empty(batch_size, np.int64)
    for pass_index in np.unique(passes):
        rows = passes == pass_index
        images[rows] = _shuffled(seed, int(pass_index), len(sizes))[places[rows]]
    partners = images
    if not same_image:
        partners = (images + _generator(seed, _PARTNERS, step).integers(1, len(sizes), batch_size)) % len(sizes)
    generator = _generator(seed, _CROPS, step)
    room = np.stack([sizes[images], sizes[partners]], axis=1) - patch + 1  # (B, 2, 2)
    corners = np.floor(generator.random((batch_size, 2, 2)) * room).astype(np.int64)
    orientations = generator.integers(8, size=(batch_size, 2)) if augment else np.zeros((batch_size, 2), np.int64)
    return CropPlan(images, partners, corners, orientations)


def orient(crop: np.ndarray, orientation: int) -> np.ndarray:
    """View of a square (P, P, 3) crop: turned by 90 degrees `orientation` % 4 times, and mirrored from 4 on."""
    turned = np.rot90(crop, orientation % 4)
    return turned[:, ::-1] if orientation >= 4 else turned


@functools.lru_cache(maxsize=4)
def _shuffled(seed: int, pass_index: int, count: int) -> np.ndarray:
    order = _generator(seed, _ORDER, pass_index).permutation(count)
    order.flags.writeable = False
    return order


def _generator(seed: int, stream: int, index: int) -> np.random.Generator:
    """Counter-based random numbers: a sequence of its own for each (seed, stream, index), with no state before it."""
    key = np.array([seed, index], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, stream]))
