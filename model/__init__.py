"""The networks, by name.

`MODELS` maps every name that `--model` takes to a function of the scale; those of `WITH_VARIANTS` take a variant too. A
new network joins by `register`.
"""

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from model.bicubic import Bicubic
from model.cdsr import CDSR, CDSRSize
from model.dasr import DASR, DASRSize
from model.oracle import UNKNOWN, Oracle
from model.published import TAIL, load_published, to_published
from model.variant import Variant, resolve_variant, variant_of
from utils.checkpoint import load_weights, save_weights
from utils.interfaces import NonBlind

Network = CDSR | Oracle | DASR | Bicubic

MODELS: dict[str, Callable[..., Network]] = {}

CDSR_S_SIZE = CDSRSize(
    num_features=32, growth=16, num_blocks=4, encoder_widths=(32, 64, 128), code_dim=128, num_codes=512
)
"""A CDSR of a tenth of the multiply-adds, for CPUs."""

DASR_S_SIZE = DASRSize(num_features=32, num_groups=5, num_blocks=6)
"""A DASR of CDSR_S's multiply-adds: 0.94, 0.99 and 1.09 of them for x2, x3 and x4, with the published encoder."""


WITH_VARIANTS = ("CDSR", "CDSR_S")
"""Models with ablations."""


def register(name: str, build: Callable[..., Network]) -> None:
    """Add a model, built by `build(scale=...)`, under a name that no other has."""
    if name in MODELS:
        raise ValueError(f"a model named {name!r} is registered already")
    MODELS[name] = build


register("CDSR", CDSR)
register("CDSR_S", partial(CDSR, size=CDSR_S_SIZE))
register("CDSR_oracle", Oracle)
register("CDSR_S_oracle", partial(Oracle, size=CDSR_S_SIZE))
register("DASR", DASR)
register("DASR_S", partial(DASR, size=DASR_S_SIZE))
register("bicubic", Bicubic)
register("bicubic_matlab", partial(Bicubic, matlab=True))


def create_model(name: str, scale: int, variant: Variant | None = None) -> Network:
    """Build a model with fresh weights.

    Args:
        name: one of `MODELS`.
        scale: the factor.
        variant: of a model in WITH_VARIANTS; the whole by default.

    Raises:
        ValueError: there is no such model, or it has no variants.
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; known: {', '.join(sorted(MODELS))}")
    if variant is None:
        return MODELS[name](scale=scale)
    if name not in WITH_VARIANTS:
        raise ValueError(f"{name} has no ablations: leave out --lpe, --csc and --dqa, which are CDSR's and CDSR_S's")
    return MODELS[name](scale=scale, variant=variant)


def build_model(args: argparse.Namespace, device: torch.device, held: Variant | None = None) -> Network:
    """Build the model of `--model` and `--scale` on a device, in the variant of its weights or of the flags.

    An oracle is for kernels of `--blur_kernel`.

    Args:
        args: the options; `lpe`, `csc` and `dqa` are filled in where they were not given.
        device: where the model goes.
        held: variant of the weights that the model will take, where there are some.

    Raises:
        ValueError: as `create_model`, or a flag contradicts the weights.
    """
    flags = {"lpe": args.lpe, "csc": args.csc, "dqa": args.dqa}
    asked = {name: value for name, value in flags.items() if value is not None}
    variant = resolve_variant(asked, held) if asked or args.model in WITH_VARIANTS else None
    model = create_model(args.model, args.scale, variant)
    vars(args).update(variant._asdict() if variant else {})
    if isinstance(model, Oracle):
        model.encoder.pca.resize(args.blur_kernel)
    return model.to(device)


def open_model(name: str, scale: int, path: Path) -> tuple[Network, dict[str, Any]]:
    """Build the model that a file of weights is for, in the file's variant; also returns the file's metadata.

    Raises:
        ValueError: as `create_model` and `load_model`.
    """
    tensors, metadata = load_weights(path)
    model = create_model(name, scale, variant_of(tensors) if name in WITH_VARIANTS else None)
    load_published(model, tensors, str(path))
    return model, metadata


def variant_in(path: Path | None) -> Variant | None:
    """Tell the variant of the weights in a file; None where there is no file, or it is not of a CDSR."""
    return variant_of(load_weights(path)[0]) if path and path.is_file() else None


def check_blind(model: nn.Module) -> None:
    """Refuse, with a ValueError, a model that has to be told the degradation where nobody knows it."""
    if isinstance(model, NonBlind):
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
    save_weights(path, to_published(model.state_dict()), metadata, is_half=is_half)
