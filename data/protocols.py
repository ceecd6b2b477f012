"""Named test protocols: which kernels, which noise, which files.

`cdsr` and `cdsr-sv` are of the CDSR paper, `dasr-iso` and `dasr-aniso` of DASR's, `gaussian8` of IKC's. A prepared
set keeps the files of a protocol as follows; LABEL names the test kernel.

    Set5_x2/HR_si/NAME_LABEL.png  Set5_x2/LR_mode0_noise0/NAME_LABEL.png      cdsr, LABEL = σ1_σ2_θ such as 3.0_1.0_0.8
    Set5_x2/HR_sv/NAME.png        Set5_x2/LR_mode1_noise0/NAME.png            cdsr-sv, mode1 to mode5
    Set5_x2/HR/NAME.png           Set5_x2/LR_dasr-iso_noise0/NAME_LABEL.png   the others

The noise of a test kernel, and the kernels of sv_mode 5, come from a seed made of the image's name and the label, so
that a set prepared today and one degraded on the fly tomorrow have the same pixels.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from data.degradation import Degradation, DegradationConfig, Parameters
from utils.image import to_tensor, to_uint8
from utils.known_degradation import KnownDegradation

NOISE_SEED = 0
CASES_TOGETHER = 5  # their 15 colour planes fill a vector of 16; nine took twice as long, one at a time as well

DASR_WIDTHS: dict[int, tuple[float, ...]] = {
    2: (0.0, 0.6, 1.2, 1.8),
    3: (0.0, 0.8, 1.6, 2.4),
    4: (0.0, 1.2, 2.4, 3.6),
}  # standard deviations
GAUSSIAN8_RANGES: dict[int, tuple[float, ...]] = {2: (0.80, 1.60), 3: (1.35, 2.40), 4: (1.80, 3.20)}
DASR_KERNELS = (  # lambda_1, lambda_2 (standard deviations), theta in degrees
    (2.0, 0.2, 0.0),
    (2.0, 1.0, 10.0),
    (3.5, 1.5, 30.0),
    (3.5, 2.0, 45.0),
    (3.5, 2.0, 90.0),
    (4.0, 1.5, 120.0),
    (4.0, 2.0, 135.0),
    (4.0, 3.0, 165.0),
    (4.0, 4.0, 180.0),
)


@dataclass(frozen=True)
class TestKernel:
    """One degradation of a protocol: its label in file names, its kernel in the convention's units, and its sv_mode."""

    label: str
    kernel: dict[str, float]
    variance_1: float = 0.0
    variance_2: float = 0.0
    theta: float = 0.0  # radians
    sv_mode: int = 0

    @property
    def covariance(self) -> tuple[float, float, float]:
        """Eigenvalues and angle."""
        return self.variance_1, self.variance_2, self.theta


