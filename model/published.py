"""The published checkpoint naming, mapped to and from the names of this project.

A published file, of CDSR or of DASR, is a plain state dict: `G.*` is the SR network, `E.encoder_q.*` the encoder.
Training checkpoints of CDSR's code and all files of DASR's also hold `E.encoder_k.*`, `E.queue` and `E.queue_ptr`,
which no test needs. Files of all other networks hold the names of their state dict.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

from model.network import Network
from model.variant import Variant, variant_of

TAIL = ("G.upsampler.", "G.tail.", "E.pca.")
"""What a change of scale leaves behind: the upsamplers of CDSR and DASR, an oracle's components of the kernels."""

HEAD = {f"E.encoder_q.head.{name}" for name in ("read.1.weight", "read.1.bias", "embed.0.weight")}
"""What has a row or a column for each number that a degradation head reads."""

TRAINING_ONLY = ("E.encoder_k.", "E.queue")

_MARKS = ("sr_network.head.weight", "sr_network.first_conv.weight")
"""Names that tell a state dict of CDSR or of an oracle, and one of DASR, from those of other networks."""

# Ours -> published, applied in this order to the whole name. Branches and blocks count from 1 over there.
_RULES: tuple[tuple[str, Callable[[re.Match[str]], str] | str], ...] = (
    # the SR network: CDSR's, DASR's
    (r"^sr_network\.code_map\.", "G.compress."),
    (r"^sr_network\.head\.", "G.conv_first."),
    (r"^sr_network\.tail\.", "G.upsampler.0."),
    (r"^sr_network\.trunk_conv\.", "G.trunk_conv."),
    (r"^sr_network\.blocks\.", "G.RRDB_trunk."),
    (r"^sr_network\.first_conv\.", "G.head.0."),
    (r"^sr_network\.upsampler\.", "G.tail.0."),
    (r"^sr_network\.last_conv\.", "G.tail.1."),
    (r"^sr_network\.", "G."),
    # its blocks; their dynamic convolutions are dqa1 and dqa2 in older training states
    (r"\.dense_blocks\.(\d+)\.convs\.(\d+)\.", lambda m: f".RDB{int(m[1]) + 1}.conv{int(m[2]) + 1}."),
    (r"\.residual_blocks\.(\d+)\.", lambda m: f".RB{int(m[1]) + 1}."),
    (r"\.modulation\.code_map\.", ".SFT.fc."),
    (r"\.modulation\.", ".SFT.dab."),
    (r"\.(dynamic|dqa)(\d)\.", r".da_conv\2."),
    (r"\.code_query\.gamma$", ".sf_attn.gamma"),
    (r"\.code_query\.(query|key|value)\.", r".sf_attn.\1_conv."),
    (r"\.channel_attention\.squeeze\.", ".ca.conv_du.0."),
    (r"\.channel_attention\.excite\.", ".ca.conv_du.2."),
    # the encoder
    (r"^encoder\.(pca|linear)\.", r"E.\1."),  # an oracle's, which is ours alone
    (r"^encoder\.", "E.encoder_q."),
    (r"\.lpe\.pixel_branch\.(\d)\.conv\.", lambda m: f".conv{int(m[1]) + 1}.conv1."),
    (r"\.lpe\.pixel_branch\.(\d)\.norm\.", lambda m: f".conv{int(m[1]) + 1}.bn1."),
    (r"\.lpe\.patch_branch\.(\d)\.conv\.", lambda m: f".pconv{int(m[1]) + 1}.conv1."),
    (r"\.lpe\.patch_branch\.(\d)\.norm\.", lambda m: f".pconv{int(m[1]) + 1}.bn1."),
    (r"\.lpe\.autocorrelation_branch\.", ".autocorrelation."),
    (r"\.lpe\.mlp\.", ".mlp1."),
    (r"\.lpe\.convs\.(\d)\.conv\.", lambda m: f".E.{3 * int(m[1])}."),
    (r"\.lpe\.convs\.(\d)\.norm\.", lambda m: f".E.{3 * int(m[1]) + 1}."),
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
    """Rename a model's state dict for its file; that of a network without published names stays as it is."""
    if not any(mark in state for mark in _MARKS):
        return dict(state)
    return {published_name(name): tensor for name, tensor in state.items()}


def network_in(tensors: Iterable[str]) -> str | None:
    """Tell by the names of a published-format state dict which network it is of; None: of none here."""
    names = set(tensors)
    if "G.conv_first.weight" in names:
        if "E.pca.basis" in names:
            return "oracle"
        return "CDSR" if any(name.startswith("E.") for name in names) else "unconditional CDSR"
    return "DASR" if "G.head.0.weight" in names else None


def scale_of(tensors: Mapping[str, Tensor]) -> int:
    """Tell the scale that a published-format state dict is for; 0 where it has no tail of CDSR or DASR."""
    if "G.upsampler.0.weight" in tensors:
        return math.isqrt(len(tensors["G.upsampler.0.weight"]) // 3)
    if "G.tail.1.weight" in tensors:
        stages = [value.shape for name, value in tensors.items() if re.fullmatch(r"G\.tail\.0\.\d\.weight", name)]
        return math.prod(math.isqrt(outputs // inputs) for outputs, inputs, *_ in stages)
    return 0


def describe(tensors: Mapping[str, Tensor], other: str = "no weights of CDSR or DASR") -> str:
    """Say in a few words what a published-format state dict holds, for messages; `other`: where it is neither's."""
    network, factor = network_in(tensors), scale_of(tensors)
    scale = f" for scale {factor}" if factor else ""
    if network is None:
        return other
    if network == "DASR":
        groups = f"{_count(tensors, 'G.body.') - 1} groups of {_count(tensors, 'G.body.0.body.') - 1} blocks"
        return f"DASR weights{scale} with {groups} of {len(tensors['G.head.0.weight'])} features"
    blocks = f"{_count(tensors, 'G.RRDB_trunk.')} blocks of {len(tensors['G.conv_first.weight'])} features"
    variant = variant_of(tensors)
    flags = variant.flags_unlike(Variant()) if variant else []
    marks = f" ({' '.join(flags)})" if flags else ""
    return f"{network} weights{scale} with {blocks}{marks}"


def _count(names: Iterable[str], prefix: str) -> int:
    """How many numbers follow a prefix."""
    return len({name[len(prefix) :].split(".")[0] for name in names if name.startswith(prefix)})


def for_testing(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop the key encoder and the queue of a training file."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(TRAINING_ONLY)}


def load_published(model: Network, tensors: Mapping[str, Tensor], source: str) -> None:
    """Load weights in the published naming into a model, strictly.

    Args:
        model: the network to fill.
        tensors: the file's state dict; the key encoder and the queue of a training file are dropped.
        source: the file's name, for the message.

    Raises:
        ValueError: as `require_fit`; the model is left as it was.
    """
    tensors = for_testing(tensors)
    require_fit(model, tensors, source)
    state = model.state_dict()
    names = zip(state, to_published(state), strict=True)
    model.load_state_dict({name: tensors[published] for name, published in names}, strict=True)


def fits(model: Network, tensors: Mapping[str, Tensor]) -> bool:
    """Whether a state dict in the published naming has a model's names and shapes."""
    expected = to_published(model.state_dict())
    return {name: tensor.shape for name, tensor in tensors.items()} == {
        name: tensor.shape for name, tensor in expected.items()
    }


def require_fit(model: Network, tensors: Mapping[str, Tensor], source: str) -> None:
    """Compare names and shapes of a state dict in the published naming with a model's.

    Raises:
        ValueError: they differ; the message says what is held, what is taken and gives an example.
    """
    expected = to_published(model.state_dict())
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
            f"{describe(expected, f'weights of {type(model).__name__}')} ({example}); "
            "give the file's own --model and --scale"
        )
