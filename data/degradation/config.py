"""What a degradation is, in the words of the command line: two conventions that are never mixed.

`cdsr` (MANet's, used by the CDSR paper): the widths of anisotropic kernels (sig_min, sig_max, sig1, sig2) are
variances, theta is in radians, edges are replicated, and the kernel is centred for s-fold subsampling. Isotropic
widths are standard deviations. `dasr` (Wang et al., CVPR 2021): all widths (sig_min, sig_max, sig, lambda_*) are
standard deviations, theta is in degrees, edges are reflected, and downsampling is antialiased bicubic.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

DEGRADATIONS = ("cdsr", "dasr")
BLUR_TYPES = ("aniso_gaussian", "iso_gaussian")
SAMPLE_MODES = ("s-fold", "bicubic")
SCALES = (1, 2, 3, 4)
SV_MODES = tuple(range(7))


@dataclass(frozen=True, kw_only=True)
class DegradationConfig:
    """Options of a degradation, named as the flags. None is the convention's own value. ValueError for a
    contradiction.

    sig_min, sig_max, lambda_min, lambda_max: ranges of random kernels (training); None: the published ones
    (`width_range`).
    sig, or sig1, sig2 and theta, or lambda_1, lambda_2 and theta: one fixed kernel (tests). theta is 0 where not
    given.
    noise: standard deviation in grey levels of 0 to 255; training draws from 0 to it.
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
    sv_mode: int = 0

    def __post_init__(self) -> None:
        """Check every option, alone and together."""
        _choose("degradation", self.degradation, DEGRADATIONS)
        _choose("scale", self.scale, SCALES)
        _choose("blur_type", self.blur_type, BLUR_TYPES)
        _choose("sample_mode", self.downsampling, SAMPLE_MODES)
        _choose("sv_mode", self.sv_mode, SV_MODES)
        if self.blur_kernel % 2 == 0 or self.blur_kernel < self.scale:
            raise ValueError(f"blur_kernel is {self.blur_kernel}: give an odd size of at least the scale, such as 21")
        if not 0 <= self.noise <= 255:
            raise ValueError(f"noise is {self.noise}: give a standard deviation between 0 and 255 grey levels")
        for name, value in asdict(self).items():
            if name.startswith(("sig", "lambda")) and value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value}: a width is 0 or more")
        if self.theta is not None and not math.isfinite(self.theta):
            raise ValueError(f"theta is {self.theta}: give a finite angle")
        if self.sv_mode and (self.degradation != "cdsr" or self.downsampling != "s-fold"):
            raise ValueError(
                f"sv_mode {self.sv_mode} exists in degradation cdsr with sample_mode s-fold alone: "
                "change these two, or give sv_mode 0"
            )
        self._check_ranges()
        self._check_kernel()

    @property
    def downsampling(self) -> str:
        """The resolved sample_mode."""
        return self.sample_mode or ("s-fold" if self.degradation == "cdsr" else "bicubic")

    @property
    def is_variance(self) -> bool:
        """Whether the widths of anisotropic kernels are variances."""
        return self.degradation == "cdsr"

    @property
    def width_range(self) -> tuple[float, float]:
        """Range of random widths: of variances for cdsr's anisotropic kernels, of standard deviations else."""
        if self.blur_type == "aniso_gaussian":
            if self.degradation == "dasr":
                return _resolve(self.lambda_min, 0.2), _resolve(self.lambda_max, 4.0)
            return _resolve(self.sig_min, 0.175 * self.scale), _resolve(self.sig_max, 2.5 * self.scale)
        return _resolve(self.sig_min, 0.2), _resolve(self.sig_max, float(self.scale))

    @property
    def fixed_kernel(self) -> tuple[float, float, float] | None:
        """The one kernel that is given, as (variance_1, variance_2, theta in radians); None if none is."""
        if self.sig is not None:
            return self.sig**2, self.sig**2, 0.0
        theta = self.theta or 0.0
        if self.sig1 is not None and self.sig2 is not None:
            return self.sig1, self.sig2, theta
        if self.lambda_1 is not None and self.lambda_2 is not None:
            return self.lambda_1**2, self.lambda_2**2, math.radians(theta)
        return None

    def describe(self) -> dict[str, Any]:
        """Every option that was given or resolved, for JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None} | {
            "sample_mode": self.downsampling
        }

    def _check_ranges(self) -> None:
        for low, high in (("sig_min", "sig_max"), ("lambda_min", "lambda_max")):
            smallest, largest = getattr(self, low), getattr(self, high)
            if smallest is not None and largest is not None and smallest > largest:
                raise ValueError(f"{low} is {smallest} and {high} is {largest}: give a range from small to large")
        smallest, largest = self.width_range
        if smallest > largest:
            raise ValueError(f"random widths would range from {smallest:g} to {largest:g}: give both ends of the range")

    def _check_kernel(self) -> None:
        pairs = {"cdsr": ("sig1", "sig2"), "dasr": ("lambda_1", "lambda_2")}
        for convention, (first, second) in pairs.items():
            given = [name for name in (first, second) if getattr(self, name) is not None]
            if given and convention != self.degradation:
                own = " and ".join(pairs[self.degradation])
                raise ValueError(
                    f"{given[0]} is of degradation {convention}; for {self.degradation} give sig, or {own}"
                )
            if len(given) == 1:
                raise ValueError(f"{given[0]} is given alone: an anisotropic kernel takes {first} and {second}")
            if given and self.sig is not None:
                raise ValueError(f"sig and {given[0]} are two kernels: give sig alone, or {first} and {second}")


def _choose(name: str, value: Any, known: tuple[Any, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} is {value!r}: choose one of {', '.join(map(str, known))}")


def _resolve(value: float | None, default: float) -> float:
    return default if value is None else value
