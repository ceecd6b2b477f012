"""One training step: degrade, forward and backward by phase, judge, update.

Every random draw depends on (seed, step) alone, so that a resumed run draws what it would have drawn.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from data.pairs import STREAM_SHUFFLE, PairDegradation, Pairs
from model.moco import MoCo
from model.network import Network
from model.published import load_published, to_published
from training.ema import ExponentialMovingAverage
from training.guard import SkipGuard
from training.recording import RecordedCall
from training.resume import load_moco, load_optimizer
from training.schedule import Phase
from utils import distributed
from utils.device import autocast
from utils.known_degradation import KnownDegradation
from utils.randomness import generator_for

Computed = tuple[dict[str, Tensor], Tensor | None]
"""Losses, and the keys to enqueue where the step is contrastive."""

STATISTICS = ("running_mean", "running_var")
"""Ends of the names of batch statistics."""


@dataclass(frozen=True)
class StepConfig:
    """The numbers of a step; `option.py` says what each means."""

    precision: str = "single"
    channels_last: bool = False
    patch: int | None = None  # LR pixels; what is more of a patch is the encoder's context
    c_weight: float = 1.0
    d_weight: float = 0.0
    split_batch: int = 1
    skip_threshold: float = 1e8
    grad_clip: float | None = None
    cuda_graph: bool = False


class TrainingStep:
    """What changes with every batch: the model, momentum contrast, the optimiser, the average.

    Args:
        model: the network, on its device.
        moco: momentum contrast around its encoder; None: the model is not contrastive, and learns from the pixel loss
            of the first patches alone.
        pixel_loss: compares (sr, hr) on the 0 to 255 scale.
        contrastive_loss: of the logits.
        pair_degradation: makes this rank's LR patches from its HR patches.
        optimizer: over the model's parameters.
        config: the numbers.
        device: where the model lives.
        ema: the average of the model's weights, if one is kept.
    """

    def __init__(
        self,
        *,
        model: Network,
        moco: MoCo | None,
        pixel_loss: nn.Module,
        contrastive_loss: Callable[[Tensor], Tensor],
        pair_degradation: PairDegradation,
        optimizer: torch.optim.Optimizer,
        config: StepConfig,
        device: torch.device,
        ema: ExponentialMovingAverage | None = None,
    ) -> None:
        self.model, self.moco, self.ema = model, moco, ema
        self.pixel_loss, self.contrastive_loss = pixel_loss, contrastive_loss
        self.pair_degradation, self.optimizer = pair_degradation, optimizer
        self.config, self.device = config, device
        self.parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "half")
        self.guard = SkipGuard(config.skip_threshold, device)
        self.statistics = [value for name, value in model.named_buffers() if name.endswith(STATISTICS)]
        self._recorded: tuple[object, RecordedCall[Computed]] | None = None  # and what it was recorded for

    def __call__(self, pairs: Tensor | Pairs, *, step: int, phase: Phase, learning_rate: float) -> dict[str, Tensor]:
        """Do one optimiser step; weights and batch statistics stay as they are where a loss or a gradient is bad.

        Args:
            pairs: (B, 2, 3, P, P) uint8, two HR patches of each image, this rank's; or these with LR ones of them.
            step: global step, on which the random draws depend.
            phase: what to train; `set_phase` comes before its first step.
            learning_rate: of this step.

        Returns:
            the losses, on the device.
        """
        hr_pairs, lr_pairs, known = pairs if isinstance(pairs, Pairs) else (pairs, None, None)
        hr_pairs = hr_pairs.to(self.device, non_blocking=True).float()
        lr_pairs = None if lr_pairs is None else lr_pairs.to(self.device, non_blocking=True).float()
        if self.moco is None or phase is Phase.TEACHER:
            hr_pairs = without_context(hr_pairs[:, :1], self.config.patch, zoom=self.model.scale)
            lr_pairs = None if lr_pairs is None else without_context(lr_pairs[:, :1], self.config.patch)
        if lr_pairs is None:
            lr_pairs = self.pair_degradation.degrade(hr_pairs, step)
        known = self._known(known, len(lr_pairs), step) if self._is_told(phase) else None
        before = [value.clone() for value in self.statistics]
        losses, keys = self._compute(lr_pairs, hr_pairs[:, 0], known, step, phase)
        self.scaler.unscale_(self.optimizer)
        excess = self.guard.excess(losses)
        gradients = (parameter.grad for parameter in self.parameters if parameter.grad is not None)
        distributed.average([excess, *gradients])
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.grad_clip or math.inf)
        bad = self.guard.judge(excess, norm)
        self._update(bad, learning_rate)
        for value, old in zip(self.statistics, before, strict=True):
            value.copy_(torch.where(bad, old, value))
        if self.moco is not None and keys is not None:
            self.moco.enqueue(distributed.gather_rows(keys), unless=bad)
        if self.ema:
            self.ema.update(self.model)
        return losses

    def _compute(
        self, lr_pairs: Tensor, hr: Tensor, known: KnownDegradation | None, step: int, phase: Phase
    ) -> Computed:
        """Clear the gradients, then losses, keys and gradients: plainly, or as a recorded CUDA graph."""
        if not self.config.cuda_graph:
            self._clear_gradients()
            shuffle = generator_for(self.pair_degradation.seed, step, STREAM_SHUFFLE)
            return self._backward(lr_pairs, hr, known, phase, shuffle)
        told = [] if known is None else [value for value in vars(known).values() if value is not None]
        inputs = [lr_pairs, hr, *told]
        meaning = phase, [tensor.shape for tensor in inputs]
        if self._recorded is None or self._recorded[0] != meaning:

            def backward(inputs: Sequence[Tensor]) -> Computed:
                lr_pairs, hr, *told = inputs
                return self._backward(lr_pairs, hr, KnownDegradation(*told) if told else None, phase)

            self._recorded = meaning, RecordedCall(backward, prepare=self._clear_gradients)
        losses, keys = self._recorded[1](inputs)
        return {name: loss.detach().clone() for name, loss in losses.items()}, keys

    def _clear_gradients(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)

    def _backward(
        self,
        lr_pairs: Tensor,
        hr: Tensor,
        known: KnownDegradation | None,
        phase: Phase,
        shuffle: torch.Generator | None = None,
    ) -> Computed:
        """Accumulate gradients. The encoder sees the whole batch at once, the SR network a part at a time."""
        patches = lr_pairs.unbind(1)
        if self.config.channels_last:
            patches = tuple(patch.contiguous(memory_format=torch.channels_last) for patch in patches)
        with autocast(self.device, self.config.precision):
            code, losses, keys = self._encode(patches, known, phase, shuffle)
        weights = {"contrastive": self.config.c_weight, "degradation": self.config.d_weight}
        if phase is Phase.ENCODER and not self.config.d_weight:
            weights["contrastive"] = 1.0  # alone, as published
        own = [self.scaler.scale(weights[name] * loss) for name, loss in losses.items()]
        if phase is Phase.ENCODER:
            torch.autograd.backward(own)
            return losses, keys
        lr = without_context(patches[0], self.config.patch)
        hr = without_context(hr, self.config.patch, zoom=self.model.scale)
        code_leaf = code.detach().requires_grad_()
        losses["pixel"] = torch.zeros((), device=self.device)
        for rows in _parts(len(lr), self.config.split_batch):
            with autocast(self.device, self.config.precision):
                sr = self.model.super_resolve(lr[rows], code_leaf[rows])
            loss = self.pixel_loss(sr, hr[rows]) * (len(sr) / len(lr))
            self.scaler.scale(loss).backward()
            losses["pixel"] += loss.detach()
        if code.requires_grad:
            torch.autograd.backward([*own, code], [*(None for _ in own), code_leaf.grad])
        return losses, keys

    def _encode(
        self,
        patches: Sequence[Tensor],
        known: KnownDegradation | None,
        phase: Phase,
        shuffle: torch.Generator | None,
    ) -> tuple[Tensor, dict[str, Tensor], Tensor | None]:
        """Codes of the first patches, without gradient where frozen; the encoder's own losses and keys, if any."""
        lr = patches[0]
        if phase is Phase.TEACHER:
            return self.model.encoder.head.encode(known), {}, None
        if self.moco is None:
            return self.model.encode(lr, known), {}, None
        if phase is Phase.FROZEN:
            with torch.no_grad():
                return self.model.encode(lr), {}, None
        encoder = self.model.encoder
        representation, logits, keys = self.moco.contrast(encoder, lr, patches[1], shuffle)
        losses = {"contrastive": self.contrastive_loss(logits)}
        if self.config.d_weight:
            losses["degradation"] = encoder.head.loss(representation, known)
        return encoder.code(representation), losses, keys

    def _is_told(self, phase: Phase) -> bool:
        """Whether a phase needs the true degradations."""
        if self.moco is None:
            return self.model.is_non_blind
        return phase is Phase.TEACHER or (phase is not Phase.FROZEN and self.config.d_weight > 0)

    def _known(self, known: KnownDegradation | None, share: int, step: int) -> KnownDegradation:
        """The true degradations of this rank's patches of a step: those that came with them, or as they are drawn."""
        if known is None:
            known = self.pair_degradation.degradation.require_known(self.pair_degradation.draw(share, step))
        return known.to(self.device)

    def _update(self, bad: Tensor, learning_rate: float) -> None:
        """Step the optimiser unless the step is bad; a fused one decides on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        if self.optimizer.defaults.get("fused"):
            self.optimizer.grad_scale, self.optimizer.found_inf = None, bad.float()  # type: ignore[attr-defined]
            self.optimizer.step()
        elif not bad:
            self.optimizer.step()
        self.scaler.update()

    def set_phase(self, phase: Phase) -> None:
        """Go to train mode for what the phase trains; a frozen encoder keeps its weights and its batch statistics."""
        self.model.train()
        if self.moco is not None:
            frozen = phase is Phase.FROZEN
            self.model.encoder.train(not frozen).requires_grad_(not frozen)

    def average_statistics(self) -> None:
        """Average over the ranks the batch statistics that each gathered from its own share."""
        parts = [self.model, self.moco, self.ema and self.ema.model]
        values = [item for part in parts if part is not None for item in part.state_dict().items()]
        distributed.average(value for name, value in values if name.endswith(STATISTICS))

    def state_dict(self) -> dict[str, Any]:
        """Everything that a step changes."""
        return {
            "model": self.model.state_dict(),
            "moco": self.moco.state_dict() if self.moco is not None else None,
            "ema": self.ema.state_dict() if self.ema else None,
            "optimizer": self.optimizer.state_dict(),
            "optimizer_name": type(self.optimizer).__name__,
            "scaler": self.scaler.state_dict(),
            "num_skipped": self.guard.total,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state, also one with older names of the weights.

        Raises:
            ValueError: it is of another model, optimiser or queue.
        """
        load_published(self.model, to_published(state["model"]), "the state to resume")
        if self.moco is not None:
            load_moco(self.moco, state["moco"])
        if self.ema and state["ema"]:
            self.ema.load_state_dict(state["ema"])
        load_optimizer(self.optimizer, state["optimizer"], state.get("optimizer_name"))
        if state["scaler"]:  # empty where the run had no need of one
            self.scaler.load_state_dict(state["scaler"])
        self.guard.total = state["num_skipped"]


def without_context(patches: Tensor, side: int | None, zoom: int = 1) -> Tensor:
    """Cut the context off patches (..., P, P), to `side` LR pixels; HR ones, of `zoom` the scale, at the same place."""
    if side is None:
        return patches
    start = (patches.shape[-1] // zoom - side) // 2 * zoom
    end = start + side * zoom
    return patches[..., start:end, start:end]


def _parts(batch_size: int, num_parts: int) -> Iterator[slice]:
    """Cut a batch into consecutive parts, as equal as can be; none is empty."""
    num_parts = min(num_parts, batch_size)
    bounds = [round(index * batch_size / num_parts) for index in range(num_parts + 1)]
    yield from (slice(start, stop) for start, stop in itertools.pairwise(bounds))
