"""The options of a degradation, named as the flags of the command line, and the only checks of them."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from data.degradation.base import DEGRADATIONS, Degradation, create_degradation

BLUR_TYPES = ("aniso_gaussian", "iso_gaussian")
SAMPLE_MODES = ("s-fold", "bicubic")
SCALES = (1, 2, 3, 4)
SV_MODES = tuple(range(7))


@dataclass(frozen=True, kw_only=True)
class DegradationConfig:
    """Options of a degradation. None is the convention's own value. ValueError names the flags of a contradiction.

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
        """Check every option, alone and together."""
        _choose("degradation", self.degradation, tuple(DEGRADATIONS))
        _choose("scale", self.scale, SCALES)
        _choose("blur_type", self.blur_type, BLUR_TYPES)
        _choose("sample_mode", self.sample_mode, (None, *SAMPLE_MODES))
        _choose("sv_mode", self.sv_mode, SV_MODES)
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
        self._check_kernel()
        create_degradation(self).check()

    @property
    def downsampling(self) -> str:
        """The resolved sample_mode."""
        return self.sample_mode or DEGRADATIONS[self.degradation].sample_mode

    @property
    def kernel_choices(self) -> str:
        """The flags that name one fixed kernel, for a message."""
        return ", or ".join(map(_join, DEGRADATIONS[self.degradation].kernel_flags)) or "no kernel"

    def _check_kernel(self) -> None:
        own = DEGRADATIONS[self.degradation].kernel_flags
        for kind in DEGRADATIONS.values():
            for flags in kind.kernel_flags:
                if flags not in own and any(getattr(self, flag) is not None for flag in flags):
                    raise ValueError(
                        f"{_join(flags)} of degradation {kind.name}: {self.degradation} takes {self.kernel_choices}"
                    )
        chosen = [flags for flags in own if any(getattr(self, flag) is not None for flag in flags)]
        if len(chosen) > 1:
            raise ValueError(f"{_join(chosen[0])} as well as {_join(chosen[1])}: these are two kernels; give one")
        if chosen and any(getattr(self, flag) is None for flag in chosen[0]):
            raise ValueError(f"{_join(chosen[0])} go together: give both widths of the kernel")
        if chosen and self.sv_mode:
            raise ValueError(f"{_join(chosen[0])} as well as --sv_mode {self.sv_mode}: one kernel, or many; give one")
        if self.sig is not None and self.theta is not None:
            raise ValueError("--theta turns an anisotropic kernel, and that of --sig is round: leave it out")


def described_degradation(description: Mapping[str, Any]) -> Degradation | None:
    """Read what `Degradation.describe` said, as a checkpoint keeps it among other things; None where that is nothing.

    Raises:
        ValueError: there is no such degradation.
    """
    names = {field.name for field in fields(DegradationConfig)}
    known = {name: value for name, value in description.items() if name in names}
    try:
        return create_degradation(DegradationConfig(**known)) if "degradation" in known else None
    except TypeError as error:
        raise ValueError(str(error)) from error


def _choose(name: str, value: Any, known: tuple[Any, ...]) -> None:
    if value not in known:
        raise ValueError(f"--{name} {value}: choose one of {', '.join(str(one) for one in known if one is not None)}")


def _join(flags: tuple[str, ...]) -> str:
    return " and ".join(f"--{flag}" for flag in flags)
