"""The optimisers of `--optimizer`, by name."""

import torch
from torch import nn


def build_optimizer(
    name: str,
    model: nn.Module,
    *,
    rate: float,
    momentum: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> torch.optim.Optimizer:
    """Make an optimiser of all weights of a model; the schedule sets its rate at every step.

    momentum: of SGD. betas: the decays of Adam's two averages. eps: added to the divisor by Adam and RMSprop.

    Raises:
        ValueError: there is no such optimiser.
    """
    weights = model.parameters()
    if name == "ADAM":
        return torch.optim.Adam(weights, lr=rate, betas=betas, eps=eps, weight_decay=weight_decay, fused=True)
    if name == "SGD":
        return torch.optim.SGD(weights, lr=rate, momentum=momentum, weight_decay=weight_decay)
    if name == "RMSprop":
        return torch.optim.RMSprop(weights, lr=rate, eps=eps, weight_decay=weight_decay)
    raise ValueError(f"unknown optimiser {name!r}; known: ADAM, SGD, RMSprop")
