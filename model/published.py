"""The published checkpoint naming, mapped to and from the names of this project (DESIGN.md, section 4).

A published CDSR file is a plain state dict: `G.*` is the SR network, `E.encoder_q.*` the encoder. A training
checkpoint of the published code also holds `E.encoder_k.*`, `E.queue` and `E.queue_ptr`, which no test needs.
"""

import math
import re
from collections.abc import Callable, Mapping

from torch import Tensor, nn

TAIL = ("G.upsampler.", "E.pca.")
"""What a change of scale leaves behind: the upsampler, and an oracle's components of that scale's kernels."""

TRAINING_ONLY = ("E.encoder_k.", "E.queue")

# Ours -> published, applied in this order to the whole name. Branches and blocks count from 1 over there.
_RULES: tuple[tuple[str, Callable[[re.Match[str]], str] | str], ...] = (
    (r"^sr_network\.code_map\.", "G.compress."),
    (r"^sr_network\.head\.", "G.conv_first."),
    (r"^sr_network\.tail\.", "G.upsampler.0."),
    (r"^sr_network\.trunk_conv\.", "G.trunk_conv."),
    (r"^sr_network\.blocks\.", "G.RRDB_trunk."),
    (r"\.dense_blocks\.(\d+)\.convs\.(\d+)\.", lambda m: f".RDB{int(m[1]) + 1}.conv{int(m[2]) + 1}."),
    (r"\.modulation\.code_map\.", ".SFT.fc."),
    (r"\.modulation\.dqa(\d)\.", r".SFT.dab.da_conv\1."),
    (r"\.modulation\.conv(\d)\.", r".SFT.dab.conv\1."),
    (r"\.code_query\.gamma$", ".sf_attn.gamma"),
    (r"\.code_query\.(query|key|value)\.", r".sf_attn.\1_conv."),
    (r"\.channel_attention\.squeeze\.", ".ca.conv_du.0."),
    (r"\.channel_attention\.excite\.", ".ca.conv_du.2."),
    (r"^encoder\.(pca|linear)\.", r"E.\1."),  # an oracle's, which is ours alone
    (r"^encoder\.", "E.encoder_q."),
    (r"\.lpe\.pixel_branch\.(\d)\.conv\.", lambda m: f".conv{int(m[1]) + 1}.conv1."),
    (r"\.lpe\.pixel_branch\.(\d)\.norm\.", lambda m: f".conv{int(m[1]) + 1}.bn1."),
    (r"\.lpe\.patch_branch\.(\d)\.conv\.", lambda m: f".pconv{int(m[1]) + 1}.conv1."),
    (r"\.lpe\.patch_branch\.(\d)\.norm\.", lambda m: f".pconv{int(m[1]) + 1}.bn1."),
    (r"\.lpe\.mlp\.", ".mlp1."),
    (r"\.csc\.codebook$", ".feature_bank.weight"),
    (r"\.csc\.(query|key)\.", lambda m: f".fc_{m[1][0]}."),
    (r"\.projection\.", ".mlp."),
)


def published_name(name: str) -> str:
    """Translate one parameter name of this project, as `CDSR.state_dict()` has it."""
    for pattern, replacement in _RULES:
        name = re.sub(pattern, replacement, name)
    return name


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a model's state dict for saving."""
    return {published_name(name): tensor for name, tensor in state.items()}


def describe(tensors: Mapping[str, Tensor]) -> str:
    """Say in a few words what a published-format state dict holds, for messages."""
    tail, head = tensors.get("G.upsampler.0.weight"), tensors.get("G.conv_first.weight")
    if tail is None or head is None:
        return "no CDSR weights"
    scale = math.isqrt(tail.shape[0] // 3)
    num_blocks = len({name.split(".")[2] for name in tensors if name.startswith("G.RRDB_trunk.")})
    kind = "oracle" if "E.pca.basis" in tensors else "CDSR"
    return f"{kind} weights for scale {scale} with {num_blocks} blocks of {head.shape[0]} features"


def load_published(model: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Load weights in the published naming into a model, strictly.

    Args:
        model: the network to fill.
        tensors: the file's state dict; the key encoder and the queue of a training file are dropped.
        source: the file's name, for the message.

    Raises:
        ValueError: names or shapes differ from the model's; the model is left as it was.
    """
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(TRAINING_ONLY)}
    own = model.state_dict()
    expected = to_published(own)
    missing = sorted(expected.keys() - tensors.keys())
    unknown = sorted(tensors.keys() - expected.keys())
    differing = sorted(name for name in expected.keys() & tensors.keys() if expected[name].shape != tensors[name].shape)
    if missing or unknown or differing:
        example = (
            f"{differing[0]} is {tuple(tensors[differing[0]].shape)}, not {tuple(expected[differing[0]].shape)}"
            if differing
            else f"it lacks {missing[0]}"
            if missing
            else f"it has {unknown[0]}"
        )
        raise ValueError(
            f"{source} does not fit: it holds {describe(tensors)}, the model asked for takes "
            f"{describe(expected)} ({example}); give the file's own --model and --scale"
        )
    model.load_state_dict({name: tensors[published_name(name)] for name in own}, strict=True)
