"""The convention of DASR (Wang et al., CVPR 2021).

All widths (sig_min, sig_max, sig, lambda_*) are standard deviations, drawn independently, and theta is in degrees.
"""

import math

from data.degradation.base import TestKernel
from data.degradation.gaussian import GaussianDegradation, decimal


def dasr_kernel(lambda_1: float, lambda_2: float, degrees: float) -> TestKernel:
    """An anisotropic kernel. lambda_1, lambda_2: standard deviations in HR pixels."""
    kernel = {"lambda_1": lambda_1, "lambda_2": lambda_2, "theta_degrees": degrees}
    label = f"{decimal(lambda_1)}_{decimal(lambda_2)}_{decimal(degrees)}"
    return TestKernel(label, kernel, lambda_1**2, lambda_2**2, math.radians(degrees))


class DASRDegradation(GaussianDegradation):
    """Edges are reflected, and downsampling is antialiased bicubic."""

    name = "dasr"
    sample_mode = "bicubic"
    kernel_flags = (("lambda_1", "lambda_2"), ("sig",))
    range_flags = ("lambda_min", "lambda_max")
    baseline = "bicubic_matlab"
    padding = "reflect"
    published_range = (0.2, 4.0)
    anisotropic_kernel = staticmethod(dasr_kernel)

    @property
    def default_protocol(self) -> str:
        return "dasr-iso" if self.is_isotropic else "dasr-aniso"
