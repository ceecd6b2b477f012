"""The convention of the CDSR paper, which is MANet's.

The widths of anisotropic kernels (sig_min, sig_max, sig1, sig2) are variances and theta is in radians. Edges are
replicated, downsampling is s-fold, and the kernel is centred for it. Blur may vary over the image (sv_mode). A fifth
of the training images has no noise.
"""

import math

from torch import Tensor

from data.degradation.base import TestKernel
from data.degradation.blur import blur_blocks, num_blocks
from data.degradation.gaussian import GaussianDegradation, GaussianParameters, decimal, given, isotropic_kernel
from data.degradation.kernels import block_covariances
from utils.device import send
from utils.known_degradation import KnownDegradation


class CDSRDegradation(GaussianDegradation):
    """Anisotropic variances of 0.175 s to 2.5 s at scale s, the second never above the first."""

    name = "cdsr"
    sample_mode = "s-fold"
    kernel_flags = (("sig1", "sig2"), ("sig",))
    is_spatially_variant = True
    default_protocol = "cdsr"
    padding = "replicate"
    clean_rate = 0.2

    @property
    def corner(self) -> int:
        """Centre the kernel on the s-fold grid; another grid needs a centred kernel."""
        return self.config.scale - 1 if self.config.downsampling == "s-fold" else 0

    @property
    def anisotropic_range(self) -> tuple[float, float]:
        """Of variances."""
        scale = self.config.scale
        return given(self.config.sig_min, 0.175 * scale), given(self.config.sig_max, 2.5 * scale)

    def variance(self, width: float) -> float:
        """A width is a variance."""
        return width

    def draw_variances(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """variance_1 ~ U(min, max), variance_2 ~ U(min, variance_1)."""
        low, high = self.anisotropic_range
        variance_1 = low + (high - low) * first
        return variance_1, low + (variance_1 - low) * second

    @property
    def fixed_kernel(self) -> TestKernel | None:
        """Of sv_mode; else of sig; else of sig1, sig2 and theta."""
        config = self.config
        if config.sv_mode:
            return variant_kernel(config.sv_mode)
        if config.sig is not None:
            return isotropic_kernel(config.sig)
        if config.sig1 is None or config.sig2 is None:
            return None
        return cdsr_kernel(config.sig1, config.sig2, config.theta or 0.0)

    def check(self) -> None:
        """Refuse spatially variant blur with bicubic downsampling, too."""
        super().check()
        if self.config.sv_mode and self.config.downsampling != "s-fold":
            raise ValueError(
                f"--sv_mode {self.config.sv_mode} takes s-fold downsampling: give --sample_mode s-fold or --sv_mode 0"
            )

    def known_degradation(self, parameters: GaussianParameters) -> KnownDegradation | None:
        """Kernels and noise levels; None where the blur varies over the image."""
        return None if self.config.sv_mode else super().known_degradation(parameters)

    def blur(self, planes: Tensor, parameters: GaussianParameters, stride: int) -> Tensor:
        """Blur by one kernel an image, or by one a block where the blur varies."""
        if not self.config.sv_mode:
            return super().blur(planes, parameters, stride)
        rows, columns = (num_blocks(length) for length in planes.shape[-2:])
        covariances = block_covariances(
            self.config.sv_mode, scale=self.config.scale, rows=rows, columns=columns, seeds=parameters.seed
        )

        def kernels_of_row(row: int) -> Tensor:
            return send(self.kernels(*(values[:, row] for values in covariances)), planes.device, planes.dtype)

        return blur_blocks(planes, kernels_of_row, stride=stride)


def cdsr_kernel(sig1: float, sig2: float, theta: float) -> TestKernel:
    """An anisotropic kernel. sig1, sig2: variances in squared HR pixels; theta: radians."""
    kernel = {"sig1_variance": sig1, "sig2_variance": sig2, "theta_radians": theta}
    angle = "0.8" if theta == math.pi / 4 else decimal(theta)  # as published
    return TestKernel(f"{decimal(sig1)}_{decimal(sig2)}_{angle}", kernel, sig1, sig2, theta)


def variant_kernel(mode: int) -> TestKernel:
    """A spatially variant mode, 1 to 6."""
    return TestKernel(f"mode{mode}", {}, sv_mode=mode)
