"""Samples: LR images with their HR originals, read when they are asked for; test sets are the main kind."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data.degradation import TestKernel
from data.protocol import Protocol
from utils.known_degradation import KnownDegradation
from utils.log import logger


class TestsetError(ValueError):
    """A test set that is missing or whose files do not belong together."""

    __test__ = False  # no test of pytest's


@dataclass(frozen=True)
class Sample:
    """An image under one test kernel: lr (h, w, 3) and hr (s*h, s*w, 3), uint8 RGB; what made lr of hr, where known."""

    image: str
    kernel: str
    lr: np.ndarray
    hr: np.ndarray
    known_degradation: KnownDegradation | None = None


class Samples(ABC):
    """Samples by index. A broken file raises ImageError, a ValueError, for its own samples only."""

    @property
    @abstractmethod
    def keys(self) -> list[tuple[str, str]]:
        """(image, test kernel) of every sample, known without reading any."""

    @abstractmethod
    def read(self, index: int) -> Sample:
        """Read the sample of an index from 0. ImageError names the file that is broken."""

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.keys)

    def __getitem__(self, index: int) -> Sample:
        """Read a sample; from the end where the index is below 0."""
        return self.read(range(len(self))[index])

    def __iter__(self) -> Iterator[Sample]:
        """Read all, one after another."""
        return map(self.read, range(len(self)))


def readable(sets: Mapping[str, Samples], title: str) -> Iterator[tuple[str, Sample]]:
    """Read every sample of every set under a progress bar, with the set's name; a corrupt one is named and left out."""
    for name, samples in sets.items():
        for index in tqdm(range(len(samples)), desc=f"{name} {title}", leave=False, disable=None):
            try:
                yield name, samples[index]
            except ValueError as error:
                logger.warning("%s: %s", name, error)


class Testset(Samples):
    """All test kernels of an image before the next image.

    Threads may share it: they take turns.
    """

    __test__ = False

    def __init__(self, name: str, protocol: Protocol, images: Sequence[str]) -> None:
        self.name = name
        self.protocol = protocol
        self.images = tuple(images)
        self._lock = threading.Lock()
        self._kept: Any = None  # of the last image

    @property
    def keys(self) -> list[tuple[str, str]]:
        return [(image, test_kernel.label) for image in self.images for test_kernel in self.protocol.test_kernels]

    def read(self, index: int) -> Sample:
        image, test_kernel = divmod(index, len(self.protocol.test_kernels))
        with self._lock:
            return self._read(self.images[image], self.protocol.test_kernels[test_kernel])

    @property
    def listed_images(self) -> str:
        """Names of the images in one line, in an order that is theirs alone."""
        return ", ".join(sorted(self.images))

    @property
    @abstractmethod
    def files(self) -> list[Path]:
        """All that is read."""

    @property
    def versions(self) -> list[tuple[str, int, int]]:
        """Place, size and time of change of each file: equal as long as the samples are."""
        stats = [(str(path.resolve()), path.stat()) for path in self.files]
        return [(place, stat.st_size, stat.st_mtime_ns) for place, stat in stats]

    @abstractmethod
    def _read(self, image: str, test_kernel: TestKernel) -> Sample:
        """One sample."""
