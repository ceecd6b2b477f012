"""The training loop: epochs and their phases, logs, validation, states, and stopping in order."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from evaluation.codes import COLLAPSED
from training.guard import MAX_SKIPPED_STEPS
from training.model_files import ModelFiles
from training.schedule import Phase, Schedule
from training.step import TrainingStep
from training.validation import Validation
from utils import distributed
from utils.checkpoint import StateStore
from utils.device import is_out_of_memory, peak_memory
from utils.log import logger
from utils.randomness import random_states, restore_random_states
from utils.run import RunLogger
from utils.signals import StopRequest

TIME_IS_OVER = 1
"""What a rank says in place of a signal's number; those that are heeded are larger."""

ASK_RANKS_EVERY = 10
"""Steps between the questions whether any of several processes was told to stop."""


class TrainingStopped(RuntimeError):
    """Training cannot go on; the last good state is on disk and the message says what to do."""


class Interrupted(Exception):
    """A signal or the time limit asked the run to stop; the state is saved."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Meter:
    """Running means of what is finite, which stay on the device until they are read."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}  # and counts

    def add(self, losses: dict[str, Tensor]) -> None:
        """Add one step's losses; one that is not finite does not count."""
        for name, value in losses.items():
            value = value.detach().float()
            finite = torch.stack([value.nan_to_num(0, 0, 0), value.isfinite().float()])
            self._sums[name] = self._sums[name] + finite if name in self._sums else finite

    def means(self) -> dict[str, float]:
        """Read the means over all ranks, which ask together, and start again; NaN where nothing was finite."""
        distributed.average(self._sums.values())
        means = {name: float(total / count) for name, (total, count) in self._sums.items()}
        self._sums = {}
        return means


@dataclass
class Progress:
    """Where a run is; saved with it. Epochs count from 1.

    best_images: held-out images that the best PSNR is a mean of: one of fewer, where some could not be read, is no
        better. 0: not known, as in states of before.
    """

    epoch: int = 1
    step_in_epoch: int = 0
    best_psnr: float = -math.inf
    best_epoch: int = 0
    best_images: int = 0

    def is_best(self, found: Validation) -> bool:
        """Whether a validation is better than all before."""
        return (found.num_images, found.psnr) > (self.best_images or found.num_images, self.best_psnr)


