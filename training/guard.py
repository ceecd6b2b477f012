"""Steps that must not change a model: a loss or a gradient that is not finite, or a loss above a threshold.

Nothing here waits for a GPU; the counts are read when a log line is written.
"""

import torch
from torch import Tensor

MAX_SKIPPED_STEPS = 10
"""Steps skipped in a row before the run stops."""


class SkipGuard:
    """Judge steps and count the bad ones on the device.

    Args:
        threshold: largest loss allowed.
        device: where losses live.
    """

    def __init__(self, threshold: float, device: torch.device) -> None:
        self.threshold = threshold
        self._total = torch.zeros((), dtype=torch.long, device=device)
        self._streak = torch.zeros((), dtype=torch.long, device=device)
        self._longest_streak = torch.zeros((), dtype=torch.long, device=device)

    def excess(self, losses: dict[str, Tensor]) -> Tensor:
        """1.0 where a loss of this process is above the threshold or not finite, else 0.0; a scalar on the device."""
        worst = torch.stack([loss.detach().float() for loss in losses.values()]).max()
        return (~(worst <= self.threshold)).float()

    def judge(self, excess: Tensor, gradient_norm: Tensor) -> Tensor:
        """Say whether a step is bad, as a boolean scalar on the device, and count it.

        excess: of any process, or their mean, so that all of them judge alike.
        """
        bad = (excess > 0) | ~torch.isfinite(gradient_norm)
        self._total += bad
        self._streak = (self._streak + 1) * bad
        self._longest_streak = torch.maximum(self._longest_streak, self._streak)
        return bad

    @property
    def total(self) -> int:
        """Steps skipped since the run began; waits for the device."""
        return int(self._total)

    @total.setter
    def total(self, value: int) -> None:
        self._total.fill_(value)

    @property
    def is_hopeless(self) -> bool:
        """Whether too many steps in a row were skipped; waits for the device."""
        return int(self._longest_streak) >= MAX_SKIPPED_STEPS
