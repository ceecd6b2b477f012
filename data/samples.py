"""What a test set is: a sequence of LR pictures with their HR originals, read when they are asked for."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from data.protocols import Case, Protocol
from utils.truth import Truth


class TestsetError(ValueError):
    """A test set that is missing or whose files do not belong together."""

    __test__ = False  # no test of pytest's


@dataclass(frozen=True)
class Sample:
    """A picture under one case: lr (h, w, 3) and hr (s*h, s*w, 3), uint8 RGB; truth: kernel and noise of the case."""

    picture: str
    case: str
    lr: np.ndarray
    hr: np.ndarray
    truth: Truth | None = None


class Testset(Sequence[Sample], ABC):
    """Samples, all cases of a picture before the next picture; ImageError for the samples of a broken file alone.

    Threads may share it (they take turns), and it may be passed to other processes.
    """

    __test__ = False

    def __init__(self, name: str, protocol: Protocol, pictures: Sequence[str]) -> None:
        self.name = name
        self.protocol = protocol
        self.pictures = tuple(pictures)
        self._lock = threading.Lock()
        self._kept: Any = None  # of the last picture

    @property
    def keys(self) -> list[tuple[str, str]]:
        """(picture, case) of every sample, known without reading any."""
        return [(picture, case.label) for picture in self.pictures for case in self.protocol.cases]

    def shard(self, rank: int, num_shards: int) -> list[int]:
        """Indices of the samples of every num_shards-th picture, so that each picture is read in one place."""
        cases = range(len(self.protocol.cases))
        return [p * len(cases) + case for p in range(rank, len(self.pictures), num_shards) for case in cases]

    def __len__(self) -> int:
        """Pictures times cases."""
        return len(self.pictures) * len(self.protocol.cases)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        """Read a sample. ImageError names the file that is broken."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        picture, case = divmod(range(len(self))[index], len(self.protocol.cases))
        with self._lock:
            return self._read(self.pictures[picture], self.protocol.cases[case])

    @abstractmethod
    def _read(self, picture: str, case: Case) -> Sample:
        """One sample."""

    def __getstate__(self) -> dict[str, Any]:
        """Leave the lock and what is kept behind."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_kept")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Come with a lock of one's own."""
        self.__dict__.update(state, _lock=threading.Lock(), _kept=None)
