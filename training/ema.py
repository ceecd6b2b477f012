"""An exponential moving average of a model's weights (Karras et al., CVPR 2024, section 3, for why it helps)."""

import copy
from typing import Any

import torch
from torch import Tensor

from model.network import Network
from model.published import load_published, to_published


class ExponentialMovingAverage:
    """A copy of a model whose weights follow those of the model.

    Early on the average forgets faster, by (1 + n) / (10 + n) after n updates, so that it is useful in short runs.

    Args:
        model: the model to follow; its copy is `self.model`, in evaluation mode.
        decay: weight of the old average, in [0, 1).
    """

    def __init__(self, model: Network, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.decay = decay
        self.num_updates = 0

    @torch.no_grad()
    def update(self, model: Network) -> None:
        """Move toward the model's weights; buffers, such as batch statistics, are copied."""
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        averages: list[Tensor] = list(self.model.parameters())
        weights: list[Tensor] = list(model.parameters())
        torch._foreach_lerp_(averages, weights, 1.0 - decay)
        for average, value in zip(self.model.buffers(), model.buffers(), strict=True):
            average.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights and the number of updates."""
        return {"model": self.model.state_dict(), "num_updates": self.num_updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved average, also one with older names of the weights."""
        load_published(self.model, to_published(state["model"]), "the average to resume")
        self.num_updates = state["num_updates"]
