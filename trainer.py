"""The training loop: phases, step, validation, checkpoints. It knows no model's internals.

Every random draw of a step depends on (seed, step) alone, so that a resumed run draws what it would have drawn.
"""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from utils.checkpoint import StateStore
from utils.device import autocast
from utils.interfaces import BlindModel, Contrast, Degrader
from utils.randomness import generator_for, random_states, restore_random_states
from utils.run import RunLogger
from utils.schedule import Phase, Schedule
from utils.signals import StopRequest

MAX_SKIPPED_STEPS = 10
"""Steps skipped in a row before the run stops."""

STREAM_PARAMETERS, STREAM_NOISE = 1, 2

logger = logging.getLogger("cdsr")


class TrainingStopped(RuntimeError):
    """Training cannot go on; the state is saved and the message says what to do."""


class Interrupted(Exception):
    """A signal asked the run to stop; the state is saved."""

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


@dataclass(frozen=True)
class TrainingConfig:
    """The numbers of the loop itself; options.py says what each means."""

    seed: int = 1
    precision: str = "single"
    c_weight: float = 1.0
    split_batch: int = 1
    skip_threshold: float = 1e8
    print_every: int = 100
    save_models: bool = False


class Meter:
    """Running means that stay on the device until they are read."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, **values: Tensor) -> None:
        """Add one step's losses."""
        self._count += 1
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value.detach()

    def means(self) -> dict[str, float]:
        """Read the means and start again."""
        means = {name: float(value) / self._count for name, value in self._sums.items()}
        self._sums, self._count = {}, 0
        return means


