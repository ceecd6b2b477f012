"""The options of a degradation, named as the flags of the command line, each checked by itself."""

import math
from dataclasses import asdict, dataclass
from typing import Any

BLUR_TYPES = ("aniso_gaussian", "iso_gaussian")
SAMPLE_MODES = ("s-fold", "bicubic")
SCALES = (1, 2, 3, 4)
SV_MODES = tuple(range(7))


@dataclass(frozen=True, kw_only=True)
class DegradationConfig:
    """Options of a degradation. None is the convention's own value. ValueError names the flag of a value out of range;
    what a convention cannot mean by them, its `Degradation` says.

    sig_min, sig_max, lambda_min, lambda_max: ranges of random kernels (training); None: the published ones.
    sig, or sig1, sig2 and theta, or lambda_1, lambda_2 and theta: one fixed kernel (tests), in the units of the
    convention (`data/degradation/cdsr.py`, `dasr.py`). theta is 0 where not given.
    noise: standard deviation in grey levels of 0 to 255; training draws from 0 to it.
    unblurred: share of training images that antialiased bicubic alone reduces.
    sv_mode: 0, or 1 to 6 for blur that varies over the image, and then no width is read.
    """

    degradation: str = "cdsr"
    scale: int = 2
    blur_kernel: int = 21
    blur_type: str = "aniso_gaussian"
    sample_mode: str | None = None
    noise: float = 0.0
    sig_min: float | None = None
    sig_max: float | None = None
    sig: float | None = None
    sig1: float | None = None
    sig2: float | None = None
    theta: float | None = None
    lambda_min: float | None = None
    lambda_max: float | None = None
    lambda_1: float | None = None
    lambda_2: float | None = None
    unblurred: float = 0.0
    sv_mode: int = 0

    def __post_init__(self) -> None:
        """Check every option."""
        choose("scale", self.scale, SCALES)
        choose("blur_type", self.blur_type, BLUR_TYPES)
        choose("sample_mode", self.sample_mode, (None, *SAMPLE_MODES))
        choose("sv_mode", self.sv_mode, SV_MODES)
        if self.blur_kernel % 2 == 0:
            raise ValueError(f"--blur_kernel {self.blur_kernel} is even: give an odd size, such as 21")
        if self.blur_kernel < self.scale:
            raise ValueError(f"--blur_kernel {self.blur_kernel}: give at least the scale, such as 21")
        if not 0 <= self.noise <= 255:
            raise ValueError(f"--noise {self.noise}: give a standard deviation between 0 and 255 grey levels")
        if not 0 <= self.unblurred <= 1:
            raise ValueError(f"--unblurred {self.unblurred}: give a share of the images, 0 to 1")
        for name, value in asdict(self).items():
            if name.startswith(("sig", "lambda")) and value is not None and not 0 <= value < math.inf:
                raise ValueError(f"--{name} {value}: a width is 0 or more")
        if self.theta is not None and not math.isfinite(self.theta):
            raise ValueError(f"--theta {self.theta}: give a finite angle")
        for low, high in (("sig_min", "sig_max"), ("lambda_min", "lambda_max")):
            smallest, largest = getattr(self, low), getattr(self, high)
            if smallest is not None and largest is not None and smallest > largest:
                raise ValueError(f"--{low} {smallest} is above --{high} {largest}")


def choose(name: str, value: Any, known: tuple[Any, ...]) -> None:
    """Raise a ValueError that lists what is known, where a value is not."""
    if value not in known:
        raise ValueError(f"--{name} {value}: choose one of {', '.join(str(one) for one in known if one is not None)}")
