"""The test protocols by name. A new one is an entry in `PROTOCOLS`.

`cdsr` and `cdsr-sv` are of the CDSR paper, `dasr-iso` and `dasr-aniso` of DASR's, `gaussian8` of IKC's,
`cdsr-unblurred` and `real` ours. A prepared set keeps the files of a protocol as follows; LABEL names the test kernel.

    Set5_x2/HR_si/NAME_LABEL.png  Set5_x2/LR_mode0_noise0/NAME_LABEL.png      cdsr, LABEL = σ1_σ2_θ such as 3.0_1.0_0.8
    Set5_x2/HR_sv/NAME.png        Set5_x2/LR_mode1_noise0/NAME.png            cdsr-sv, mode1 to mode5
    Set5_x2/HR/NAME.png           Set5_x2/LR_dasr-iso_noise0/NAME_LABEL.png   the others
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from operator import attrgetter

import numpy as np

from data.degradation import (
    CDSRDegradation,
    DASRDegradation,
    Degradation,
    DegradationConfig,
    RealDegradation,
    TestKernel,
    create_degradation,
)
from data.degradation.cdsr import UNBLURRED, cdsr_kernel, variant_kernel
from data.degradation.dasr import dasr_kernel
from data.degradation.gaussian import isotropic_kernel
from data.protocol import Layout, Protocol

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

NUM_REAL_DRAWS = 20
STRONG_BLUR, STRONG_NOISE, STRONG_JPEG = 1.0, 5.0, 70  # LR pixels, grey levels, quality
SEVERITIES = ("light", "medium", "heavy")  # none of the three is strong, one is, two or three are


def _cdsr_kernels(scale: int) -> list[TestKernel]:
    """Nine: every pair of variances along the axes, and where the two differ along the diagonal too."""
    widths = (1.0, 1.0 + scale, 1.0 + 2 * scale)
    pairs = [(sig1, sig2) for sig1 in widths for sig2 in widths if sig2 <= sig1]
    angles = {True: (0.0,), False: (0.0, math.pi / 4)}
    return [cdsr_kernel(sig1, sig2, theta) for sig1, sig2 in pairs for theta in angles[sig1 == sig2]]


def _gaussian8_kernels(scale: int) -> list[TestKernel]:
    smallest, largest = _of_scale(GAUSSIAN8_RANGES, scale)
    sigmas = np.linspace(smallest, largest, 8).tolist()
    return [replace(isotropic_kernel(sig), label=f"{sig:.2f}") for sig in sigmas]


def _real_kernels(scale: int) -> list[TestKernel]:
    """The first draws of the degradation; each as severe as it has strong blur, strong noise, strong compression."""
    degradation = RealDegradation(DegradationConfig(degradation="real", scale=scale))
    kernels = []
    for plan in range(NUM_REAL_DRAWS):
        effect = degradation.effect(plan)
        is_strong = effect.width >= STRONG_BLUR * scale, effect.noise >= STRONG_NOISE, effect.quality < STRONG_JPEG
        severity = SEVERITIES[min(sum(is_strong), 2)]
        told = {"plan": plan, "blur_deviation": effect.width, "noise": effect.noise, "jpeg_quality": effect.quality}
        kernels.append(TestKernel(f"{severity}{plan:02}", told, severity=severity))
    return sorted(kernels, key=lambda kernel: SEVERITIES.index(kernel.severity))


def _of_scale(widths: dict[int, tuple[float, ...]], scale: int) -> tuple[float, ...]:
    if scale not in widths:
        raise ValueError(f"this protocol has kernels for scales {', '.join(map(str, widths))}, not {scale}")
    return widths[scale]


@dataclass(frozen=True)
class Entry:
    """A protocol at any scale and noise level."""

    degradation: type[Degradation]
    test_kernels: Callable[[int], list[TestKernel]]  # of a scale
    layout: Layout = field(default_factory=Layout)
    single_kernels: Callable[[int], list[TestKernel]] = lambda scale: []  # those that flags may ask for one by one


PROTOCOLS: dict[str, Entry] = {
    "cdsr": Entry(
        CDSRDegradation,
        _cdsr_kernels,
        Layout("HR_si", has_mode_folders=True, has_hr_copies=True),
        single_kernels=_cdsr_kernels,
    ),
    "cdsr-sv": Entry(
        CDSRDegradation,
        lambda scale: [variant_kernel(mode) for mode in range(1, 6)],
        Layout("HR_sv", has_mode_folders=True),
        single_kernels=lambda scale: [variant_kernel(mode) for mode in range(1, 7)],
    ),
    "cdsr-unblurred": Entry(CDSRDegradation, lambda scale: [UNBLURRED]),
    "dasr-iso": Entry(DASRDegradation, lambda scale: [isotropic_kernel(sig) for sig in _of_scale(DASR_WIDTHS, scale)]),
    "gaussian8": Entry(DASRDegradation, _gaussian8_kernels),
    "dasr-aniso": Entry(DASRDegradation, lambda scale: [dasr_kernel(*kernel) for kernel in DASR_KERNELS]),
    "real": Entry(RealDegradation, _real_kernels),
}


def get_protocol(name: str, scale: int, noise: float = 0.0, sv_mode: int = 0) -> Protocol:
    """Build a protocol by name. sv_mode 1 to 6 asks for that mode of cdsr-sv alone. ValueError lists what exists."""
    if name not in PROTOCOLS:
        raise ValueError(f"--protocol {name}: choose one of {', '.join(PROTOCOLS)}")
    entry = PROTOCOLS[name]
    options = DegradationConfig(degradation=entry.degradation.name, scale=scale, noise=noise, sv_mode=sv_mode)
    config = create_degradation(options).config  # checked
    if sv_mode:
        if not entry.single_kernels(scale):
            raise ValueError(f"--sv_mode {sv_mode} is a mode of cdsr-sv, not of {name}: leave out one of the two")
        return protocol_of_kernel(config)
    return Protocol(name, config, tuple(entry.test_kernels(scale)), entry.layout)


def protocol_of_kernel(config: DegradationConfig) -> Protocol:
    """Build the protocol of the one kernel, or sv_mode, that flags name, with noise of exactly config.noise.

    A kernel of protocol cdsr, or a mode of cdsr-sv, is that protocol cut down to it, and prepared files are used;
    any other is `cdsr-kernel` or `dasr-kernel`, made on the fly. ValueError where config names no kernel.
    """
    degradation = create_degradation(config)
    test_kernel = degradation.fixed_kernel
    if test_kernel is None:
        raise ValueError(f"no kernel is given: give {degradation.kernel_choices}, or --protocol")
    sampling = attrgetter("name", "downsampling", "config.blur_kernel")
    for name, entry in PROTOCOLS.items():
        usual = create_degradation(DegradationConfig(degradation=entry.degradation.name, scale=config.scale))
        if sampling(degradation) == sampling(usual):
            for known in entry.single_kernels(config.scale):
                if _is_same(known, test_kernel):
                    return Protocol(name, config, (known,), entry.layout)
    return Protocol(f"{config.degradation}-kernel", config, (test_kernel,))


def _is_same(known: TestKernel, asked: TestKernel) -> bool:
    """Whether two kernels are one, but for rounding: --theta 0.785 means pi/4."""
    return known.sv_mode == asked.sv_mode and np.allclose(known.covariance, asked.covariance, rtol=0, atol=1e-3)
