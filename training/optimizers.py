"""The optimisers of `--optimizer`, by name."""

from collections.abc import Callable

import torch
from torch import nn

from training.muon import Muon, split_parameters

NOT_MUON = ("encoder", "head", "tail", "first_conv", "last_conv")
"""Parts whose convolutions Muon leaves to Adam: the encoder, and what touches pixels."""

MUON_TOO = ("autocorrelation_branch",)
"""Parts whose linear layers are Muon's: its error is half of Adam's after 300 steps (docs/log.md)."""


def build_muon(
    model: nn.Module, *, lr: float, betas: tuple[float, float], eps: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Muon for the convolution kernels of the SR network's body, Adam for all other weights."""
    kernels, others = split_parameters(model, left_out=NOT_MUON, linear_in=MUON_TOO)
    return Muon(kernels, others, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "ADAM": lambda model, *, lr, betas, eps, weight_decay, momentum: torch.optim.Adam(
        model.parameters(), lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=True
    ),
    "MUON": lambda model, *, momentum, **options: build_muon(model, **options),
    "SGD": lambda model, *, lr, betas, eps, weight_decay, momentum: torch.optim.SGD(
        model.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay
    ),
    "RMSprop": lambda model, *, lr, betas, eps, weight_decay, momentum: torch.optim.RMSprop(
        model.parameters(), lr=lr, eps=eps, weight_decay=weight_decay
    ),
}
"""Each makes an optimiser of all weights of a model; the schedule sets the rate at every step.

momentum: of SGD. betas: the decays of Adam's two averages. eps: added to the divisor by Adam and RMSprop.
"""
