"""The networks, by name.

A new network is a file with a class derived from `Network`, and a line that registers it here. Its class says what it
can do.
"""

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.bicubic import Bicubic
from model.cdsr import CDSR, CDSRSize
from model.dasr import DASR, DASRSize
from model.network import Foreign, Network
from model.oracle import UNKNOWN, Oracle
from model.published import HEAD, TAIL, describe, fits, for_testing, load_published, scale_of, to_published
from model.spandrel import SpandrelModel
from model.unconditional import Unconditional
from model.variant import Variant, resolve_variant, variant_of
from utils.checkpoint import load_weights, save_weights

CDSR_S_SIZE = CDSRSize(
    num_blocks=2,
    num_residual_blocks=6,
    encoder_widths=(32, 64, 128),
    code_dim=128,
    num_codes=512,
    num_code_layers=2,
)
"""A CDSR of an eighth of the multiply-adds, for CPUs: wide, plain and shallow (docs/log.md has the others tried)."""

CDSR_S_PARTS = Variant(lpe="autocorrelation", csc=False, head=True)
"""Its encoder: what tells a blur soonest and most precisely."""

DASR_S_SIZE = DASRSize(num_features=32, num_groups=6, num_blocks=6)
"""A DASR of CDSR_S's multiply-adds: 0.92, 0.96 and 1.05 of them for x2, x3 and x4, with the published encoder."""

MODELS: dict[str, partial[Network]] = {}
"""Every name that `--model` takes, with what builds the network from its scale."""


def register(name: str, network: type[Network], **arguments: Any) -> None:
    """Add a model under a name that no other has, built by `network(scale=..., **arguments)`."""
    if name in MODELS:
        raise ValueError(f"a model named {name!r} is registered already")
    MODELS[name] = partial(network, **arguments)


register("CDSR", CDSR)
register("CDSR_S", CDSR, size=CDSR_S_SIZE, variant=CDSR_S_PARTS)
register("CDSR_oracle", Oracle)
register("CDSR_S_oracle", Oracle, size=CDSR_S_SIZE)
register("CDSR_unconditional", Unconditional)
register("CDSR_S_unconditional", Unconditional, size=CDSR_S_SIZE)
register("DASR", DASR)
register("DASR_S", DASR, size=DASR_S_SIZE)
register("bicubic", Bicubic)
register("bicubic_matlab", Bicubic, matlab=True)
register("spandrel", SpandrelModel)


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


def check_options(args: argparse.Namespace) -> None:
    """Refuse, with a ValueError, options that ask of the model of `--model` what it cannot do."""
    name, network = args.model, network_of(args.model)
    is_told = network.is_non_blind
    rules = [
        (
            is_told and args.dir_demo,
            f"--model {name} is told the true kernel, and nobody knows that of your images: take CDSR or CDSR_S",
        ),
        (
            is_told and (args.sv_mode or args.protocol == "cdsr-sv"),
            f"--model {name} is told one kernel an image, and spatially variant blur has many: take CDSR or CDSR_S",
        ),
        (
            is_told and args.self_ensemble,
            f"--self_ensemble turns the image, not the kernel told to {name}: leave it out",
        ),
        (
            network.is_trainable and not network.is_contrastive and args.epochs_encoder > 0,
            f"--epochs_encoder {args.epochs_encoder}: {name} has no encoder to train first; give -1",
        ),
        (
            (args.epochs_teacher or args.d_weight) and not (network.has_variants and _has_head(args)),
            f"--epochs_teacher and --d_weight take a model whose code is made of a degradation: give --head, or leave "
            f"them out for {name}",
        ),
        (
            args.compression and not _has_head(args),
            "--compression is read by a head: give --head, or leave it out",
        ),
    ]
    for is_broken, message in rules:
        if is_broken:
            raise ValueError(message)


def _has_head(args: argparse.Namespace) -> bool:
    return usual_variant(args.model).head if args.head is None else args.head


def check_blind(network: type[Network]) -> None:
    """Refuse, with a ValueError, a model that has to be told the degradation where nobody knows it."""
    if network.is_non_blind:
        raise ValueError(UNKNOWN)


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


def open_model(name: str, scale: int, path: Path) -> Network:
    """Build the model that a file of weights is for, in the file's variant.

    Raises:
        ValueError: as `create_model` and `load_model`.
    """
    model = create_model(name, scale, variant_in(path, name))
    load_model(model, path)
    return model


def variant_in(path: Path | None, name: str) -> Variant | None:
    """Tell the variant of the weights in a file; None where there is no file, or the model of that name has none."""
    if path is None or not path.is_file() or not network_of(name).has_variants:
        return None
    return variant_of(load_weights(path)[0])


def identify(tensors: Mapping[str, Tensor]) -> tuple[str, Network]:
    """Find the registered model that a state dict in the published naming is of, by its names and shapes alone.

    Returns:
        its name, and the model with these weights.

    Raises:
        ValueError: none is; the message says what the state dict holds.
    """
    tensors, variant, scale = for_testing(tensors), variant_of(tensors), scale_of(tensors)
    for name in MODELS if 1 <= scale <= 4 else ():
        network = network_of(name)
        if network.is_contrastive and network.has_variants == (variant is not None):
            model = create_model(name, scale, variant)
            if fits(model, tensors):
                load_published(model, tensors, name)
                return name, model
    raise ValueError(f"the file holds {describe(tensors)}, which no blind model here has")


def load_model(model: Network, path: Path) -> None:
    """Fill a model from a file, strictly; the file's metadata is its `trained_for`.

    Raises:
        ValueError: the file cannot be read, or is for another model or scale.
    """
    if isinstance(model, Foreign):
        model.open_file(path)
        return
    tensors, metadata = load_weights(path)
    load_published(model, tensors, str(path))
    model.trained_for = metadata


def init_model(model: Network, path: Path) -> None:
    """Fill a model from a file of the same network at any scale: all but the tail, which keeps its fresh weights.

    So does what a head needs for compression, where the file's head does not read it.

    Raises:
        ValueError: the file cannot be read, or is for another model.
    """
    tensors, _ = load_weights(path)
    own = to_published(model.state_dict())
    body = {name: tensor for name, tensor in tensors.items() if not name.startswith(TAIL)}
    tail = {name: tensor for name, tensor in own.items() if name.startswith(TAIL)}
    for name in HEAD & body.keys() & own.keys():
        if len(body[name].flatten()) < len(own[name].flatten()):
            known, body[name] = body[name], own[name].clone()
            body[name][tuple(map(slice, known.shape))] = known
    load_published(model, body | tail, str(path))


def save_model(model: Network, path: Path, metadata: Mapping[str, Any], *, is_half: bool = False) -> None:
    """Write a model's weights by their published names, with metadata; is_half: in 16 bits."""
    save_weights(path, to_published(model.state_dict()), metadata, is_half=is_half)


def compile_model(model: Network) -> None:
    """Compile the parts of a model in place (names of weights stay)."""
    for part in model.children():
        part.compile()
