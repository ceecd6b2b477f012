"""What real images go through: two rounds of blur, resizing, noise and JPEG, in random order and strength.

After BSRGAN (Zhang et al., ICCV 2021: random order, section 3.3) and Real-ESRGAN (Wang et al., ICCVW 2021: two rounds,
section 3.2). Numbers marked R are of Real-ESRGAN's section 4.1 and its published options for x4, B of BSRGAN's section
3, "ours" of neither.

Differs from both papers: a share of the images is clean; any blur, noise or JPEG may be left out, since images without
them exist; the second resizing goes to the size of the LR image at once; JPEG's blocks begin anywhere, as in an image
cut out of another; no sinc filter, no camera pipeline, no noise correlated between colours other than grey noise.
"""

import math
from dataclasses import dataclass

import numpy as np

from data.degradation.operations import (
    ANTIALIASED,
    METHODS,
    Blur,
    GaussianNoise,
    Jpeg,
    Noise,
    Operation,
    PoissonNoise,
    Resize,
)

Range = tuple[float, float]


@dataclass(frozen=True)
class Round:
    """What one round draws from. Widths and noise are in pixels and grey levels of the image as it then is."""

    sd: Range  # of the blur
    gaussian: Range  # standard deviation
    poisson: Range  # strength


def rounds(scale: int) -> tuple[Round, Round]:
    """Both rounds."""
    return (
        Round(sd=(0.1, 2.0 + 0.2 * scale), gaussian=(1.0, 30.0), poisson=(0.05, 3.0)),  # B: sd; R: noise
        Round(sd=(0.2, 1.5), gaussian=(1.0, 25.0), poisson=(0.05, 2.5)),  # R
    )


CLEAN_RATE = 0.1  # ours: antialiased bicubic downsampling and nothing else
BLUR_RATE = 0.5  # ours, in either round; R: always, then 0.8
SMALLEST_SIDE = 7  # R, B: kernels of 7 to 21 pixels a side (--blur_kernel), before `_trim`
ROUND_RATE = 0.69  # R: share of isotropic kernels, of all shapes together
SHAPE_RATES = {"gaussian": 0.7, "generalised": 0.15, "plateau": 0.15}  # R
EXPONENTS = {"generalised": (0.5, 4.0), "plateau": (1.0, 2.0)}  # R: half of them below 1, where the range begins there
UP_RATE, DOWN_RATE = 0.2, 0.7  # R: the first resizing; else the size stays
LARGEST_ZOOM = 1.5  # R
SMALLEST_ZOOM = 0.6  # R: 0.15 for x4, that is 0.6 of the LR image's size
NOISE_RATE = 0.5  # ours, in either round; R, B: always
POISSON_RATE = 0.5  # R: of the noise; the rest is Gaussian
GREY_RATE = 0.4  # R, B
NEGLIGIBLE = 1e-4  # ours: weight of a kernel's margin that is left out; OpenCV takes 5 times as long beyond 11 pixels
JPEG_RATE = 0.75  # B, for its first JPEG; the second is always there in both papers
JPEG_QUALITY = (30, 95)  # R, B
JPEG_GRID = 16  # pixels after which the blocks of 4:2:0 repeat


def draw_operations(generator: np.random.Generator, scale: int, largest_side: int) -> list[Operation]:
    """Draw all that happens to an image."""
    if generator.random() < CLEAN_RATE:
        return [Resize(scale, ANTIALIASED)]
    operations: list[Operation] = []
    for index, ranges in enumerate(rounds(scale)):
        shrink = scale if index else _first_shrink(generator, scale)
        method = str(generator.choice(list(METHODS)))
        # The second resizing is there at scale 1, too: the first may have left another size.
        own: list[Operation] = [Resize(shrink, method)] if index or shrink != 1 else []
        if generator.random() < BLUR_RATE:
            own.append(Blur(draw_kernel(generator, ranges.sd, largest_side)))
        if generator.random() < NOISE_RATE:
            own.append(_draw_noise(generator, ranges))
        operations += [own[place] for place in generator.permutation(len(own))]
        if generator.random() < JPEG_RATE:
            quality = int(generator.integers(JPEG_QUALITY[0], JPEG_QUALITY[1] + 1))
            top, left = generator.integers(JPEG_GRID, size=2).tolist()
            operations.append(Jpeg(quality, (top, left)))
    return operations


def _first_shrink(generator: np.random.Generator, scale: int) -> float:
    kind = generator.random()
    if kind < UP_RATE:
        return 1 / generator.uniform(1, LARGEST_ZOOM)
    return 1 / generator.uniform(SMALLEST_ZOOM / scale, 1) if kind < UP_RATE + DOWN_RATE else 1.0


def _draw_noise(generator: np.random.Generator, ranges: Round) -> Noise:
    is_grey = bool(generator.random() < GREY_RATE)
    if generator.random() < POISSON_RATE:
        return PoissonNoise(generator.uniform(*ranges.poisson), is_grey)
    return GaussianNoise(generator.uniform(*ranges.gaussian), is_grey)


def draw_kernel(generator: np.random.Generator, sd_range: Range, largest_side: int) -> np.ndarray:
    """Draw a kernel (k, k) float32 of sum 1: (generalised) Gaussian or plateau, isotropic or not (R, section 3.1)."""
    side = int(generator.choice(range(SMALLEST_SIDE, largest_side + 1, 2)))
    sd_x, sd_y = generator.uniform(*sd_range, size=2)
    if generator.random() < ROUND_RATE:
        sd_y = sd_x
    shape = str(generator.choice(list(SHAPE_RATES), p=list(SHAPE_RATES.values())))
    exponent = _draw_exponent(generator, shape)
    theta = generator.uniform(0, math.pi)
    y, x = np.mgrid[:side, :side] - side // 2
    along, across = x * math.cos(theta) + y * math.sin(theta), y * math.cos(theta) - x * math.sin(theta)
    distance = ((along / sd_x) ** 2 + (across / sd_y) ** 2) ** exponent
    kernel = _trim(1 / (1 + distance) if shape == "plateau" else np.exp(-0.5 * distance))
    return (kernel / kernel.sum()).astype(np.float32)


def _trim(kernel: np.ndarray) -> np.ndarray:
    """Leave out the margin of a kernel, alike on all sides, as long as it weighs next to nothing."""
    inner = kernel
    while len(inner) > 3 and inner[1:-1, 1:-1].sum() >= (1 - NEGLIGIBLE) * kernel.sum():
        inner = inner[1:-1, 1:-1]
    return inner


def _draw_exponent(generator: np.random.Generator, shape: str) -> float:
    if shape == "gaussian":
        return 1.0
    low, high = EXPONENTS[shape]
    return float(generator.uniform(low, 1) if generator.random() < 0.5 else generator.uniform(1, high))
