"""A degradation: draw its parameters, then HR to LR by blur, downsampling, noise and 8 bits, for a batch on any
device.

Differs from the published code: every random number comes from a generator that is handed in; blur and s-fold
subsampling are one strided convolution; spatially variant blur holds no kernel per pixel (the published code does,
in gigabytes).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from data.degradation.blur import Padding, blur, blur_blocks, num_blocks
from data.degradation.config import DegradationConfig
from data.degradation.downsample import bicubic_downsample
from data.degradation.kernels import block_covariances, gaussian_kernels
from data.degradation.noise import gaussian_noise, quantise
from utils.device import send
from utils.known_degradation import KnownDegradation

CLEAN_RATE = {"cdsr": 0.2, "dasr": 0.0}  # share of training images without noise


@dataclass(frozen=True)
class Parameters:
    """What was drawn for each of B images: CPU tensors of shape (B,), the same in both conventions."""

    variance_1: Tensor  # eigenvalues of the kernel's covariance, squared HR pixels
    variance_2: Tensor
    theta: Tensor  # radians, from the columns' axis towards the rows'
    noise: Tensor  # standard deviation, grey levels of 0 to 255
    seed: Tensor  # int64: where the kernels of sv_mode 5 come from

    def __len__(self) -> int:
        """B."""
        return len(self.noise)

    @classmethod
    def of(cls, variance_1: float, variance_2: float, theta: float, noise: float = 0.0, seed: int = 0) -> "Parameters":
        """One image's."""
        floats = torch.tensor([[variance_1], [variance_2], [theta], [noise]], dtype=torch.float64)
        return cls(floats[0], floats[1], floats[2], floats[3], torch.tensor([seed]))

    @classmethod
    def cat(cls, parts: Sequence["Parameters"]) -> "Parameters":
        """A batch out of smaller ones."""
        return cls(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)))


class Degradation:
    """HR to LR by one convention. It keeps no state: the same arguments and generators give the same LR."""

    def __init__(self, config: DegradationConfig) -> None:
        self.config = config

    def draw(self, batch_size: int, generator: torch.Generator) -> Parameters:
        """Draw random kernels and noise levels for training.

        generator: on the CPU. cdsr: variance_1 ~ U(min, max), variance_2 ~ U(min, variance_1); dasr: standard
        deviations, independent; theta ~ U(0, pi); isotropic: one standard deviation ~ U(min, max).
        """
        config = self.config
        low, high = config.width_range
        first, second, turn, level, clean = torch.rand(5, batch_size, generator=generator, dtype=torch.float64)
        seed = torch.randint(2**31, (batch_size,), generator=generator)
        width_1 = low + (high - low) * first
        if config.blur_type == "iso_gaussian":
            variance_1, variance_2, theta = width_1**2, width_1**2, torch.zeros_like(turn)
        elif config.is_variance:
            variance_1, variance_2, theta = width_1, low + (width_1 - low) * second, math.pi * turn
        else:
            variance_1, variance_2, theta = width_1**2, (low + (high - low) * second) ** 2, math.pi * turn
        noise = (config.noise * level).where(clean >= CLEAN_RATE[config.degradation], 0)
        return Parameters(variance_1, variance_2, theta, noise, seed)

    def kernels(self, variance_1: Tensor, variance_2: Tensor, theta: Tensor) -> Tensor:
        """Make (..., blur_kernel, blur_kernel) float32 kernels, placed as the convention does."""
        # cdsr: the centre sits on the s-fold grid; another grid needs a centred kernel.
        shifted = self.config.degradation == "cdsr" and self.config.downsampling == "s-fold"
        corner = self.config.scale - 1 if shifted else 0
        return gaussian_kernels(variance_1, variance_2, theta, size=self.config.blur_kernel, corner=corner)

    def known_degradation(self, parameters: Parameters) -> KnownDegradation | None:
        """What a model may be told of images under these parameters; None where the blur varies over the image."""
        if self.config.sv_mode:
            return None
        kernels = self.kernels(parameters.variance_1, parameters.variance_2, parameters.theta)
        return KnownDegradation(kernels, parameters.noise.float())

    def apply(self, hr: Tensor, parameters: Parameters, noise_generator: torch.Generator | None = None) -> Tensor:
        """Degrade a batch on its device.

        hr: (B, C, H, W), or (B, N, C, H, W) whose N patches share kernel and noise level; float32 in [0, 255].
        noise_generator: on the device of hr; needed where a noise level is not 0.
        Returns lr of as many dimensions, ceil(H/s) x ceil(W/s), float32 of whole numbers in [0, 255].
        """
        return self.finish(self.blur_and_downsample(hr, parameters), parameters, noise_generator)

    def blur_and_downsample(self, hr: Tensor, parameters: Parameters) -> Tensor:
        """Take the first two steps of `apply`; the result is not rounded."""
        if len(parameters) != len(hr):
            raise ValueError(f"{len(hr)} images with parameters for {len(parameters)}: give one row for each")
        planes = hr.reshape(len(hr), -1, *hr.shape[-2:])  # (B, N*C, H, W)
        if self.config.sv_mode:
            lr = self._blur_blocks(planes, parameters)
        else:
            kernels = self.kernels(parameters.variance_1, parameters.variance_2, parameters.theta)
            padding: Padding = "replicate" if self.config.degradation == "cdsr" else "reflect"
            stride = self.config.scale if self.config.downsampling == "s-fold" else 1
            lr = blur(planes, send(kernels, hr.device, hr.dtype), padding=padding, stride=stride)
        if self.config.downsampling == "bicubic":
            lr = bicubic_downsample(lr, self.config.scale, edges="replicate")
        return lr.reshape(*hr.shape[:-2], *lr.shape[-2:])

    def finish(self, lr: Tensor, parameters: Parameters, noise_generator: torch.Generator | None = None) -> Tensor:
        """Take the last two steps of `apply`: noise, drawn independently for every value, and 8 bits."""
        if bool((parameters.noise > 0).any()):
            if noise_generator is None:
                raise ValueError("the noise level is not 0: give a noise_generator on the device of the images")
            lr = lr + gaussian_noise(lr.shape, parameters.noise, noise_generator)
        return quantise(lr)

    def _blur_blocks(self, planes: Tensor, parameters: Parameters) -> Tensor:
        rows, columns = (num_blocks(length) for length in planes.shape[-2:])
        mode, scale = self.config.sv_mode, self.config.scale
        covariances = block_covariances(mode, scale=scale, rows=rows, columns=columns, seeds=parameters.seed)

        def kernels_of_row(row: int) -> Tensor:
            return send(self.kernels(*(values[:, row] for values in covariances)), planes.device, planes.dtype)

        return blur_blocks(planes, kernels_of_row, stride=scale)
