"""The degradation of training pairs: what each step draws, whether on the device or in a loader's worker.

Every random draw depends on (seed, step) alone, so that a resumed run draws what it would have drawn.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from data.degradation import Degradation, Parameters
from utils.randomness import generator_for

STREAM_PARAMETERS, STREAM_NOISE, STREAM_SHUFFLE, STREAM_PARTNERS = 1, 2, 3, 4


class Pairs(NamedTuple):
    """HR and LR patches of a batch, two of each, (B, 2, 3, P, P) and (B, 2, 3, P/s, P/s), both uint8."""

    hr: Tensor
    lr: Tensor


@dataclass(frozen=True)
class PairDegradation:
    """A degradation as a rank of a parallel run draws from it.

    seed: of the run.
    same_degradation: whether both patches of a pair are degraded alike, or each in its own way.
    """

    degradation: Degradation
    seed: int
    same_degradation: bool = True

    def draw(
        self, share: int, step: int, stream: int = STREAM_PARAMETERS, *, rank: int = 0, world_size: int = 1
    ) -> Parameters:
        """A rank's share of the parameters of a step, for as many images."""
        generator = generator_for(self.seed, step, stream)
        first = share * rank
        return self.degradation.draw(share * world_size, generator)[first : first + share]

    def degrade(self, hr_pairs: Tensor, step: int, *, rank: int = 0, world_size: int = 1) -> Tensor:
        """Degrade a rank's pairs (B, 2, 3, P, P) in [0, 255] on their device; float32."""
        parameters = self.draw(len(hr_pairs), step, rank=rank, world_size=world_size)
        noise_generator = generator_for(self.seed, step, STREAM_NOISE, rank, device=hr_pairs.device)
        if self.same_degradation:
            return self.degradation.apply(hr_pairs, parameters, noise_generator)
        both = parameters, self.draw(len(hr_pairs), step, STREAM_PARTNERS, rank=rank, world_size=world_size)
        patches = zip(hr_pairs.unbind(1), both, strict=False)  # without contrast the first ones come alone
        return torch.stack([self.degradation.apply(hr, own, noise_generator) for hr, own in patches], dim=1)