@dataclass(frozen=True)
class Protocol:
    """The test kernels of a protocol at one scale and noise level. `degrade` makes their LR images."""

    name: str
    config: DegradationConfig  # noise is exactly config.noise
    test_kernels: tuple[TestKernel, ...]
    noise_seed: int = NOISE_SEED

    @property
    def scale(self) -> int:
        """HR size over LR size."""
        return self.config.scale

    @property
    def noise(self) -> float:
        """Standard deviation in grey levels."""
        return self.config.noise

    @property
    def slug(self) -> str:
        """Short name for files: the protocol, the kernel where there is one alone, the noise level."""
        kernel = f"_{self.test_kernels[0].label}" if len(self.test_kernels) == 1 else ""
        return f"{self.name}{kernel}_noise{self.noise:g}"

    def parameters(self, image: str, test_kernel: TestKernel) -> Parameters:
        """What `Degradation.apply` takes for a case of an image."""
        return Parameters.of(*test_kernel.covariance, noise=self.noise, seed=self.seed(image, test_kernel))

    def known_degradation(self, test_kernel: TestKernel) -> KnownDegradation | None:
        """What a model may be told of any image under a case; None where the blur varies over the image."""
        degradation = Degradation(replace(self.config, sv_mode=test_kernel.sv_mode))
        return degradation.known_degradation(Parameters.of(*test_kernel.covariance, noise=self.noise))

    def seed(self, image: str, test_kernel: TestKernel) -> int:
        """Seed of the randomness of a case of an image, the same on every machine."""
        digest = hashlib.sha256(f"{self.noise_seed}/{image}/{test_kernel.label}".encode()).digest()
        return int.from_bytes(digest[:6], "big")

    def degrade(self, image: str, hr: np.ndarray) -> list[np.ndarray]:
        """LR of each test kernel, (H/s, W/s, 3) uint8, from hr (H, W, 3) uint8 cropped by `crop`; always on the CPU.

        A few test kernels are degraded at a time; each then draws noise from a generator of its own.
        """
        lr: dict[str, np.ndarray] = {}
        for sv_mode in dict.fromkeys(test_kernel.sv_mode for test_kernel in self.test_kernels):
            degradation = Degradation(replace(self.config, sv_mode=sv_mode))
            alike = [test_kernel for test_kernel in self.test_kernels if test_kernel.sv_mode == sv_mode]
            for test_kernels in (alike[i : i + CASES_TOGETHER] for i in range(0, len(alike), CASES_TOGETHER)):
                parts = [self.parameters(image, test_kernel) for test_kernel in test_kernels]
                batch = to_tensor(hr).expand(len(parts), -1, -1, -1)  # (test kernels, 3, H, W)
                clean = degradation.blur_and_downsample(batch, Parameters.cat(parts))
                for i, (test_kernel, part) in enumerate(zip(test_kernels, parts, strict=True)):
                    generator = torch.Generator().manual_seed(int(part.seed))
                    lr[test_kernel.label] = to_uint8(degradation.finish(clean[i : i + 1], part, generator)[0])
        return [lr[test_kernel.label] for test_kernel in self.test_kernels]

    def crop(self, hr: np.ndarray) -> np.ndarray:
        """Upper-left part of (H, W, 3) whose sides are multiples of the scale."""
        height, width = (length // self.scale * self.scale for length in hr.shape[:2])
        return hr[:height, :width]

    def lr_folder(self, test_kernel: TestKernel) -> str:
        """Folder of LR images in a prepared set."""
        family = f"mode{test_kernel.sv_mode}" if self.name in ("cdsr", "cdsr-sv") else self.name
        return f"LR_{family}_noise{self.noise:g}"

    @property
    def hr_folder(self) -> str:
        """Folder of HR images in a prepared set."""
        return {"cdsr": "HR_si", "cdsr-sv": "HR_sv"}.get(self.name, "HR")

    def lr_stem(self, image: str, test_kernel: TestKernel) -> str:
        """File name, without its suffix, of an LR image in a prepared set."""
        return image if test_kernel.sv_mode else f"{image}_{test_kernel.label}"

    def hr_stem(self, image: str, test_kernel: TestKernel) -> str:
        """File name, without its suffix, of its HR image: one per LR in the published layout, one for all else."""
        return self.lr_stem(image, test_kernel) if self.hr_folder == "HR_si" else image

    def image_of(self, stem: str, test_kernel: TestKernel, hr: bool = False) -> str | None:
        """Name of the image in a file name made by `lr_stem` (or `hr_stem`) for this case; None for another file."""
        suffix = self.hr_stem("", test_kernel) if hr else self.lr_stem("", test_kernel)
        return stem.removesuffix(suffix) if stem.endswith(suffix) and stem != suffix else None

    @property
    def min_lr_side(self) -> int:
        """LR pixels that a side of an image needs, since to reflect its edges takes more than the kernel's radius."""
        return self.config.blur_kernel // 2 // self.scale + 1 if self.config.degradation == "dasr" else 1

    def describe(self) -> dict[str, Any]:
        """Everything that makes the LR images, for JSON."""
        config = self.config
        return {
            "protocol": self.name,
            "degradation": config.degradation,
            "scale": self.scale,
            "noise": self.noise,
            "noise_seed": self.noise_seed,
            "sample_mode": config.downsampling,
            "blur_kernel": config.blur_kernel,
            "hr": "upper-left crop to a multiple of the scale",
            "test_kernels": [
                {"label": test_kernel.label, "sv_mode": test_kernel.sv_mode, **test_kernel.kernel}
                for test_kernel in self.test_kernels
            ],
        }


def _cdsr_kernels(scale: int) -> list[TestKernel]:
    """Nine: every pair of variances along the axes, and where the two differ along the diagonal too."""
    widths = (1.0, 1.0 + scale, 1.0 + 2 * scale)
    pairs = [(sig1, sig2) for sig1 in widths for sig2 in widths if sig2 <= sig1]
    angles = {True: (0.0,), False: (0.0, math.pi / 4)}
    return [_cdsr_kernel(sig1, sig2, theta) for sig1, sig2 in pairs for theta in angles[sig1 == sig2]]


def _sv_kernels(scale: int) -> list[TestKernel]:
    return [_sv_kernel(mode) for mode in range(1, 6)]


def _dasr_iso_kernels(scale: int) -> list[TestKernel]:
    return [_iso_kernel(sig) for sig in _of_scale(DASR_WIDTHS, scale)]


def _gaussian8_kernels(scale: int) -> list[TestKernel]:
    smallest, largest = _of_scale(GAUSSIAN8_RANGES, scale)
    return [_iso_kernel(sig) for sig in np.linspace(smallest, largest, 8).tolist()]


def _dasr_aniso_kernels(scale: int) -> list[TestKernel]:
    return [_dasr_kernel(*kernel) for kernel in DASR_KERNELS]


_REGISTRY: dict[str, tuple[str, Callable[[int], list[TestKernel]]]] = {  # name: (convention, test kernels at a scale)
    "cdsr": ("cdsr", _cdsr_kernels),
    "cdsr-sv": ("cdsr", _sv_kernels),
    "dasr-iso": ("dasr", _dasr_iso_kernels),
    "gaussian8": ("dasr", _gaussian8_kernels),
    "dasr-aniso": ("dasr", _dasr_aniso_kernels),
}
PROTOCOLS = tuple(_REGISTRY)


def get_protocol(name: str, scale: int, noise: float = 0.0, sv_mode: int = 0) -> Protocol:
    """Build a protocol by name. sv_mode 1 to 6 asks for that mode of cdsr-sv alone. ValueError lists what exists."""
    if name not in _REGISTRY:
        raise ValueError(f"unknown protocol {name!r}: choose one of {', '.join(PROTOCOLS)}")
    convention, make_kernels = _REGISTRY[name]
    if sv_mode and convention != "cdsr":
        raise ValueError(f"protocol {name} has no sv_mode {sv_mode}: leave it out, or choose cdsr-sv")
    config = DegradationConfig(degradation=convention, scale=scale, noise=noise, sv_mode=sv_mode)
    if sv_mode:
        return Protocol("cdsr-sv", config, (_sv_kernel(sv_mode),))
    return Protocol(name, config, tuple(make_kernels(scale)))


def protocol_of_kernel(config: DegradationConfig) -> Protocol:
    """Build the protocol of the one kernel, or sv_mode, that flags name, with noise of exactly config.noise.

    A kernel of protocol cdsr, or a mode of cdsr-sv, is that protocol cut down to it, and prepared files are used;
    any other is `cdsr-kernel` or `dasr-kernel`, made on the fly. ValueError where config names no kernel.
    """
    if not config.sv_mode and config.fixed_kernel is None:
        own = "sig1, sig2 (variances) and theta (radians)"
        if config.degradation == "dasr":
            own = "lambda_1, lambda_2 (standard deviations) and theta (degrees)"
        raise ValueError(f"no kernel is given: give sig (a standard deviation), or {own}, or a protocol by name")
    if config.sv_mode:
        test_kernel = _sv_kernel(config.sv_mode)
    elif config.sig is not None:
        test_kernel = _iso_kernel(config.sig)
    elif config.degradation == "cdsr":
        test_kernel = _cdsr_kernel(config.sig1 or 0.0, config.sig2 or 0.0, config.theta or 0.0)
    else:
        test_kernel = _dasr_kernel(config.lambda_1 or 0.0, config.lambda_2 or 0.0, config.theta or 0.0)
    if (config.degradation, config.downsampling, config.blur_kernel) == ("cdsr", "s-fold", 21):
        if config.sv_mode:
            return Protocol("cdsr-sv", config, (test_kernel,))
        for known in _cdsr_kernels(config.scale):
            if np.allclose(known.covariance, test_kernel.covariance, rtol=0, atol=1e-3):  # --theta 0.785 means pi/4
                return Protocol("cdsr", config, (known,))
    return Protocol(f"{config.degradation}-kernel", config, (test_kernel,))


def _of_scale(widths: dict[int, tuple[float, ...]], scale: int) -> tuple[float, ...]:
    if scale not in widths:
        raise ValueError(f"this protocol has kernels for scales {', '.join(map(str, widths))}, not {scale}")
    return widths[scale]


def _sv_kernel(mode: int) -> TestKernel:
    return TestKernel(f"mode{mode}", {}, sv_mode=mode)


def _cdsr_kernel(sig1: float, sig2: float, theta: float) -> TestKernel:
    kernel = {"sig1_variance": sig1, "sig2_variance": sig2, "theta_radians": theta}
    angle = "0.8" if theta == math.pi / 4 else _decimal(theta)  # as published
    return TestKernel(f"{_decimal(sig1)}_{_decimal(sig2)}_{angle}", kernel, sig1, sig2, theta)


def _dasr_kernel(lambda_1: float, lambda_2: float, degrees: float) -> TestKernel:
    kernel = {"lambda_1": lambda_1, "lambda_2": lambda_2, "theta_degrees": degrees}
    label = f"{_decimal(lambda_1)}_{_decimal(lambda_2)}_{_decimal(degrees)}"
    return TestKernel(label, kernel, lambda_1**2, lambda_2**2, math.radians(degrees))


def _iso_kernel(sig: float) -> TestKernel:
    return TestKernel(f"{sig:.2f}", {"sig": sig}, sig**2, sig**2)


def _decimal(value: float) -> str:
    """One decimal, as in the published names; more only where the value has more."""
    return f"{value:.1f}" if math.isclose(value, round(value, 1), abs_tol=1e-9) else f"{value:g}"
