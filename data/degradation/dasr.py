"""The convention of DASR (Wang et al., CVPR 2021).

All widths (sig_min, sig_max, sig, lambda_*) are standard deviations and theta is in degrees. Edges are reflected, and
downsampling is antialiased bicubic.
"""

import math

from torch import Tensor

from data.degradation.base import TestKernel
from data.degradation.gaussian import GaussianDegradation, decimal, given, isotropic_kernel


class DASRDegradation(GaussianDegradation):
    """Anisotropic standard deviations of 0.2 to 4, drawn independently."""

    name = "dasr"
    sample_mode = "bicubic"
    kernel_flags = (("lambda_1", "lambda_2"), ("sig",))
    has_matlab_baseline = True
    padding = "reflect"

    @property
    def default_protocol(self) -> str:
        """The paper has one for each type of blur."""
        return "dasr-iso" if self.is_isotropic else "dasr-aniso"

    @property
    def anisotropic_range(self) -> tuple[float, float]:
        """Of standard deviations."""
        return given(self.config.lambda_min, 0.2), given(self.config.lambda_max, 4.0)

    def variance(self, width: float) -> float:
        """A width is a standard deviation."""
        return width**2

    def draw_variances(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Standard deviations, each ~ U(min, max)."""
        low, high = self.anisotropic_range
        return (low + (high - low) * first) ** 2, (low + (high - low) * second) ** 2

    @property
    def fixed_kernel(self) -> TestKernel | None:
        """Of sig, or of lambda_1, lambda_2 and theta."""
        config = self.config
        if config.sig is not None:
            return isotropic_kernel(config.sig)
        if config.lambda_1 is None or config.lambda_2 is None:
            return None
        return dasr_kernel(config.lambda_1, config.lambda_2, config.theta or 0.0)


def dasr_kernel(lambda_1: float, lambda_2: float, degrees: float) -> TestKernel:
    """An anisotropic kernel. lambda_1, lambda_2: standard deviations in HR pixels."""
    kernel = {"lambda_1": lambda_1, "lambda_2": lambda_2, "theta_degrees": degrees}
    label = f"{decimal(lambda_1)}_{decimal(lambda_2)}_{decimal(degrees)}"
    return TestKernel(label, kernel, lambda_1**2, lambda_2**2, math.radians(degrees))
