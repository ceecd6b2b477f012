"""What degradations with Gaussian kernels share: blur, downsampling, noise and 8 bits, for a batch on any device.

Differs from the published code: every random number comes from a generator that is handed in; blur and s-fold
subsampling are one strided convolution; spatially variant blur holds no kernel per pixel (the published code does,
in gigabytes).
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from data.degradation.base import Degradation, Generators, Parameters, TestKernel
from data.degradation.blur import Padding, blur
from data.degradation.downsample import bicubic_downsample
from data.degradation.kernels import BICUBIC_SUPPORT, bicubic_kernel, gaussian_kernels
from data.degradation.noise import gaussian_noise, quantise
from utils.device import send
from utils.known_degradation import KnownDegradation

RANGES = ("sig_min", "sig_max", "lambda_min", "lambda_max")
"""Options of the widths of random kernels."""

Width = TypeVar("Width", float, Tensor)


@dataclass(frozen=True)
class GaussianParameters(Parameters):
    """Kernels and noise levels of B images: CPU tensors of shape (B,), in the same units for every convention."""

    variance_1: Tensor  # eigenvalues of the kernel's covariance, squared HR pixels
    variance_2: Tensor
    theta: Tensor  # radians, from the columns' axis towards the rows'
    noise: Tensor  # standard deviation, grey levels of 0 to 255
    seed: Tensor  # int64: where the kernels of sv_mode 5 come from
    is_unblurred: Tensor  # bool: antialiased bicubic alone, and no Gaussian


class GaussianDegradation(Degradation):
    """Gaussian blur, downsampling, Gaussian noise, 8 bits.

    A convention says how edges are padded, what the widths of anisotropic kernels mean, and where on the pixel grid
    kernels are centred. Isotropic widths (sig, or sig_min and sig_max) are standard deviations in all of them.
    """

    padding: ClassVar[Padding]
    clean_rate: ClassVar[float] = 0.0  # share of training images without noise
    widths_are_variances: ClassVar[bool] = False
    is_first_wider: ClassVar[bool] = False  # whether the second width is drawn up to the first
    range_flags: ClassVar[tuple[str, str]]  # of the widths of anisotropic kernels
    is_centred_for_s_fold: ClassVar[bool] = False  # the kernel, on the grid of the LR pixels; else in its middle

    @property
    @abstractmethod
    def published_range(self) -> tuple[float, float]:
        """Widths of random anisotropic kernels where the flags give none."""

    @staticmethod
    @abstractmethod
    def anisotropic_kernel(width_1: float, width_2: float, theta: float, /) -> TestKernel:
        """A test kernel in the units of the convention."""

    @property
    def is_isotropic(self) -> bool:
        """Whether random kernels are round."""
        return self.config.blur_type == "iso_gaussian"

    @property
    def width_range(self) -> tuple[float, float]:
        """Range of the random widths, in the units of the flags."""
        published = (0.2, float(self.config.scale)) if self.is_isotropic else self.published_range
        given = (getattr(self.config, flag) for flag in self._read_ranges)
        low, high = (default if value is None else value for value, default in zip(given, published, strict=True))
        return low, high

    @property
    def unread_ranges(self) -> tuple[str, ...]:
        return tuple(flag for flag in RANGES if flag not in self._read_ranges)

    @property
    def _read_ranges(self) -> tuple[str, str]:
        return ("sig_min", "sig_max") if self.is_isotropic else self.range_flags

    @property
    def variance_range(self) -> tuple[float, float]:
        """Range of the variances of all kernels."""
        if kernel := self.fixed_kernel:
            return min(kernel.covariance[:2]), max(kernel.covariance[:2])
        low, high = self.width_range
        return self._variance(low), self._variance(high)

    @property
    def grid_shift(self) -> int:
        is_shifted = self.is_centred_for_s_fold and self.downsampling == "s-fold"
        return 1 - self.config.scale if is_shifted else 0

    @property
    def fixed_kernel(self) -> TestKernel | None:
        """Of sig, or of the convention's two widths and theta."""
        if self.config.sig is not None:
            return isotropic_kernel(self.config.sig)
        first, second = (getattr(self.config, flag) for flag in self.kernel_flags[0])
        return None if first is None else self.anisotropic_kernel(first, second, self.config.theta or 0.0)

    @property
    def min_lr_side(self) -> int:
        """LR pixels that a side of an image needs, since to reflect its edges takes more than the kernel's radius."""
        return self.config.blur_kernel // 2 // self.config.scale + 1 if self.padding == "reflect" else 1

    def check(self) -> None:
        super().check()
        low, high = self.width_range
        if low > high:
            raise ValueError(f"random widths would range from {low:g} to {high:g}: give both ends of the range")

    def check_training(self) -> None:
        super().check_training()
        largest = BICUBIC_SUPPORT * self.config.scale - self.grid_shift
        if self.config.unblurred and self.downsampling == "s-fold" and self.config.blur_kernel < largest:
            raise ValueError(
                f"--unblurred: --blur_kernel {self.config.blur_kernel} cuts the kernel of bicubic reduction off; give "
                f"{largest} or more"
            )

    def draw(self, batch_size: int, generator: torch.Generator) -> GaussianParameters:
        """Draw kernels, whose widths and angles are uniform, and noise levels, uniform in [0, config.noise)."""
        first, second, turn, level, clean = torch.rand(5, batch_size, generator=generator, dtype=torch.float64)
        seed = torch.randint(2**31, (batch_size,), generator=generator)
        low, high = self.width_range
        width_1 = low + (high - low) * first
        width_2 = low + ((width_1 if self.is_first_wider else high) - low) * second
        theta = math.pi * turn
        if self.is_isotropic:
            width_2, theta = width_1, torch.zeros_like(turn)
        noise = (self.config.noise * level).where(clean >= self.clean_rate, 0)
        is_unblurred = torch.zeros(batch_size, dtype=torch.bool)
        if self.config.unblurred:  # else not drawn, so that other draws stay as published
            is_unblurred = torch.rand(batch_size, generator=generator, dtype=torch.float64) < self.config.unblurred
        return GaussianParameters(self._variance(width_1), self._variance(width_2), theta, noise, seed, is_unblurred)

    def _variance(self, width: Width) -> Width:
        return width if self.widths_are_variances and not self.is_isotropic else width**2

    def parameters_of(
        self, test_kernels: Sequence[TestKernel], noise: float, seeds: Sequence[int]
    ) -> GaussianParameters:
        covariances = torch.tensor([kernel.covariance for kernel in test_kernels], dtype=torch.float64)
        variance_1, variance_2, theta = covariances.unbind(1)
        noises, is_unblurred = torch.full_like(theta, noise), [kernel.is_unblurred for kernel in test_kernels]
        return GaussianParameters(
            variance_1, variance_2, theta, noises, torch.tensor(seeds), torch.tensor(is_unblurred)
        )

    def kernels(self, variance_1: Tensor, variance_2: Tensor, theta: Tensor) -> Tensor:
        """Make (..., blur_kernel, blur_kernel) float32 kernels, placed as the convention does."""
        return gaussian_kernels(variance_1, variance_2, theta, size=self.config.blur_kernel, corner=-self.grid_shift)

    def kernels_of(self, parameters: GaussianParameters) -> Tensor:
        """Make the kernels (B, blur_kernel, blur_kernel) of B images, those without blur among them."""
        kernels = self.kernels(parameters.variance_1, parameters.variance_2, parameters.theta)
        if not parameters.is_unblurred.any():
            return kernels
        if self.downsampling == "bicubic":  # which follows; before it, no blur is a delta
            none = self.kernels(*torch.zeros(3, dtype=torch.float64))
        else:
            none = bicubic_kernel(self.config.scale, size=self.config.blur_kernel, corner=-self.grid_shift)
        return torch.where(parameters.is_unblurred[:, None, None], none, kernels)

    def known_degradation(self, parameters: GaussianParameters) -> KnownDegradation | None:
        return KnownDegradation(self.kernels_of(parameters), parameters.noise.float())

    def apply(self, hr: Tensor, parameters: GaussianParameters, noise_generator: Generators | None = None) -> Tensor:
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
        is_bicubic = self.downsampling == "bicubic"
        lr = self.blur(planes, parameters, stride=1 if is_bicubic else self.config.scale)
        if is_bicubic:
            lr = bicubic_downsample(lr, self.config.scale, edges="replicate")
        return lr.reshape(*hr.shape[:-2], *lr.shape[-2:])

    def blur(self, planes: Tensor, parameters: GaussianParameters, stride: int) -> Tensor:
        """Blur (B, M, H, W) and keep rows and columns 0, stride, 2*stride, ..."""
        kernels = self.kernels_of(parameters)
        return blur(planes, send(kernels, planes.device, planes.dtype), padding=self.padding, stride=stride)


def isotropic_kernel(sig: float) -> TestKernel:
    """A round kernel. sig: standard deviation in HR pixels."""
    return TestKernel(decimal(sig, 2), {"sig": sig}, sig**2, sig**2)


def decimal(value: float, digits: int = 1) -> str:
    """So many decimals, as in the published names; more only where the value has more."""
    return f"{value:.{digits}f}" if math.isclose(value, round(value, digits), abs_tol=1e-9) else f"{value:g}"