class Trainer:
    """Train a model for its schedule.

    Args:
        model: the network, on its device.
        moco: momentum contrast around its encoder.
        pixel_loss: compares (sr, hr) on the 0 to 255 scale.
        contrastive_loss: of the logits.
        degradation: makes LR patches from HR patches.
        make_loader: given the first step and the number of steps, yields uint8 HR pairs (B, 2, 3, P, P).
        validate: measures the model; returns (PSNR, SSIM).
        save_model: writes the model's weights to a path.
        optimizer: over the model's parameters.
        schedule: phases and learning rates.
        config: the loop's numbers.
        run_logger: logs of the run, whose folder takes `model/` and `state/`.
        device: where the model lives.
    """

    def __init__(
        self,
        *,
        model: BlindModel,
        moco: Contrast,
        pixel_loss: nn.Module,
        contrastive_loss: Callable[[Tensor], Tensor],
        degradation: Degrader,
        make_loader: Callable[[int, int], Iterable[Tensor]],
        validate: Callable[[], tuple[float, float]],
        save_model: Callable[[Path], None],
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        config: TrainingConfig,
        run_logger: RunLogger,
        device: torch.device,
    ) -> None:
        self.model, self.moco = model, moco
        self.pixel_loss, self.contrastive_loss = pixel_loss, contrastive_loss
        self.degradation, self.make_loader = degradation, make_loader
        self.validate, self.save_model = validate, save_model
        self.optimizer, self.schedule, self.config = optimizer, schedule, config
        self.run_logger, self.device = run_logger, device
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "half")
        self.states = StateStore(run_logger.folder / "state")
        self.epoch, self.step_in_epoch = 1, 0
        self.best_psnr, self.best_epoch = -math.inf, 0
        self.num_skipped, self.num_skipped_in_a_row = 0, 0
        self.model_files: dict[int, Path] = {}

    @property
    def step(self) -> int:
        """Global step: iterations done since the run began."""
        return (self.epoch - 1) * self.schedule.steps_per_epoch + self.step_in_epoch

    # The loop -------------------------------------------------------------------------------------------------

    def fit(self) -> None:
        """Train from the current step to the end of the schedule.

        Raises:
            Interrupted: SIGINT or SIGTERM came; the state is saved.
            TrainingStopped: too many steps in a row were skipped, or the state could not be written.
        """
        total = self.schedule.num_epochs * self.schedule.steps_per_epoch
        if self.step >= total:
            logger.info("nothing to do: the schedule's %d epochs are done", self.schedule.num_epochs)
            return
        batches = iter(self.make_loader(self.step, total - self.step))
        with StopRequest() as stop:
            while self.epoch <= self.schedule.num_epochs:
                self._train_one_epoch(batches, stop)
                self._finish_epoch()

    def _train_one_epoch(self, batches: Iterator[Tensor], stop: StopRequest) -> None:
        phase = self.schedule.phase(self.epoch)
        self._set_modes(phase)
        meter, start, waited = Meter(), time.perf_counter(), 0.0
        num_steps = self.schedule.steps_per_epoch
        bar = tqdm(total=num_steps, initial=self.step_in_epoch, desc=f"epoch {self.epoch} {phase.value}", disable=None)
        with bar:
            while self.step_in_epoch < num_steps:
                before = time.perf_counter()
                hr_pairs = next(batches)
                waited += time.perf_counter() - before
                losses = self.train_step(hr_pairs, phase)
                self.step_in_epoch += 1
                bar.update()
                if losses:
                    meter.add(**losses)
                if losses and (self.step_in_epoch % self.config.print_every == 0 or self.step_in_epoch == num_steps):
                    elapsed = time.perf_counter() - start
                    self._log_losses(bar, phase, meter.means(), elapsed, waited)
                    start, waited = time.perf_counter(), 0.0
                if stop.number is not None:
                    path = self.save_state()
                    raise Interrupted(stop.number, f"stopped at step {self.step}; go on with --resume -1 from {path}")

    def _log_losses(self, bar: tqdm, phase: Phase, means: dict[str, float], elapsed: float, waited: float) -> None:
        rate = self.schedule.learning_rate(self.epoch, self.step_in_epoch - 1)
        row = {
            "epoch": self.epoch,
            "phase": phase.value,
            **means,
            "learning_rate": rate,
            "seconds": round(elapsed, 3),
            "data_wait": round(waited / elapsed, 4),
            "skipped": self.num_skipped,
        }
        self.run_logger.metrics(row, step=self.step)
        bar.set_postfix({name: f"{value:.3f}" for name, value in means.items()} | {"rate": f"{rate:.1e}"})
        logger.info(
            "epoch %d [%d/%d] %s, rate %.2e, %.1f s, waiting for data %.1f %%",
            self.epoch,
            self.step_in_epoch,
            self.schedule.steps_per_epoch,
            ", ".join(f"{name} {value:.4f}" for name, value in means.items()),
            rate,
            elapsed,
            100 * waited / elapsed,
        )

    # One step -------------------------------------------------------------------------------------------------

    def train_step(self, hr_pairs: Tensor, phase: Phase) -> dict[str, Tensor]:
        """Do one optimiser step.

        Args:
            hr_pairs: (B, 2, 3, P, P) uint8, two patches of each picture.
            phase: what to train.

        Returns:
            the losses, on the device; empty where the step was skipped.
        """
        seed, step = self.config.seed, self.step
        hr_pairs = hr_pairs.to(self.device, non_blocking=True).float()
        parameters = self.degradation.draw(len(hr_pairs), generator_for(seed, step, STREAM_PARAMETERS))
        noise_generator = generator_for(seed, step, STREAM_NOISE, device=self.device)
        lr_pairs = self.degradation.apply(hr_pairs, parameters, noise_generator)
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.learning_rate(self.epoch, self.step_in_epoch)
        self.optimizer.zero_grad(set_to_none=True)
        losses, keys = self._backward(lr_pairs, hr_pairs[:, 0], phase)
        if not self._within_threshold(losses):
            return {}
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if keys is not None:
            self.moco.enqueue(keys)
        return losses

    def _backward(self, lr_pairs: Tensor, hr: Tensor, phase: Phase) -> tuple[dict[str, Tensor], Tensor | None]:
        """Accumulate gradients. The encoder sees the whole batch at once, the SR network a part at a time."""
        losses: dict[str, Tensor] = {}
        keys = None
        lr = lr_pairs[:, 0]
        with autocast(self.device, self.config.precision):
            if phase is Phase.FROZEN:
                with torch.no_grad():
                    code = self.model.encode(lr)
            else:
                code, logits, keys = self.moco.contrast(self.model.encoder, lr, lr_pairs[:, 1])
                losses["contrastive"] = self.contrastive_loss(logits)
        if phase is Phase.ENCODER:
            self.scaler.scale(losses["contrastive"]).backward()
            return losses, keys
        code_leaf = code.detach().requires_grad_()
        losses["l1"] = torch.zeros((), device=self.device)
        for part in torch.arange(len(lr)).chunk(self.config.split_batch):
            rows = slice(int(part[0]), int(part[-1]) + 1)
            with autocast(self.device, self.config.precision):
                sr = self.model.super_resolve(lr[rows], code_leaf[rows])
            loss = self.pixel_loss(sr, hr[rows]) * (len(part) / len(lr))
            self.scaler.scale(loss).backward()
            losses["l1"] += loss.detach()
        if phase is Phase.JOINT:
            contrastive = self.scaler.scale(self.config.c_weight * losses["contrastive"])
            torch.autograd.backward([contrastive, code], [None, code_leaf.grad])
        return losses, keys

    def _within_threshold(self, losses: dict[str, Tensor]) -> bool:
        worst = max(value.item() if math.isfinite(value.item()) else math.inf for value in losses.values())
        if worst <= self.config.skip_threshold:
            self.num_skipped_in_a_row = 0
            return True
        self.num_skipped += 1
        self.num_skipped_in_a_row += 1
        logger.warning("step %d skipped: its loss is %g", self.step, worst)
        if self.num_skipped_in_a_row >= MAX_SKIPPED_STEPS:
            self.optimizer.zero_grad(set_to_none=True)
            path = self.save_state()
            raise TrainingStopped(
                f"{MAX_SKIPPED_STEPS} steps in a row had a loss above {self.config.skip_threshold:g} or not finite; "
                f"the state is in {path}; lower the rate (--lr_sr, --lr_encoder) or use --precision single"
            )
        return False

    def _set_modes(self, phase: Phase) -> None:
        """Train mode for what the phase trains; a frozen encoder keeps its weights and its batch statistics."""
        self.model.train()
        frozen = phase is Phase.FROZEN
        self.model.encoder.train(not frozen)
        self.model.encoder.requires_grad_(not frozen)

    # Epochs, states, signals ----------------------------------------------------------------------------------

    def _finish_epoch(self) -> None:
        self.model.eval()
        psnr, ssim = self.validate()
        if self.schedule.phase(self.epoch) is not Phase.ENCODER and psnr > self.best_psnr:
            self.best_psnr, self.best_epoch = psnr, self.epoch
        self.run_logger.metrics({"epoch": self.epoch, "psnr": psnr, "ssim": ssim}, step=self.step)
        logger.info(
            "epoch %d: validation %.2f dB / %.4f (best %.2f dB, epoch %d)",
            self.epoch,
            psnr,
            ssim,
            self.best_psnr,
            self.best_epoch,
        )
        self._save_model_file(psnr)
        self.epoch, self.step_in_epoch = self.epoch + 1, 0
        self.save_state()

    def _save_model_file(self, psnr: float) -> None:
        path = self.run_logger.folder / "model" / f"model_{self.epoch}_psnr_{psnr:.2f}.pt"
        try:
            self.save_model(path)
        except OSError as error:
            raise self._cannot_write(path, error) from error
        self.model_files[self.epoch] = path
        if self.config.save_models:
            return
        for epoch in [epoch for epoch in self.model_files if epoch not in (self.epoch, self.best_epoch)]:
            self.model_files.pop(epoch).unlink(missing_ok=True)

    def save_state(self) -> Path:
        """Write everything that a resume needs.

        Raises:
            TrainingStopped: it could not be written; the last good state is as it was.
        """
        state = {
            "model": self.model.state_dict(),
            "moco": self.moco.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": random_states(),
            "epoch": self.epoch,
            "step_in_epoch": self.step_in_epoch,
            "best_psnr": self.best_psnr,
            "best_epoch": self.best_epoch,
            "num_skipped": self.num_skipped,
            "model_files": {epoch: path.name for epoch, path in self.model_files.items()},
        }
        try:
            return self.states.save(state, epoch=self.epoch, step=self.step)
        except OSError as error:
            raise self._cannot_write(self.states.folder, error) from error

    def _cannot_write(self, path: Path, error: OSError) -> TrainingStopped:
        states = self.states.paths()
        kept = f"the last good state is {states[-1]}" if states else "no state was saved yet"
        return TrainingStopped(f"cannot write {path}: {error}; {kept}; free some space and go on with --resume -1")

    def load_state(self, state: dict[str, Any]) -> None:
        """Go back to where a state was saved."""
        self.model.load_state_dict(state["model"])
        self.moco.load_state_dict(state["moco"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        restore_random_states(state["random"])
        self.epoch, self.step_in_epoch = state["epoch"], state["step_in_epoch"]
        self.best_psnr, self.best_epoch = state["best_psnr"], state["best_epoch"]
        self.num_skipped = state["num_skipped"]
        folder = self.run_logger.folder / "model"
        self.model_files = {epoch: folder / name for epoch, name in state["model_files"].items()}
