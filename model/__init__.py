"""The networks, by name.

`MODELS` maps every name that `--model` takes to a function of the scale. A new network joins by `register`.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from model.bicubic import Bicubic
from model.cdsr import CDSR, CDSRSize
from model.dasr import DASR, DASRSize
from model.oracle import UNKNOWN, Oracle
from model.published import TAIL, load_published, to_published
from utils.checkpoint import load_weights, save_weights
from utils.interfaces import Informed
from utils.run import ROOT, logger

Network = CDSR | Oracle | DASR | Bicubic

MODELS: dict[str, Callable[[int], Network]] = {}

CDSR_S_SIZE = CDSRSize(
    num_features=32, growth=16, num_blocks=4, encoder_widths=(32, 64, 128), code_dim=128, num_codes=512
)
"""A CDSR of a tenth of the multiply-adds, for CPUs."""

DASR_S_SIZE = DASRSize(num_features=32, num_groups=5, num_blocks=6)
"""A DASR of CDSR_S's multiply-adds: 0.94, 0.99 and 1.09 of them for x2, x3 and x4, with the published encoder."""


def register(name: str, build: Callable[[int], Network]) -> None:
    """Add a model under a name that no other has."""
    if name in MODELS:
        raise ValueError(f"a model named {name!r} is registered already")
    MODELS[name] = build


register("CDSR", lambda scale: CDSR(scale=scale))
register("CDSR_S", lambda scale: CDSR(scale=scale, size=CDSR_S_SIZE))
register("CDSR_oracle", lambda scale: Oracle(scale=scale))
register("CDSR_S_oracle", lambda scale: Oracle(scale=scale, size=CDSR_S_SIZE))
register("DASR", lambda scale: DASR(scale=scale))
register("DASR_S", lambda scale: DASR(scale=scale, size=DASR_S_SIZE))
register("bicubic", lambda scale: Bicubic(scale=scale))
register("bicubic_matlab", lambda scale: Bicubic(scale=scale, matlab=True))


def create_model(name: str, scale: int) -> Network:
    """Build a model with fresh weights.

    Raises:
        ValueError: the name is not in `MODELS`.
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; known: {', '.join(sorted(MODELS))}")
    return MODELS[name](scale)


def build_model(args: argparse.Namespace, device: torch.device) -> Network:
    """Build the model of `--model` and `--scale` on a device; an oracle's for kernels of `--blur_kernel`."""
    model = create_model(args.model, args.scale)
    if isinstance(model, Oracle):
        model.encoder.pca.resize(args.blur_kernel)
    return model.to(device)


def check_blind(model: nn.Module) -> None:
    """Refuse, with a ValueError, a model that has to be told the degradation where nobody knows it."""
    if isinstance(model, Informed):
        raise ValueError(UNKNOWN)


def load_model(model: nn.Module, path: Path) -> dict[str, Any]:
    """Fill a model from a file, strictly; returns the file's metadata.

    Raises:
        ValueError: the file cannot be read, or is for another model or scale.
    """
    tensors, metadata = load_weights(path)
    load_published(model, tensors, str(path))
    return metadata


def init_model(model: nn.Module, path: Path) -> None:
    """Fill a model from a file of the same network at any scale: all but the tail, which keeps its fresh weights.

    Raises:
        ValueError: the file cannot be read, or is for another model.
    """
    tensors, _ = load_weights(path)
    body = {name: tensor for name, tensor in tensors.items() if not name.startswith(TAIL)}
    tail = {name: tensor for name, tensor in to_published(model.state_dict()).items() if name.startswith(TAIL)}
    load_published(model, body | tail, str(path))


def compile_model(model: CDSR | Oracle | DASR) -> None:
    """Compile the encoder and the SR network in place (names of weights stay)."""
    model.encoder.compile()
    model.sr_network.compile()


def save_model(model: nn.Module, path: Path, metadata: Mapping[str, Any], *, is_half: bool = False) -> None:
    """Write a model's weights in the published naming, with metadata; is_half: in 16 bits."""
    tensors = to_published(model.state_dict())
    if is_half:
        tensors = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    save_weights(path, tensors, metadata)


def shipped_model(name: str, scale: int) -> str:
    """The model of that name, or the one with shipped weights for that scale where it has none itself."""
    with_weights = [other for other in sorted(MODELS) if pretrained_path(other, scale).is_file()]
    if name not in MODELS or name.startswith("bicubic") or name in with_weights or not with_weights:
        return name
    logger.warning("no weights are shipped for %s x%d: taking %s", name, scale, with_weights[0])
    return with_weights[0]


def pretrained_path(name: str, scale: int) -> Path:
    """Where the shipped weights of a model are, if there are any."""
    return ROOT / "experiment" / "pretrained" / f"{name.lower()}_x{scale}.safetensors"
