"""The registry: every network by the name that `--model` takes, and how it is built."""

import argparse
from functools import partial
from typing import Any

import torch

from model.network import Network
from model.oracle import UNKNOWN
from model.variant import Variant, resolve_variant

MODELS: dict[str, partial[Network]] = {}
"""Every name that `--model` takes, with what builds the network from its scale."""


def register(name: str, network: type[Network], **arguments: Any) -> None:
    """Add a model under a name that no other has, built by `network(scale=..., **arguments)`."""
    if name in MODELS:
        raise ValueError(f"a model named {name!r} is registered already")
    MODELS[name] = partial(network, **arguments)


def network_of(name: str) -> type[Network]:
    """Tell the class of a model, which has its traits.

    Raises:
        ValueError: there is no such model.
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; known: {', '.join(sorted(MODELS))}")
    return MODELS[name].func  # type: ignore[return-value]


def usual_variant(name: str) -> Variant:
    """Tell the parts that a model has unless flags or weights say otherwise."""
    return MODELS[name].keywords.get("variant", Variant())


def create_model(name: str, scale: int, variant: Variant | None = None, *, kernel_size: int | None = None) -> Network:
    """Build a model with fresh weights.

    Args:
        name: one of `MODELS`.
        scale: the factor.
        variant: of a model that has variants; the whole by default.
        kernel_size: side of the kernels that a non-blind model is told; others do not read it.

    Raises:
        ValueError: there is no such model, or it has no variants.
    """
    network, options = network_of(name), dict[str, Any]()
    if kernel_size is not None and network.is_non_blind:
        options["kernel_size"] = kernel_size
    if variant is not None:
        if not network.has_variants:
            raise ValueError(
                f"{name} has no ablations: leave out --lpe, --csc, --dqa, --head and --compression, which are CDSR's "
                "and CDSR_S's"
            )
        options["variant"] = variant
    return MODELS[name](scale=scale, **options)


def build_model(args: argparse.Namespace, device: torch.device, held: Variant | None = None) -> Network:
    """Build the model of `--model` and `--scale` on a device, in the variant of its weights or of the flags.

    Args:
        args: the options.
        device: where the model goes.
        held: variant of the weights that the model will take, where there are some.

    Raises:
        ValueError: as `create_model`, or a flag contradicts the weights.
    """
    flags = {name: getattr(args, name) for name in Variant._fields}
    asked = {name: value for name, value in flags.items() if value is not None}
    has_variants = asked or network_of(args.model).has_variants
    variant = resolve_variant(asked, held, usual_variant(args.model)) if has_variants else None
    return create_model(args.model, args.scale, variant, kernel_size=args.blur_kernel).to(device)


def check_blind(network: type[Network]) -> None:
    """Refuse, with a ValueError, a model that has to be told the degradation where nobody knows it."""
    if network.is_non_blind:
        raise ValueError(UNKNOWN)


def compile_model(model: Network) -> None:
    """Compile the parts of a model in place (names of weights stay)."""
    for part in model.children():
        part.compile()
