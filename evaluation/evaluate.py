"""The one evaluation that training and testing share: read samples, upscale, measure.

Reading (and degrading) the samples to come, and measuring and writing those that are done, go on in threads beside
the network. Rows come out in the order of the samples.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from data.samples import Sample, Samples
from evaluation.metrics import Measure, psnr_y, ssim_y
from evaluation.results import NAN, Result
from evaluation.rowlog import RowLog
from inference.upscaler import Upscaler
from utils.device import is_out_of_memory, peak_memory, reset_peak_memory, synchronize
from utils.image import to_tensor, to_uint8
from utils.log import logger

NUM_AHEAD = 4
"""Samples read ahead of the network."""

NUM_FINISHERS = 2
"""Threads that measure and write."""

OUT_OF_MEMORY = "out of memory: try --tile auto, or --precision bf16"


PSNR_AND_SSIM: Mapping[str, Measure] = {"psnr": psnr_y, "ssim": ssim_y}

OnResult = Callable[[Sample, np.ndarray], None]
Outcome = tuple[Sample, "Timed"] | Result
"""A sample with its SR image; or the failed row."""


def evaluate(
    upscaler: Upscaler,
    samples: Samples,
    *,
    device: torch.device,
    name: str,
    metrics: Mapping[str, Measure] = PSNR_AND_SSIM,
    on_result: OnResult | None = None,
    indices: Sequence[int] | None = None,
    row_log: RowLog | None = None,
    overlap: bool = True,
    progress: bool = True,
) -> list[Result]:
    """Upscale samples and measure them, `scale` border pixels off.

    Args:
        upscaler: the model.
        samples: a corrupt one raises ValueError when it is indexed, and fails that row alone.
        device: where the model lives.
        name: what the progress bar shows.
        metrics: what is measured, by name; by default PSNR and SSIM on Y.
        on_result: called with each sample and its SR image, (H, W, 3) uint8, maybe in another thread; its row counts
            as done only afterwards.
        indices: which samples, by default all.
        row_log: rows done before, which are not done again; takes the new ones.
        overlap: read and measure beside the network. Without it each step has the machine for itself, and the first
            image of a size is upscaled once before it is timed.
        progress: show a bar with the time left, on a terminal.
    """
    keys = samples.keys
    indices = range(len(keys)) if indices is None else indices
    done = row_log.rows if row_log else {}
    todo = [index for index in indices if keys[index] not in done]
    finish = Finisher(metrics, border=upscaler.scale, on_result=on_result)
    results = {index: done[keys[index]] for index in indices if keys[index] in done}
    if results:
        logger.info("%s: %d of %d rows were done before", name, len(results), len(indices))
    clock = Stopwatch(upscaler, device, is_alone=not overlap)
    disable = None if progress else True  # None: unless on a terminal
    with tqdm(total=len(indices), initial=len(results), desc=name, leave=False, disable=disable) as bar:
        for index, row in _run(samples, todo, clock, finish, overlap=overlap):
            if row.error:
                logger.warning("%s: %s", name, row.error)
            if row_log:
                row_log.append(row)
            results[index] = row
            bar.update()
    return [results[index] for index in indices]


@dataclass(frozen=True)
class Timed:
    """An SR image (H, W, 3) uint8, the seconds that the network took, and the most memory held meanwhile, in MiB."""

    sr: np.ndarray
    seconds: float
    peak_memory: float


class Stopwatch:
    """The network's own step, timed with the device idle before and after.

    Args:
        upscaler: the model.
        device: where it lives.
        is_alone: nothing runs beside it: measure the memory, too, and upscale the first image of a size once before.
    """

    def __init__(self, upscaler: Upscaler, device: torch.device, *, is_alone: bool) -> None:
        self.upscaler = upscaler
        self.device = device
        self.is_alone = is_alone
        self._seen: set[tuple[int, ...]] = set()

    def __call__(self, sample: Sample) -> Timed:
        """Upscale a sample's LR image."""
        lr = to_tensor(sample.lr).unsqueeze(0).to(self.device)
        if self.is_alone and lr.shape not in self._seen:
            self._seen.add(lr.shape)
            self.upscaler(lr, sample.known_degradation)
        if self.is_alone:
            reset_peak_memory(self.device)
        synchronize(self.device)
        start = time.perf_counter()
        sr = self.upscaler(lr, sample.known_degradation)
        synchronize(self.device)
        seconds = time.perf_counter() - start
        return Timed(to_uint8(sr[0]), seconds, peak_memory(self.device) / 2**20 if self.is_alone else NAN)


@dataclass(frozen=True)
class Finisher:
    """What is done with an SR image; safe in threads."""

    metrics: Mapping[str, Measure]
    border: int
    on_result: OnResult | None

    def __call__(self, outcome: Outcome) -> Result:
        """Measure, then hand on; a pair that cannot be measured fails its row."""
        if isinstance(outcome, Result):
            return outcome
        sample, timed = outcome
        try:
            values = {name: measure(timed.sr, sample.hr, self.border) for name, measure in self.metrics.items()}
        except ValueError as error:
            return Result(sample.image, sample.kernel, error=f"{sample.image} {sample.kernel}: {error}")
        if self.on_result:
            self.on_result(sample, timed.sr)
        return Result(sample.image, sample.kernel, values, timed.seconds, peak_memory=timed.peak_memory)


def _run(
    samples: Samples, todo: Sequence[int], clock: Stopwatch, finish: Finisher, *, overlap: bool
) -> Iterator[tuple[int, Result]]:
    """Rows of the samples to do, in order."""
    keys = samples.keys
    readers = ThreadPoolExecutor(1, "reader")  # the samples take turns anyway
    finishers = ThreadPoolExecutor(NUM_FINISHERS, "finisher")
    finished: deque[tuple[int, Future[Result]]] = deque()
    try:
        for index, reading in _read_ahead(readers, samples, todo, NUM_AHEAD if overlap else 0):
            finished.append((index, finishers.submit(finish, _upscale(clock, keys[index], reading))))
            while finished and (not overlap or len(finished) > 2 * NUM_FINISHERS or finished[0][1].done()):
                oldest, row = finished.popleft()
                yield oldest, row.result()
        for oldest, row in finished:
            yield oldest, row.result()
    finally:
        readers.shutdown(cancel_futures=True)
        finishers.shutdown(cancel_futures=True)


def _read_ahead(
    readers: Executor, samples: Samples, todo: Sequence[int], num_ahead: int
) -> Iterator[tuple[int, Future[Sample]]]:
    ahead: deque[tuple[int, Future[Sample]]] = deque()
    for index in todo:
        ahead.append((index, readers.submit(samples.__getitem__, index)))
        if len(ahead) > num_ahead:
            yield ahead.popleft()
    yield from ahead


def _upscale(clock: Stopwatch, key: tuple[str, str], reading: Future[Sample]) -> Outcome:
    try:
        sample = reading.result()
        return sample, clock(sample)
    except ValueError as error:
        return Result(*key, error=str(error))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return Result(*key, error=f"{key[0]} {key[1]}: {OUT_OF_MEMORY}")
