"""Phases and learning rates: what each epoch trains, and how fast (CDSR, section 4.1)."""

import enum
import math
from dataclasses import dataclass

DECAY_TYPES = r"step(_\d+)*|cosine|constant(_[1-9]\d*)?|time"
"""What `--decay_type` takes, as a regular expression."""


class Phase(enum.Enum):
    """What an epoch trains."""

    ENCODER = "encoder"
    TEACHER = "teacher"
    JOINT = "joint"
    FROZEN = "frozen"


@dataclass(frozen=True)
class Schedule:
    """The owner of phases and learning rates. Epochs count from 1, steps of an epoch from 0.

    Attributes:
        epochs_encoder: last epoch of the encoder phase; -1: none.
        epochs_sr: epochs after it.
        epochs_teacher: the first of them, in which the SR network learns under codes of the true degradation.
        freeze_epoch: last epoch that trains the encoder.
        steps_per_epoch: iterations of an epoch.
        warmup: steps over which the rate rises, at the start of the run and of the epochs after the encoder phase.
        decay_type: of the joint phase: `step` (every `lr_decay_sr` epochs), `step_A_B` (at its epochs A and B),
            `cosine` (to 0 at the end), `constant`, or `constant_N` (constant, then linearly to 0 over the last N
            epochs, or over all of them where there are fewer), or `time` (linearly to 0 with the time that is left). A
            run of unknown length trains with `constant`; its last piece resumes with `constant_N`, or with `time`.
    """

    epochs_encoder: int = -1
    epochs_sr: int = 700
    epochs_teacher: int = 0
    freeze_epoch: int = 600
    steps_per_epoch: int = 1000
    lr_encoder: float = 1e-3
    lr_sr: float = 1e-4
    lr_decay_encoder: int = 60
    lr_decay_sr: int = 125
    gamma_encoder: float = 0.1
    gamma_sr: float = 0.5
    decay_type: str = "step"
    warmup: int = 0

    @property
    def num_encoder_epochs(self) -> int:
        """Epochs of the encoder phase."""
        return max(self.epochs_encoder, 0)

    @property
    def num_encoder_steps(self) -> int:
        """Iterations of the encoder phase."""
        return self.num_encoder_epochs * self.steps_per_epoch

    @property
    def num_epochs(self) -> int:
        """Epochs of both phases."""
        return self.num_encoder_epochs + self.epochs_sr

    def phase(self, epoch: int) -> Phase:
        """Say what an epoch trains."""
        if epoch <= self.epochs_encoder:
            return Phase.ENCODER
        if epoch <= self.num_encoder_epochs + self.epochs_teacher:
            return Phase.TEACHER
        return Phase.JOINT if epoch <= self.freeze_epoch else Phase.FROZEN

    def falls_with_time(self, epoch: int) -> bool:
        """Whether the rate of an epoch depends on the time that is left."""
        return self.decay_type == "time" and self.phase(epoch) is not Phase.ENCODER

    def learning_rate(self, epoch: int, step: int, time_left: float = 1.0) -> float:
        """Give the rate of a step of an epoch. time_left: share of the time limit."""
        first = 1 if self.phase(epoch) is Phase.ENCODER else self.num_encoder_epochs + 1
        num_steps = (epoch - first) * self.steps_per_epoch + step + 1
        rate = self._decayed(epoch, step) * min(1.0, num_steps / max(self.warmup, 1))
        return rate * time_left if self.falls_with_time(epoch) else rate

    def _decayed(self, epoch: int, step: int) -> float:
        if self.phase(epoch) is Phase.ENCODER:
            return self.lr_encoder * self.gamma_encoder ** (epoch // self.lr_decay_encoder)
        kind, *numbers = self.decay_type.split("_")
        if kind == "cosine":
            done = (epoch - 1 - self.num_encoder_epochs) * self.steps_per_epoch + step
            return self.lr_sr * 0.5 * (1 + math.cos(math.pi * done / (self.epochs_sr * self.steps_per_epoch)))
        if kind in ("constant", "time"):
            left = self.num_epochs - epoch + 1 - step / self.steps_per_epoch  # epochs
            return self.lr_sr * (min(1.0, left / min(int(numbers[0]), self.epochs_sr)) if numbers else 1.0)
        if not numbers:  # as the published code counts: one more where there is no encoder phase, -1
            return self.lr_sr * self.gamma_sr ** ((epoch - self.epochs_encoder) // self.lr_decay_sr)
        joint_epoch = epoch - self.num_encoder_epochs
        return self.lr_sr * self.gamma_sr ** sum(joint_epoch > int(number) for number in numbers)