class Trainer:
    """Train a model for its schedule.

    Args:
        training_step: the model and all that changes with a batch.
        batches: given the steps to come, yields the batch of each as `training_step` takes it.
        validate: measures a model in evaluation mode.
        save_model: writes a model's weights to a path.
        schedule: phases and learning rates.
        run_logger: logs of the run, whose folder takes `model/` and `state/`.
        print_every: steps between log lines.
        save_models: keep every epoch's weights.
        time_limit: seconds after which the run stops in order, validated and with its weights written where the rate
            falls with the time.
    """

    def __init__(
        self,
        *,
        training_step: TrainingStep,
        batches: Callable[[range], Iterable[Any]],
        validate: Callable[[Any], Validation],
        save_model: Callable[[Any, Path], None],
        schedule: Schedule,
        run_logger: RunLogger,
        print_every: int = 100,
        save_models: bool = False,
        time_limit: float = math.inf,
    ) -> None:
        self.training_step, self.device = training_step, training_step.device
        self.batches, self.validate = batches, validate
        self.schedule, self.run_logger, self.print_every = schedule, run_logger, print_every
        self.states = StateStore(run_logger.folder / "state")
        self.model_files = ModelFiles(run_logger.folder / "model", save_model, keep_all=save_models)
        self.progress = Progress()
        self._time_limit, self._deadline = time_limit, time.monotonic() + time_limit

    @property
    def step(self) -> int:
        """Global step: iterations done since the run began."""
        return (self.progress.epoch - 1) * self.schedule.steps_per_epoch + self.progress.step_in_epoch

    @property
    def _time_left(self) -> float:
        """Share of the time limit; 1 where there is none."""
        if math.isinf(self._time_limit):
            return 1.0
        return max((self._deadline - time.monotonic()) / self._time_limit, 0.0)

    def fit(self) -> None:
        """Train from the current step to the end of the schedule.

        Raises:
            Interrupted: SIGINT or SIGTERM came, or the time is over; the state is saved.
            TrainingStopped: too many steps in a row were skipped, the images are gone, or a file could not be
                written; the state is saved where it can be.
        """
        if self.progress.epoch > self.schedule.num_epochs:
            logger.info("nothing to do: the schedule's %d epochs are done", self.schedule.num_epochs)
            return
        # A run that stopped after its last step has none left, but is still to be validated.
        steps = range(self.step, self.schedule.num_epochs * self.schedule.steps_per_epoch)
        batches = iter(self.batches(steps) if steps else ())
        with StopRequest() as stop:
            try:
                while self.progress.epoch <= self.schedule.num_epochs:
                    self._train_one_epoch(batches, stop)
                    self._finish_epoch()
            except (RuntimeError, MemoryError) as error:
                if is_out_of_memory(error):
                    raise TrainingStopped(
                        f"out of memory; {self._kept()}; give --split_batch 2 or more, --precision bf16, fewer "
                        "--n_threads, or a smaller --batch_size or --patch_size; go on with --resume -1"
                    ) from error
                # The loader raises it by a signal, in the middle of whatever runs then.
                if not str(error).startswith("DataLoader worker"):
                    raise
                raise TrainingStopped(
                    f"{str(error).strip()}; {self._kept()}; where memory or /dev/shm is short, give fewer "
                    "--n_threads; go on with --resume -1"
                ) from error

    def _train_one_epoch(self, batches: Iterator[Any], stop: StopRequest) -> None:
        progress, num_steps = self.progress, self.schedule.steps_per_epoch
        phase = self.schedule.phase(progress.epoch)
        self.training_step.set_phase(phase)
        meter, start, waited = Meter(), time.perf_counter(), 0.0
        title = f"epoch {progress.epoch}/{self.schedule.num_epochs} {phase.value}"
        hidden = True if distributed.rank() else None  # None: where there is no terminal
        with tqdm(total=num_steps, initial=progress.step_in_epoch, desc=title, disable=hidden) as bar:
            while progress.step_in_epoch < num_steps:
                before = time.perf_counter()
                pairs = self._next(batches)
                waited += time.perf_counter() - before
                rate = self.schedule.learning_rate(progress.epoch, progress.step_in_epoch, self._time_left)
                meter.add(self.training_step(pairs, step=self.step, phase=phase, learning_rate=rate))
                progress.step_in_epoch += 1
                bar.update()
                is_log_line = progress.step_in_epoch % self.print_every == 0 or progress.step_in_epoch == num_steps
                if is_log_line:
                    self._log_losses(bar, phase, rate, meter.means(), time.perf_counter() - start, waited)
                    start, waited = time.perf_counter(), 0.0
                if is_log_line or self.device.type == "cpu":  # reading the counts is free on a CPU
                    self._stop_if_hopeless()
                # Asking the other ranks takes time, and who stops a run does not wait for long.
                if is_log_line or distributed.world_size() == 1 or progress.step_in_epoch % ASK_RANKS_EVERY == 0:
                    self._heed(stop)

    def _next(self, batches: Iterator[Any]) -> Any:
        """Fetch a batch; where the images are gone, a process without others keeps what it has trained."""
        try:
            return next(batches)
        except ValueError as error:
            if distributed.world_size() > 1:
                raise
            raise TrainingStopped(f"{error}; go on with --resume -1 (from {self.save_state()})") from error

    def _log_losses(
        self, bar: tqdm, phase: Phase, rate: float, means: dict[str, float], elapsed: float, waited: float
    ) -> None:
        row = {
            "epoch": self.progress.epoch,
            "phase": phase.value,
            **means,
            "learning_rate": rate,
            "seconds": round(elapsed, 3),
            "data_wait": round(waited / elapsed, 4),
            "peak_memory_mb": round(peak_memory(self.device) / 2**20),
            "skipped": self.training_step.guard.total,
        }
        self.run_logger.metrics(row, step=self.step)
        bar.set_postfix({name: f"{value:.3f}" for name, value in means.items()} | {"rate": f"{rate:.1e}"})
        logger.info(
            "epoch %d [%d/%d] %s, rate %.2e, %.1f s, waiting for data %.1f %%",
            *(self.progress.epoch, self.progress.step_in_epoch, self.schedule.steps_per_epoch),
            ", ".join(f"{name} {value:.4f}" for name, value in means.items()),
            *(rate, elapsed, 100 * waited / elapsed),
        )

    def _heed(self, stop: StopRequest) -> None:
        """Stop in order where any rank was told to."""
        asked = distributed.largest(
            stop.number or (TIME_IS_OVER if time.monotonic() > self._deadline else 0), self.device
        )
        if not asked:
            return
        is_late = asked == TIME_IS_OVER
        if is_late and self.schedule.falls_with_time(self.progress.epoch):
            self._validate_and_write()
        path = self.save_state()
        reason = "the time limit is reached" if is_late else "stopped"
        exit_code = 0 if is_late else 128 + asked
        raise Interrupted(f"{reason} at step {self.step}; go on with --resume -1 (from {path})", exit_code)

    def _stop_if_hopeless(self) -> None:
        if self.training_step.guard.is_hopeless:
            path = self.save_state()
            raise TrainingStopped(
                f"{MAX_SKIPPED_STEPS} steps in a row had a loss or a gradient that was not finite, or a loss above "
                f"--skip_threshold; the state is in {path}; lower the rate (--lr_sr, --lr_encoder) or give "
                "--precision single"
            )

    def _finish_epoch(self) -> None:
        self._validate_and_write()
        self.progress.epoch, self.progress.step_in_epoch = self.progress.epoch + 1, 0
        self.save_state()

    def _validate_and_write(self) -> None:
        """Validate and write the weights, as the epoch's."""
        progress, ema = self.progress, self.training_step.ema
        self.training_step.average_statistics()
        self.training_step.model.eval()
        found = self.validate(self.training_step.model)
        spread = found.code_spread
        row: dict[str, Any] = {"epoch": progress.epoch, **vars(found)}
        models: list[tuple[Any, float, str]] = [(self.training_step.model, found.psnr, "")]
        if ema:
            found = self.validate(ema.model)
            row |= {f"{name}_ema": value for name, value in vars(found).items()}
            models.append((ema.model, found.psnr, "_ema"))
        is_best = self.schedule.phase(progress.epoch) is not Phase.ENCODER and progress.is_best(found)
        if is_best:
            progress.best_psnr, progress.best_epoch = found.psnr, progress.epoch
            progress.best_images = found.num_images
        self.run_logger.metrics(row, step=self.step)
        logger.info(
            "epoch %d: validation %.2f dB / %.4f%s%s%s",
            *(progress.epoch, found.psnr, found.ssim, " of the averaged weights" if ema else ""),
            f" (best {progress.best_psnr:.2f} dB, epoch {progress.best_epoch})" if progress.best_epoch else "",
            "" if spread is None else f", codes differ by {100 * spread:.2g} %",
        )
        if spread is not None and spread <= COLLAPSED:
            logger.warning("warning: all images have one code: the encoder has collapsed (docs/training.md says more)")
        if distributed.rank() == 0:
            try:
                self.model_files.write(progress.epoch, progress.best_epoch, models, is_best=is_best)
            except OSError as error:
                raise self._cannot_write(self.model_files.folder, error) from error

    def save_state(self) -> Path:
        """Write everything that a resume needs; all ranks call it, rank 0 alone writes.

        Raises:
            TrainingStopped: it could not be written; the last good state is as it was.
        """
        if self.progress.step_in_epoch:  # else the end of the epoch did so
            self.training_step.average_statistics()
        if distributed.rank():
            return self.states.folder
        state = {
            **self.training_step.state_dict(),
            "random": random_states(),
            "progress": vars(self.progress),
            "steps_per_epoch": self.schedule.steps_per_epoch,
            "model_files": self.model_files.state_dict(),
        }
        try:
            return self.states.save(state, epoch=self.progress.epoch, step=self.step)
        except OSError as error:
            raise self._cannot_write(self.states.folder, error) from error

    def _cannot_write(self, path: Path, error: OSError) -> TrainingStopped:
        return TrainingStopped(
            f"cannot write {path}: {error}; {self._kept()}; free some space and go on with --resume -1"
        )

    def _kept(self) -> str:
        states = self.states.paths()
        return f"the last good state is {states[-1]}" if states else "no state was saved yet"

    def load_state(self, state: dict[str, Any]) -> None:
        """Go back to where a state was saved; log rows of later steps are dropped.

        Later epochs may have dropped the weights of the best one until then, which is then chosen anew.

        Raises:
            ValueError: it is of another model, optimiser or queue, or its epochs are of another length.
        """
        steps = state.get("steps_per_epoch", self.schedule.steps_per_epoch)  # older states do not say it
        if steps != self.schedule.steps_per_epoch:
            raise ValueError(
                f"the state to resume has epochs of {steps} steps, not {self.schedule.steps_per_epoch}: give "
                f"--test_every {steps}"
            )
        self.training_step.load_state_dict(state)
        restore_random_states(state["random"])
        self.progress = Progress(**state["progress"])
        self.model_files.load_state_dict(state["model_files"])
        if self.model_files.are_gone(self.progress.best_epoch):
            logger.warning(
                "the weights of epoch %d, the best one, are gone: it is chosen anew", self.progress.best_epoch
            )
            self.progress.best_psnr, self.progress.best_epoch = -math.inf, 0
        self.run_logger.forget_after(self.step)
