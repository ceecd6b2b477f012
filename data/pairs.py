"""The degradation of training pairs: what each step draws, whether on the device or in a loader's worker.

Every random draw depends on (seed, step) alone, so that a resumed run draws what it would have drawn.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from data.degradation import Degradation, Parameters
from utils.known_degradation import KnownDegradation
from utils.randomness import generator_for

STREAM_PARAMETERS, STREAM_NOISE, STREAM_SHUFFLE, STREAM_PARTNERS = 1, 2, 3, 4


class Pairs(NamedTuple):
    """HR and LR patches of a batch, two of each, (B, 2, 3, P, P) and (B, 2, 3, P/s, P/s), both uint8.

    known: what degraded the first patches, where that is known.
    """

    hr: Tensor
    lr: Tensor
    known: KnownDegradation | None = None


@dataclass(frozen=True)
class PairDegradation:
    """A degradation as a rank of a parallel run draws from it.

    seed: of the run.
    same_degradation: whether both patches of a pair are degraded alike, or each in its own way.
    rank, world_size: which of how many processes this is.
    """

    degradation: Degradation
    seed: int
    same_degradation: bool = True
    rank: int = 0
    world_size: int = 1

    def draw(self, share: int, step: int, stream: int = STREAM_PARAMETERS) -> Parameters:
        """This rank's share of the parameters of a step, for as many images."""
        generator = generator_for(self.seed, step, stream)
        first = share * self.rank
        return self.degradation.draw(share * self.world_size, generator)[first : first + share]

    def known(self, share: int, step: int) -> KnownDegradation | None:
        """What degrades the first patches of this rank's pairs; None where one kernel does not say it."""
        return self.degradation.known_degradation(self.draw(share, step))

    def degrade(self, hr_pairs: Tensor, step: int) -> Tensor:
        """Degrade this rank's pairs (B, 2, 3, P, P) in [0, 255] on their device; float32."""
        parameters = self.draw(len(hr_pairs), step)
        noise_generator = generator_for(self.seed, step, STREAM_NOISE, self.rank, device=hr_pairs.device)
        if self.same_degradation:
            return self.degradation.apply(hr_pairs, parameters, noise_generator)
        both = parameters, self.draw(len(hr_pairs), step, STREAM_PARTNERS)
        patches = zip(hr_pairs.unbind(1), both, strict=False)  # without contrast the first ones come alone
        return torch.stack([self.degradation.apply(hr, own, noise_generator) for hr, own in patches], dim=1)
