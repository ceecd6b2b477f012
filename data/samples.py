"""Samples: LR images with their HR originals, read when they are asked for; test sets are the main kind."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from data.degradation import TestKernel
from data.protocol import Protocol
from utils.known_degradation import KnownDegradation


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


class Samples(Sequence[Sample], ABC):
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

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        """Read a sample or several."""
        indices = range(len(self))[index]
        return self.read(indices) if isinstance(indices, int) else [self.read(i) for i in indices]


class Testset(Samples):
    """All test kernels of an image before the next image.

    Threads may share it (they take turns), and it may be passed to other processes.
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

    @abstractmethod
    def _read(self, image: str, test_kernel: TestKernel) -> Sample:
        """One sample."""

    def __getstate__(self) -> dict[str, Any]:
        """Leave the lock and what is kept behind."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_kept")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Come with a lock of one's own."""
        self.__dict__.update(state, _lock=threading.Lock(), _kept=None)
