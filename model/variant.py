"""The ablations of CDSR: which of its parts a model has. The names in a file of weights tell, and nothing else."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

LPE_KINDS = ("both", "pixel", "patch", "naive")
_LPE_NAMES = {"pixel": "E.encoder_q.conv1.", "patch": "E.encoder_q.pconv1.", "naive": "E.encoder_q.E."}


class Variant(NamedTuple):
    """Parts of a CDSR, named as the flags; the default is the whole.

    lpe: "both" branches, "pixel" or "patch" alone, or "naive": DASR's encoder in their place.
    csc: the codebook; without it the feature of the LPE is the code.
    dqa: the query; without it kernels are drawn from the code alone, as in DASR.
    """

    lpe: str = "both"
    csc: bool = True
    dqa: bool = True

    @property
    def marks(self) -> list[str]:
        """Where this one is not the whole: the flags that ask for it, without dashes."""
        return [flag.removeprefix("--") for flag in self.flags_unlike(Variant())]

    def flags_unlike(self, other: "Variant") -> list[str]:
        """The flags for what differs from another variant."""
        values = self._asdict()
        return [
            f"--lpe {value}" if name == "lpe" else f"--{name}" if value else f"--no-{name}"
            for name, value in values.items()
            if value != getattr(other, name)
        ]


def variant_of(names: Iterable[str]) -> Variant | None:
    """Tell the variant by the names of a state dict in the published naming; None where no CDSR's encoder is in it."""
    names = list(names)
    if "G.conv_first.weight" not in names or not any(name.startswith("E.encoder_q.") for name in names):
        return None
    kinds = [kind for kind, prefix in _LPE_NAMES.items() if any(name.startswith(prefix) for name in names)]
    return Variant(
        lpe=kinds[0] if len(kinds) == 1 else "both",
        csc="E.encoder_q.feature_bank.weight" in names,
        dqa=any(".sf_attn." in name for name in names),
    )


def resolve_variant(asked: Mapping[str, Any], held: Variant | None) -> Variant:
    """Find the variant that the flags given and the weights held, if any, agree on.

    Raises:
        ValueError: they do not.
    """
    variant = (held or Variant())._replace(**asked)
    if held and variant != held:
        ours, theirs = (" ".join(flags) for flags in (variant.flags_unlike(held), held.flags_unlike(variant)))
        raise ValueError(f"{ours} contradicts the weights, which are for {theirs}: leave it out or give other weights")
    return variant
