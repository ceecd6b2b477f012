"""The convention of the CDSR paper, which is MANet's.

The widths of anisotropic kernels (sig_min, sig_max, sig1, sig2) are variances, theta is in radians, and training draws
variance_1 ~ U(min, max) and variance_2 ~ U(min, variance_1).
"""

import math

from torch import Tensor

from data.degradation.base import TestKernel
from data.degradation.blur import blur_blocks, num_blocks
from data.degradation.gaussian import RANGES, GaussianDegradation, GaussianParameters, decimal
from data.degradation.kernels import block_covariances
from utils.device import send
from utils.known_degradation import KnownDegradation


def cdsr_kernel(sig1: float, sig2: float, theta: float) -> TestKernel:
    """An anisotropic kernel. sig1, sig2: variances in squared HR pixels; theta: radians."""
    kernel = {"sig1_variance": sig1, "sig2_variance": sig2, "theta_radians": theta}
    angle = "0.8" if theta == math.pi / 4 else decimal(theta)  # as published
    return TestKernel(f"{decimal(sig1)}_{decimal(sig2)}_{angle}", kernel, sig1, sig2, theta)


def variant_kernel(mode: int) -> TestKernel:
    """A spatially variant mode, 1 to 6."""
    return TestKernel(f"mode{mode}", {}, sv_mode=mode)


UNBLURRED = TestKernel("bicubic", {}, is_unblurred=True)


class CDSRDegradation(GaussianDegradation):
    """Edges are replicated, downsampling is s-fold, and the kernel is centred for it. Blur may vary over the image."""

    name = "cdsr"
    sample_mode = "s-fold"
    kernel_flags = (("sig1", "sig2"), ("sig",))
    range_flags = ("sig_min", "sig_max")
    default_protocol = "cdsr"
    is_spatially_variant = True
    padding = "replicate"
    clean_rate = 0.2
    widths_are_variances = True
    is_first_wider = True
    is_centred_for_s_fold = True
    anisotropic_kernel = staticmethod(cdsr_kernel)

    @property
    def published_range(self) -> tuple[float, float]:
        return 0.175 * self.config.scale, 2.5 * self.config.scale

    @property
    def unread_ranges(self) -> tuple[str, ...]:
        return RANGES if self.config.sv_mode else super().unread_ranges

    @property
    def fixed_kernel(self) -> TestKernel | None:
        return variant_kernel(self.config.sv_mode) if self.config.sv_mode else super().fixed_kernel

    def check(self) -> None:
        super().check()
        if self.config.sv_mode and self.downsampling != "s-fold":
            raise ValueError(
                f"--sv_mode {self.config.sv_mode} takes s-fold downsampling: give --sample_mode s-fold or --sv_mode 0"
            )

    def known_degradation(self, parameters: GaussianParameters) -> KnownDegradation | None:
        return None if self.config.sv_mode else super().known_degradation(parameters)

    def blur(self, planes: Tensor, parameters: GaussianParameters, stride: int) -> Tensor:
        if not self.config.sv_mode:
            return super().blur(planes, parameters, stride)
        rows, columns = (num_blocks(length) for length in planes.shape[-2:])
        covariances = block_covariances(
            self.config.sv_mode, scale=self.config.scale, rows=rows, columns=columns, seeds=parameters.seed
        )

        def kernels_of_row(row: int) -> Tensor:
            return send(self.kernels(*(values[:, row] for values in covariances)), planes.device, planes.dtype)

        return blur_blocks(planes, kernels_of_row, stride=stride)
