"""A training state in a third of its size, for machines that go away: 16-bit weights, 8-bit moments and averages.

What is packed is close to the state, not equal to it: a run that goes on from it is not bit for bit the run that was
never interrupted (`docs/log.md` says how far it strays). Small tensors and everything that is no weight stay exact.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utils.checkpoint import CheckpointError
from utils.files import replacing, write_json

BLOCK = 512
"""Numbers that share one scale."""

SMALL = 4096
"""Tensors of fewer numbers stay as they are."""

LEVELS = 127
MOMENTS = ("both", "second", "none")
PART_BYTES = 15 * 2**20
MANIFEST = "packed_state.json"

_State = dict[str, Any]


def quantise(values: Tensor) -> _State:
    """Keep 8 bits of each number: linear between plus and minus the largest of its block."""
    blocks = _blocks(values)
    scale = blocks.abs().amax(dim=1, keepdim=True).clamp_min(1e-30) / LEVELS
    return {"linear": (blocks / scale).round().to(torch.int8), "scale": scale, "shape": tuple(values.shape)}


def quantise_positive(values: Tensor) -> _State:
    """Keep 8 bits of each number, none negative: linear in the logarithm between the extremes of its block."""
    logarithms = _blocks(values).clamp_min(1e-30).log()
    low, high = logarithms.amin(dim=1, keepdim=True), logarithms.amax(dim=1, keepdim=True)
    step = ((high - low) / (2 * LEVELS)).clamp_min(1e-12)
    return {
        "logarithmic": ((logarithms - low) / step).round().to(torch.uint8),
        "low": low,
        "scale": step,
        "shape": tuple(values.shape),
    }


def restore(packed: _State) -> Tensor:
    """Undo `quantise` and `quantise_positive`, up to rounding; float32."""
    shape = torch.Size(packed["shape"])
    if "linear" in packed:
        blocks = packed["linear"] * packed["scale"]
    else:
        blocks = (packed["logarithmic"] * packed["scale"] + packed["low"]).exp()
    return blocks.reshape(-1)[: shape.numel()].view(shape)


def _blocks(values: Tensor) -> Tensor:
    flat = values.detach().float().reshape(-1)
    return torch.cat([flat, flat[-1:].expand(-len(flat) % BLOCK)]).view(-1, BLOCK)


PACKERS = {"exp_avg": quantise, "exp_avg_sq": quantise_positive, "momentum_buffer": quantise}
"""Of Adam's two averages and of Muon's one; others stay exact."""


def pack(state: _State, *, moments: str = "second") -> _State:
    """Pack the state of a run, as `Trainer.save_state` makes it.

    moments: which of Adam's two averages to keep. Without the first a run picks it up within ten steps; without both
        the optimiser begins anew, and the rate should be warmed up. Muon's one average is kept with either.
    """
    state = _on_cpu(state)
    model = {name: value.half() if _is_large(value) else value for name, value in state["model"].items()}
    near = {name: value.float() for name, value in model.items()}
    keys = {name.removeprefix("encoder."): value for name, value in near.items() if name.startswith("encoder.")}
    moco = state["moco"] and {
        name: _difference(value, keys.get(name.removeprefix("key_encoder."), torch.zeros(())))
        for name, value in state["moco"].items()
    }
    packed = {**state, "model": model, "moco": moco}
    if state["ema"]:
        average = {name: _difference(value, near[name]) for name, value in state["ema"]["model"].items()}
        packed["ema"] = {**state["ema"], "model": average}
    kept = {} if moments == "none" else state["optimizer"]["state"]
    slots = {index: _pack_moments(slot, has_first=moments == "both") for index, slot in kept.items()}
    packed["optimizer"] = {**state["optimizer"], "state": slots}
    return packed


def unpack(packed: _State) -> _State:
    """Undo `pack`, up to rounding."""
    model = {name: value.float() if _is_large(value) else value for name, value in packed["model"].items()}
    moco = packed["moco"] and {
        name: _sum(value, model.get(f"encoder.{name.removeprefix('key_encoder.')}", torch.zeros(())))
        for name, value in packed["moco"].items()
    }
    state = {**packed, "model": model, "moco": moco}
    if packed["ema"]:
        average = {name: _sum(value, model[name]) for name, value in packed["ema"]["model"].items()}
        state["ema"] = {**packed["ema"], "model": average}
    slots = {index: _unpack_moments(slot) for index, slot in packed["optimizer"]["state"].items()}
    state["optimizer"] = {**packed["optimizer"], "state": slots}
    return state


def _on_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.cpu()
    if isinstance(value, Mapping):
        return {key: _on_cpu(item) for key, item in value.items()}
    return value


def _is_large(value: Tensor) -> bool:
    return value.is_floating_point() and value.numel() >= SMALL


def _difference(value: Tensor, near: Tensor) -> Tensor | _State:
    return quantise(value - near) if _is_large(value) else value


def _sum(packed: Tensor | _State, near: Tensor) -> Tensor:
    return packed if isinstance(packed, Tensor) else restore(packed) + near


def _pack_moments(slot: Mapping[str, Tensor], *, has_first: bool) -> _State:
    kept = {name: value for name, value in slot.items() if has_first or name != "exp_avg"}
    return {
        name: PACKERS[name](value) if name in PACKERS and _is_large(value) else value for name, value in kept.items()
    }


def _unpack_moments(slot: _State) -> dict[str, Tensor]:
    moments = {name: restore(value) if isinstance(value, dict) else value for name, value in slot.items()}
    if "exp_avg_sq" in moments:
        moments.setdefault("exp_avg", torch.zeros_like(moments["exp_avg_sq"]))
    return moments


def write_parts(folder: Path, packed: _State, *, part_bytes: int = PART_BYTES) -> list[Path]:
    """Write a packed state as files of at most `part_bytes`, and a manifest; then remove the older parts.

    Until the manifest is replaced the older state stays whole, since every state names its parts by its hash.
    """
    buffer = io.BytesIO()
    torch.save(packed, buffer)
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    paths = []
    for number, start in enumerate(range(0, len(content), part_bytes)):
        paths.append(folder / f"packed_state.{digest[:8]}.{number}.bin")
        with replacing(paths[-1]) as temporary:
            temporary.write_bytes(content[start : start + part_bytes])
    write_json(folder / MANIFEST, {"parts": [path.name for path in paths], "sha256": digest})
    for old in set(folder.glob("packed_state.*.bin")).difference(paths):
        old.unlink()
    return paths


def read_parts(folder: Path) -> _State:
    """Read a packed state.

    Raises:
        CheckpointError: a part is missing or differs from what was written.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        content = b"".join((folder / name).read_bytes() for name in manifest["parts"])
    except OSError as error:
        raise CheckpointError(f"no whole packed state in {folder}: {error}") from error
    if hashlib.sha256(content).hexdigest() != manifest["sha256"]:
        raise CheckpointError(f"the packed state in {folder} is damaged: its hash differs; fetch its parts again")
    state: _State = torch.load(io.BytesIO(content), weights_only=True)
    return state
