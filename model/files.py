"""Files of weights: a model built for one, filled from it, or written to it; the names in it are the published ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from model.network import Foreign, Network
from model.published import HEAD, TAIL, describe, fits, for_testing, load_published, scale_of, to_published
from model.registry import MODELS, create_model, network_of
from model.variant import Variant, variant_of
from utils.checkpoint import load_weights, save_weights


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
