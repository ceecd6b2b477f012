"""Going back to the saved states of momentum contrast and of an optimiser."""

from typing import Any

import torch
from torch import Tensor

from model.moco import MoCo


def load_moco(moco: MoCo, state: dict[str, Any]) -> None:
    """Go back to a saved key encoder and queue."""
    try:
        moco.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"the state to resume does not fit momentum contrast ({str(error).splitlines()[-1].strip()}): give "
            "--queue_size as the run had it"
        ) from error


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any], name: str | None) -> None:
    """Go back to saved averages; decays, weight decay and the like stay as the options of today have them.

    name: class of the optimiser that was saved; None: of an older state, which does not say it.
    """
    own_name = type(optimizer).__name__
    if name not in (None, own_name):
        raise ValueError(f"the state to resume is of the optimiser {name}, not {own_name}: give its --optimizer")
    own = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, values in zip(optimizer.param_groups, own, strict=True):
        group.update(values)
    match_layouts(optimizer)


def match_layouts(optimizer: torch.optim.Optimizer) -> None:
    """Lay the optimiser's averages out like their weights: a fused Adam walks through memory, and checks nothing."""
    for weight, slot in optimizer.state.items():
        for name, value in slot.items():
            if isinstance(value, Tensor) and value.shape == weight.shape and value.stride() != weight.stride():
                slot[name] = torch.empty_like(weight).copy_(value)
