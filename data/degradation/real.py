"""The degradation of real images: blur, resizing, noise and JPEG, drawn in `real_draws.py`.

A model may be told what the operations come to, which is measured: what they make of a spot and of a flat image.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from data.degradation.base import Degradation, Generators, Parameters, TestKernel
from data.degradation.kernels import kernels_of_covariance
from data.degradation.operations import Blur, Jpeg, Noise, Operation, Resize, run, to_bytes
from data.degradation.real_draws import SMALLEST_SIDE, draw_operations
from utils.known_degradation import KnownDegradation

PROBE_SIDE = 16
"""LR pixels along the side of the images by which the effect of operations is measured."""


@dataclass(frozen=True)
class RealParameters(Parameters):
    """For each of B images the seed of its operations, and that of what is random in them; int64."""

    plan: Tensor
    seed: Tensor


@dataclass(frozen=True)
class Effect:
    """What a model may be told of a list of operations, in three words.

    covariance: (xx, yy, xy) of all blur together, that of resizing too; squared HR pixels.
    noise: standard deviation that is left on a mid-grey LR image, JPEG aside; grey levels.
    quality: of a JPEG that ends the list; 100 where another operation does.
    """

    covariance: tuple[float, float, float]
    noise: float
    quality: int

    @property
    def width(self) -> float:
        """Standard deviation of the blur, HR pixels: the root of the mean variance along the axes."""
        return math.sqrt((self.covariance[0] + self.covariance[1]) / 2)


class RealDegradation(Degradation):
    """LR pixels lie where interpolation expects them. Each image is made on the CPU, from two seeds."""

    name = "real"
    sample_mode = "bicubic"
    default_protocol = "real"
    runs_in_workers = True

    def check(self) -> None:
        super().check()
        names = ("noise", "sig_min", "sig_max", "lambda_min", "lambda_max")
        if given := [f"--{name}" for name in names if getattr(self.config, name)]:
            raise ValueError(f"{' and '.join(given)}: degradation real draws blur and noise by itself; leave it out")
        if self.downsampling != self.sample_mode:
            raise ValueError(f"--sample_mode {self.downsampling}: degradation real resizes in ways of its own")
        if self.config.blur_kernel < SMALLEST_SIDE:
            raise ValueError(f"--blur_kernel {self.config.blur_kernel}: degradation real takes {SMALLEST_SIDE} or more")

    def draw(self, batch_size: int, generator: torch.Generator) -> RealParameters:
        return RealParameters(*torch.randint(2**62, (2, batch_size), generator=generator))

    def parameters_of(self, test_kernels: Sequence[TestKernel], noise: float, seeds: Sequence[int]) -> RealParameters:
        plans = [int(test_kernel.kernel["plan"]) for test_kernel in test_kernels]
        return RealParameters(torch.tensor(plans), torch.tensor(seeds))

    def apply(self, hr: Tensor, parameters: RealParameters, noise_generator: Generators | None = None) -> Tensor:
        """As `Degradation.apply`; noise comes from the parameters' seeds, and differs between the patches of a row."""
        images = hr.cpu().reshape(len(hr), -1, *hr.shape[-3:]).flip(2).permute(0, 1, 3, 4, 2)  # (B, N, H, W, BGR)
        rows = zip(images.float().numpy(), parameters.plan.tolist(), parameters.seed.tolist(), strict=True)
        lr = np.stack([self._degrade_row(*row) for row in rows])  # (B, N, h, w, BGR)
        planes = torch.from_numpy(lr).permute(0, 1, 4, 2, 3).flip(2)  # (B, N, RGB, h, w)
        return planes.reshape(*hr.shape[:-2], *planes.shape[-2:]).float().to(hr.device)

    def _degrade_row(self, patches: np.ndarray, plan: int, seed: int) -> np.ndarray:
        operations, generator = self.operations(plan), np.random.default_rng(seed)
        return np.stack([to_bytes(run(operations, np.ascontiguousarray(patch), generator)) for patch in patches])

    def operations(self, plan: int) -> list[Operation]:
        """The operations that a seed stands for."""
        return draw_operations(np.random.default_rng(plan), self.config.scale, self.config.blur_kernel)

    def effect(self, plan: int) -> Effect:
        """What the operations of a seed come to."""
        return _effect(plan, self.config.scale, self.config.blur_kernel)

    def known_degradation(self, parameters: RealParameters) -> KnownDegradation:
        """Gaussian kernels of the covariance of all blurs, as far as --blur_kernel holds them; noise; JPEG quality."""
        effects = [self.effect(plan) for plan in parameters.plan.tolist()]
        covariance = torch.tensor([effect.covariance for effect in effects])
        return KnownDegradation(
            kernels_of_covariance(covariance, size=self.config.blur_kernel),
            torch.tensor([effect.noise for effect in effects]),
            torch.tensor([effect.quality for effect in effects]).float(),
        )


@lru_cache(maxsize=64)
def _effect(plan: int, scale: int, largest_side: int) -> Effect:
    operations = draw_operations(np.random.default_rng(plan), scale, largest_side)
    last, is_noisy = operations[-1], any(isinstance(one, Noise) for one in operations)
    return Effect(
        covariance=_spread(operations, scale),
        noise=_noise_left(operations, scale, np.random.default_rng(plan)) if is_noisy else 0.0,
        quality=last.quality if isinstance(last, Jpeg) else 100,
    )


def _spread(operations: Sequence[Operation], scale: int) -> tuple[float, float, float]:
    """Second moments of what blur and resizing make of a Gaussian spot, less its own; squared HR pixels."""
    position = np.arange(PROBE_SIDE * scale) - (PROBE_SIDE * scale - 1) / 2
    profile = np.exp(-0.5 * (position / scale) ** 2)
    spot = np.outer(profile, profile).astype(np.float32)[:, :, None].repeat(3, axis=2)
    linear = [one for one in operations if isinstance(one, Blur | Resize)]
    weights = run(linear, spot, np.random.default_rng(0))[:, :, 0].clip(0)
    weights /= weights.sum()
    position = scale * (np.arange(PROBE_SIDE) - (PROBE_SIDE - 1) / 2)
    xx, yy = weights.sum(axis=0) @ position**2 - scale**2, weights.sum(axis=1) @ position**2 - scale**2
    return max(float(xx), 0.0), max(float(yy), 0.0), float(position @ weights @ position)


def _noise_left(operations: Sequence[Operation], scale: int, generator: np.random.Generator) -> float:
    """Standard deviation of a flat image after all but JPEG, which flattens noise and makes blocks of it."""
    flat = np.full((PROBE_SIDE * scale, PROBE_SIDE * scale, 3), 127.5, np.float32)
    return float(run([one for one in operations if not isinstance(one, Jpeg)], flat, generator).std())
