"""What degradations with Gaussian kernels share: blur, downsampling, noise and 8 bits, for a batch on any device.

Differs from the published code: every random number comes from a generator that is handed in; blur and s-fold
subsampling are one strided convolution; spatially variant blur holds no kernel per pixel (the published code does,
in gigabytes).
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from data.degradation.base import Degradation, Generators, Parameters, TestKernel
from data.degradation.blur import Padding, blur
from data.degradation.downsample import bicubic_downsample
from data.degradation.kernels import gaussian_kernels
from data.degradation.noise import gaussian_noise, quantise
from utils.device import send
from utils.known_degradation import KnownDegradation


@dataclass(frozen=True)
class GaussianParameters(Parameters):
    """Kernels and noise levels of B images: CPU tensors of shape (B,), in the same units for every convention."""

    variance_1: Tensor  # eigenvalues of the kernel's covariance, squared HR pixels
    variance_2: Tensor
    theta: Tensor  # radians, from the columns' axis towards the rows'
    noise: Tensor  # standard deviation, grey levels of 0 to 255
    seed: Tensor  # int64: where the kernels of sv_mode 5 come from


class GaussianDegradation(Degradation):
    """Gaussian blur, downsampling, Gaussian noise, 8 bits.

    A convention decides how edges are padded, which random and fixed kernels there are, in which units, and where on
    the pixel grid they are centred. In all of them an isotropic width (sig, or sig_min and sig_max) is a standard
    deviation, drawn from 0.2 to the scale where no range is given.
    """

    padding: ClassVar[Padding]
    clean_rate: ClassVar[float] = 0.0  # share of training images without noise

    @property
    def corner(self) -> int:
        """Rows and columns left empty at the bottom and the right of a kernel."""
        return 0

    @property
    @abstractmethod
    def anisotropic_range(self) -> tuple[float, float]:
        """Range of the random widths of anisotropic kernels, in the convention's units."""

    @abstractmethod
    def variance(self, width: float) -> float:
        """The variance that an anisotropic width stands for."""

    @abstractmethod
    def draw_variances(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Variances of random anisotropic kernels out of two uniform numbers in [0, 1) an image."""

    @property
    def width_range(self) -> tuple[float, float]:
        """Range of the random widths, in the units of the flags."""
        if self.is_isotropic:
            return given(self.config.sig_min, 0.2), given(self.config.sig_max, float(self.config.scale))
        return self.anisotropic_range

    @property
    def variance_range(self) -> tuple[float, float]:
        """Range of the variances of all kernels."""
        if kernel := self.fixed_kernel:
            return min(kernel.covariance[:2]), max(kernel.covariance[:2])
        low, high = self.width_range
        return (low**2, high**2) if self.is_isotropic else (self.variance(low), self.variance(high))

    @property
    def is_isotropic(self) -> bool:
        """Whether random kernels are round."""
        return self.config.blur_type == "iso_gaussian"

    @property
    def min_lr_side(self) -> int:
        """LR pixels that a side of an image needs, since to reflect its edges takes more than the kernel's radius."""
        return self.config.blur_kernel // 2 // self.config.scale + 1 if self.padding == "reflect" else 1

    def check(self) -> None:
        """Refuse a range whose one end is given and lies beyond the other, too."""
        super().check()
        low, high = self.width_range
        if low > high:
            raise ValueError(f"random widths would range from {low:g} to {high:g}: give both ends of the range")

    def draw(self, batch_size: int, generator: torch.Generator) -> GaussianParameters:
        """Draw kernels, whose angle is uniform in [0, pi), and noise levels, uniform in [0, config.noise)."""
        first, second, turn, level, clean = torch.rand(5, batch_size, generator=generator, dtype=torch.float64)
        seed = torch.randint(2**31, (batch_size,), generator=generator)
        if self.is_isotropic:
            low, high = self.width_range
            variance_1 = variance_2 = (low + (high - low) * first) ** 2
            theta = torch.zeros_like(turn)
        else:
            variance_1, variance_2 = self.draw_variances(first, second)
            theta = math.pi * turn
        noise = (self.config.noise * level).where(clean >= self.clean_rate, 0)
        return GaussianParameters(variance_1, variance_2, theta, noise, seed)

    def parameters_of(
        self, test_kernels: Sequence[TestKernel], noise: float, seeds: Sequence[int]
    ) -> GaussianParameters:
        """Kernels as they are, with noise of exactly this level."""
        covariances = torch.tensor([kernel.covariance for kernel in test_kernels], dtype=torch.float64)
        variance_1, variance_2, theta = covariances.unbind(1)
        return GaussianParameters(variance_1, variance_2, theta, torch.full_like(theta, noise), torch.tensor(seeds))

    def kernels(self, variance_1: Tensor, variance_2: Tensor, theta: Tensor) -> Tensor:
        """Make (..., blur_kernel, blur_kernel) float32 kernels, placed as the convention does."""
        return gaussian_kernels(variance_1, variance_2, theta, size=self.config.blur_kernel, corner=self.corner)

    def known_degradation(self, parameters: GaussianParameters) -> KnownDegradation | None:
        """Kernels and noise levels."""
        kernels = self.kernels(parameters.variance_1, parameters.variance_2, parameters.theta)
        return KnownDegradation(kernels, parameters.noise.float())

    def apply(self, hr: Tensor, parameters: GaussianParameters, noise_generator: Generators | None = None) -> Tensor:
        """Degrade a batch; see `Degradation.apply`. Noise is drawn independently for every value."""
        lr = self.blur_and_downsample(hr, parameters)
        if bool((parameters.noise > 0).any()):
            if noise_generator is None:
                raise ValueError("the noise level is not 0: give a noise_generator on the device of the images")
            lr = lr + gaussian_noise(lr.shape, parameters.noise, noise_generator)
        return quantise(lr)

    def blur_and_downsample(self, hr: Tensor, parameters: GaussianParameters) -> Tensor:
        """Take the first two steps of `apply`; the result is not rounded."""
        if len(parameters) != len(hr):
            raise ValueError(f"{len(hr)} images with parameters for {len(parameters)}: give one row for each")
        planes = hr.reshape(len(hr), -1, *hr.shape[-2:])  # (B, N*C, H, W)
        is_bicubic = self.config.downsampling == "bicubic"
        lr = self.blur(planes, parameters, stride=1 if is_bicubic else self.config.scale)
        if is_bicubic:
            lr = bicubic_downsample(lr, self.config.scale, edges="replicate")
        return lr.reshape(*hr.shape[:-2], *lr.shape[-2:])

    def blur(self, planes: Tensor, parameters: GaussianParameters, stride: int) -> Tensor:
        """Blur (B, M, H, W) and keep rows and columns 0, stride, 2*stride, ..."""
        kernels = self.kernels(parameters.variance_1, parameters.variance_2, parameters.theta)
        return blur(planes, send(kernels, planes.device, planes.dtype), padding=self.padding, stride=stride)


def isotropic_kernel(sig: float) -> TestKernel:
    """A round kernel. sig: standard deviation in HR pixels."""
    return TestKernel(f"{sig:.2f}", {"sig": sig}, sig**2, sig**2)


def decimal(value: float) -> str:
    """One decimal, as in the published names; more only where the value has more."""
    return f"{value:.1f}" if math.isclose(value, round(value, 1), abs_tol=1e-9) else f"{value:g}"


def given(value: float | None, default: float) -> float:
    """The default where no value is given."""
    return default if value is None else value
