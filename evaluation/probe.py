"""Linear probes: what a linear classifier reads from codes of images that it has not seen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score

Points = npt.NDArray[np.float64]

NUM_FOLDS = 5
SEED = 0
AT_REST = 1e-4
"""A dimension whose spread is below this share of the mean spread is left out: standardised, it would be noise."""


@dataclass(frozen=True)
class Probe:
    """Mean accuracy over the folds, half its 95 % confidence interval, and chance; None where there is too little."""

    accuracy: float | None
    margin: float | None
    chance: float
    num_classes: int
    held_out: str

    def describe(self, name: str) -> str:
        """One line for people."""
        if self.accuracy is None or self.margin is None:
            return f"linear probe for the {name}: too few images or kernels"
        return (
            f"linear probe for the {name}: {100 * self.accuracy:.1f} ± {100 * self.margin:.1f} % of "
            f"{self.num_classes} classes (guessing: {100 * self.chance:.1f} %), on {self.held_out} it has not seen"
        )


def probe(codes: Points, labels: Sequence[str], groups: Sequence[str], held_out: str) -> Probe:
    """Train a logistic regression on some groups and test it on the others, in up to five folds.

    Args:
        codes: (N, D).
        labels: the class of each code.
        groups: what is held out together, of each code.
        held_out: the groups in a word.
    """
    num_classes, num_folds = len(set(labels)), min(NUM_FOLDS, len(set(groups)))
    chance = max(labels.count(label) for label in set(labels)) / len(labels)
    if num_classes < 2 or num_folds < 2:
        return Probe(None, None, chance, num_classes, held_out)
    scores = cross_val_score(
        LogisticRegression(max_iter=2000),
        standardise(codes),
        np.array(labels),
        groups=np.array(groups),
        cv=GroupKFold(num_folds, shuffle=True, random_state=SEED),
    )
    return Probe(float(np.mean(scores)), confidence_margin(scores), chance, num_classes, held_out)


def standardise(codes: Points) -> Points:
    """Bring each dimension of (N, D) to mean 0 and deviation 1; dimensions at rest are left out."""
    spread = codes.std(axis=0)
    moves = spread >= AT_REST * spread.mean()
    return np.asarray((codes - codes.mean(axis=0))[:, moves] / np.maximum(spread[moves], 1e-12))


def confidence_margin(values: Sequence[float] | Points) -> float:
    """Half the width of Student's 95 % interval of the mean of two or more values."""
    deviation = float(np.std(values, ddof=1))
    return float(scipy.stats.t.ppf(0.975, len(values) - 1)) * deviation / math.sqrt(len(values))
