"""The ablations of CDSR: which of its parts a model has. The tensors in a file of weights tell, and nothing else."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from model.degradation_head import NUM_NUMBERS

_LPE_NAMES = {
    "pixel": "E.encoder_q.conv1.",
    "patch": "E.encoder_q.pconv1.",
    "autocorrelation": "E.encoder_q.autocorrelation.",
    "naive": "E.encoder_q.E.",
}
_LPE_SETS = {("pixel", "patch"): "both", ("pixel", "patch", "autocorrelation"): "all"}
LPE_KINDS = (*_LPE_NAMES, *_LPE_SETS.values())
_HEAD = "E.encoder_q.head.read.1.bias"


class Variant(NamedTuple):
    """Parts of a CDSR, named as the flags; the default is the published network.

    lpe: "both" published branches, "pixel" or "patch" alone, "autocorrelation", which is ours, alone or with both
        ("all"), or "naive": DASR's encoder in their place.
    csc: the codebook; without it the feature of the LPE stands in its place.
    dqa: the query; without it kernels are drawn from the code alone, as in DASR.
    head: the code is made of the degradation that is read off the feature, which is ours.
    compression: JPEG compression is part of that degradation.
    """

    lpe: str = "both"
    csc: bool = True
    dqa: bool = True
    head: bool = False
    compression: bool = False

    def marks(self, usual: "Variant") -> list[str]:
        """Where this one is not the usual one of its model: the flags that ask for it, without dashes."""
        return [flag.removeprefix("--") for flag in self.flags_unlike(usual)]

    def flags_unlike(self, other: "Variant") -> list[str]:
        """The flags for what differs from another variant."""
        values = self._asdict()
        return [
            f"--lpe {value}" if name == "lpe" else f"--{name}" if value else f"--no-{name}"
            for name, value in values.items()
            if value != getattr(other, name)
        ]


def variant_of(tensors: Mapping[str, Tensor]) -> Variant | None:
    """Tell the variant of a state dict in the published naming; None where no CDSR's encoder is in it."""
    names = list(tensors)
    if "G.conv_first.weight" not in names or not any(name.startswith("E.encoder_q.") for name in names):
        return None
    kinds = tuple(kind for kind, prefix in _LPE_NAMES.items() if any(name.startswith(prefix) for name in names))
    return Variant(
        lpe=_LPE_SETS.get(kinds, kinds[0] if kinds else "both"),
        csc="E.encoder_q.feature_bank.weight" in names,
        dqa=any(".sf_attn." in name for name in names),
        head=_HEAD in names,
        compression=_HEAD in names and len(tensors[_HEAD]) > NUM_NUMBERS,
    )


def resolve_variant(asked: Mapping[str, Any], held: Variant | None, usual: Variant) -> Variant:
    """Find the variant that the flags given and the weights held, if any, agree on; else the model's usual one.

    Raises:
        ValueError: they do not.
    """
    variant = (held or usual)._replace(**asked)
    if held and variant != held:
        ours, theirs = (" ".join(flags) for flags in (variant.flags_unlike(held), held.flags_unlike(variant)))
        raise ValueError(f"{ours} contradicts the weights, which are for {theirs}: give {theirs}, or other weights")
    return variant
