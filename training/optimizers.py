"""The optimisers of `--optimizer`, by name."""

from collections.abc import Callable
from typing import NamedTuple

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


class OptimizerKind(NamedTuple):
    """An optimiser of all weights of a model; the schedule sets its rate at every step.

    Args:
        build: takes the model, `lr`, `weight_decay` and the settings that it reads.
        reads: which of FLAGS these are.
    """

    build: Callable[..., torch.optim.Optimizer]
    reads: tuple[str, ...]


OPTIMIZERS = {
    "ADAM": OptimizerKind(
        lambda model, **settings: torch.optim.Adam(model.parameters(), fused=True, **settings), ("betas", "eps")
    ),
    "MUON": OptimizerKind(build_muon, ("betas", "eps")),
    "SGD": OptimizerKind(lambda model, **settings: torch.optim.SGD(model.parameters(), **settings), ("momentum",)),
    "RMSprop": OptimizerKind(lambda model, **settings: torch.optim.RMSprop(model.parameters(), **settings), ("eps",)),
}

FLAGS = {"momentum": ("momentum",), "betas": ("beta1", "beta2"), "eps": ("epsilon",)}
"""The options behind a setting: the momentum, the decays of Adam's two averages, what is added to a divisor."""


def unread_flags(name: str) -> list[str]:
    """Options of optimisers that the one of this name does not read."""
    return [flag for setting, flags in FLAGS.items() if setting not in OPTIMIZERS[name].reads for flag in flags]
