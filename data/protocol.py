"""What a test protocol is: its kernels, its noise, and the layout of its files. `data/protocols.py` has all of them.

The noise of a test kernel, and the kernels of sv_mode 5, come from a seed made of the image's name and the label, so
that a set prepared today and one degraded on the fly tomorrow have the same pixels.
"""

import hashlib
import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from data.degradation import Degradation, DegradationConfig, TestKernel, create_degradation
from utils.image import to_tensor, to_uint8
from utils.known_degradation import KnownDegradation

NOISE_SEED = 0
KERNELS_TOGETHER = 5  # their 15 colour planes fill a vector of 16; nine took twice as long, one at a time as well


@dataclass(frozen=True)
class Layout:
    """How the files of a prepared set are named."""

    hr_folder: str = "HR"
    has_mode_folders: bool = False  # LR_modeM_noiseN as published, or else LR_PROTOCOL_noiseN
    has_hr_copies: bool = False  # an HR image for each LR one, or else one for all of them


@dataclass(frozen=True)
class Protocol:
    """The test kernels of a protocol at one scale and noise level. `degrade` makes their LR images."""

    name: str
    config: DegradationConfig  # noise is exactly config.noise
    test_kernels: tuple[TestKernel, ...]
    layout: Layout = Layout()
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

    @property
    def severities(self) -> dict[str, str]:
        """Of the test kernels, by label, from the least severe on; each "" where the protocol tells none apart."""
        return {test_kernel.label: test_kernel.severity for test_kernel in self.test_kernels}

    def degradation(self, sv_mode: int = 0) -> Degradation:
        """What degrades the images of test kernels of this sv_mode."""
        return create_degradation(replace(self.config, sv_mode=sv_mode))

    def known_degradation(self, test_kernel: TestKernel) -> KnownDegradation | None:
        """What a model may be told of any image under a test kernel; None where no one kernel says it."""
        degradation = self.degradation(test_kernel.sv_mode)
        return degradation.known_degradation(degradation.parameters_of([test_kernel], self.noise, [0]))

    def seed(self, image: str, test_kernel: TestKernel) -> int:
        """Seed of the randomness of a test kernel of an image, the same on every machine."""
        digest = hashlib.sha256(f"{self.noise_seed}/{image}/{test_kernel.label}".encode()).digest()
        return int.from_bytes(digest[:6], "big")

    def degrade(self, image: str, hr: np.ndarray) -> list[np.ndarray]:
        """LR of each test kernel, (H/s, W/s, 3) uint8, from hr (H, W, 3) uint8 cropped by `crop`; always on the CPU.

        A few test kernels are degraded at a time; each then draws noise from a generator of its own. Images stay in
        float32, also under the autocast of a network that is tested.
        """
        results: list[np.ndarray] = []
        for sv_mode, alike in itertools.groupby(self.test_kernels, lambda test_kernel: test_kernel.sv_mode):
            degradation, test_kernels = self.degradation(sv_mode), list(alike)
            for i in range(0, len(test_kernels), KERNELS_TOGETHER):
                together = test_kernels[i : i + KERNELS_TOGETHER]
                seeds = [self.seed(image, test_kernel) for test_kernel in together]
                batch = to_tensor(hr).expand(len(together), -1, -1, -1)  # (test kernels, 3, H, W)
                generators = [torch.Generator().manual_seed(seed) for seed in seeds]
                parameters = degradation.parameters_of(together, self.noise, seeds)
                with torch.autocast("cpu", enabled=False):
                    results += map(to_uint8, degradation.apply(batch, parameters, generators))
        return results

    def crop(self, hr: np.ndarray) -> np.ndarray:
        """Upper-left part of (H, W, 3) whose sides are multiples of the scale."""
        height, width = (length // self.scale * self.scale for length in hr.shape[:2])
        return hr[:height, :width]

    def lr_folder(self, test_kernel: TestKernel) -> str:
        """Folder of LR images in a prepared set."""
        family = f"mode{test_kernel.sv_mode}" if self.layout.has_mode_folders else self.name
        return f"LR_{family}_noise{self.noise:g}"

    def lr_stem(self, image: str, test_kernel: TestKernel) -> str:
        """File name, without its suffix, of an LR image in a prepared set."""
        return image if test_kernel.sv_mode else f"{image}_{test_kernel.label}"

    def hr_stem(self, image: str, test_kernel: TestKernel) -> str:
        """File name, without its suffix, of its HR image."""
        return self.lr_stem(image, test_kernel) if self.layout.has_hr_copies else image

    def image_of(self, stem: str, test_kernel: TestKernel, hr: bool = False) -> str | None:
        """Name of the image in a file name of this test kernel, made by `lr_stem` or `hr_stem`; None for another."""
        suffix = self.hr_stem("", test_kernel) if hr else self.lr_stem("", test_kernel)
        return stem.removesuffix(suffix) if stem.endswith(suffix) and stem != suffix else None

    def describe(self) -> dict[str, Any]:
        """Everything that makes the LR images, for JSON."""
        config = self.config
        return {
            "protocol": self.name,
            "degradation": config.degradation,
            "scale": self.scale,
            "noise": self.noise,
            "noise_seed": self.noise_seed,
            "sample_mode": self.degradation().downsampling,
            "blur_kernel": config.blur_kernel,
            "hr": "upper-left crop to a multiple of the scale",
            "test_kernels": [
                {"label": test_kernel.label, "sv_mode": test_kernel.sv_mode, **test_kernel.kernel}
                for test_kernel in self.test_kernels
            ],
        }
