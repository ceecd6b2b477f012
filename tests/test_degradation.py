"""Degradations: against the published pipelines' results, identities, numbers worked out by hand, slow references."""

import math
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import multivariate_normal

from data.degradation import (
    DEGRADATIONS,
    Degradation,
    DegradationConfig,
    Parameters,
    TestKernel,
    create_degradation,
    register,
)
from data.degradation.blur import BLOCK, blur
from data.degradation.downsample import bicubic_downsample, bicubic_matrix
from data.degradation.gaussian import GaussianDegradation, GaussianParameters
from data.degradation.kernels import bicubic_kernel, gaussian_kernels
from data.mismatch import mismatches
from data.pairs import PairDegradation
from data.protocols import PROTOCOLS, Entry, get_protocol
from data.sources import open_source
from data.test_sets import PlainTestset
from data.validation import ValidationSet
from model.degradation_head import kernel_covariance
from utils.image import write_image


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(256, shape, generator=seeded(seed)).float()


def gaussian(**options: Any) -> GaussianDegradation:
    degradation = create_degradation(DegradationConfig(**options))
    assert isinstance(degradation, GaussianDegradation)
    return degradation


def rows_of(variance_1: float, variance_2: float, theta: float, seeds: Sequence[int] = (0,)) -> GaussianParameters:
    """One noise-free kernel, for as many images as there are seeds."""
    kernel = TestKernel("", {}, variance_1, variance_2, theta)
    return gaussian().parameters_of([kernel] * len(seeds), noise=0, seeds=seeds)


# Against what the published code gives


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("x2_s1=1_s2=1_theta=0.000000", (1, 1, 0)),
        ("x2_s1=3_s2=1_theta=0.785398", (3, 1, math.pi / 4)),
        ("x2_s1=5_s2=1_theta=0.785398", (5, 1, math.pi / 4)),
        ("iso_x2_sig=1.6", (1.6**2, 1.6**2, 0)),
    ],
)
def test_cdsr_gives_the_published_kernels_and_images(assets, name, parameters):
    published = np.load(assets / "degradation.npz")
    check_published(published["hr_x2"], published[f"kernel_{name}"], published[f"lr_{name}"], parameters, scale=2)


@pytest.mark.parametrize(
    ("name", "scale", "parameters"),
    [
        ("iso_x2_sig=1.2", 2, (1.2**2, 1.2**2, 0)),
        ("aniso_x4_l1=3.5_l2=1.5_theta=30", 4, (3.5**2, 1.5**2, math.radians(30))),
    ],
)
def test_dasr_gives_the_published_kernels_and_images(assets, name, scale, parameters):
    published = np.load(assets / "degradation_dasr.npz")
    hr, kernel, lr = published[f"hr_x{scale}"], published[f"kernel_{name}"], published[f"lr_{name}"]
    check_published(hr, kernel, lr, parameters, degradation="dasr", scale=scale)


def check_published(hr, kernel, lr, parameters, **options):
    degradation = gaussian(**options)
    row = rows_of(*parameters)
    ours = degradation.kernels(row.variance_1, row.variance_2, row.theta)[0].numpy()
    np.testing.assert_allclose(ours, kernel, rtol=0, atol=1e-6)
    check_images(degradation.apply(to_batch(hr), row), lr)


@pytest.mark.parametrize("mode", [1, 4])
def test_spatially_variant_blur_gives_the_published_images(assets, mode):
    published = np.load(assets / "degradation.npz")
    degradation = gaussian(scale=2, sv_mode=mode)
    check_images(degradation.apply(to_batch(published["hr_x2"]), rows_of(0, 0, 0)), published[f"lr_sv{mode}_x2"])


def to_batch(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float()


def check_images(ours: torch.Tensor, published: np.ndarray):
    difference = np.abs(ours[0].permute(1, 2, 0).numpy() - published)
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.999


# Kernels


@pytest.mark.parametrize("corner", [0, 1, 2, 3])
def test_kernels_sum_to_one_and_are_the_density_of_a_gaussian(corner):
    variance_1, variance_2, theta = 5.0, 0.8, 1.1
    one = torch.ones(1)
    kernel = gaussian_kernels(variance_1 * one, variance_2 * one, theta * one, size=21, corner=corner)[0].numpy()
    drawn = 21 - corner
    y, x = np.mgrid[:drawn, :drawn] - (drawn - 1) / 2
    turn = np.array([[math.cos(theta), -math.sin(theta)], [math.sin(theta), math.cos(theta)]])
    density = multivariate_normal([0, 0], turn @ np.diag([variance_1, variance_2]) @ turn.T).pdf(np.dstack((x, y)))
    np.testing.assert_allclose(kernel[:drawn, :drawn], density / density.sum(), rtol=0, atol=1e-7)
    assert kernel[drawn:].sum() == kernel[:, drawn:].sum() == 0
    assert kernel.sum() == pytest.approx(1, abs=1e-6)


def test_random_kernels_sum_to_one():
    for options in ({}, {"scale": 4}, {"degradation": "dasr"}, {"degradation": "dasr", "blur_type": "iso_gaussian"}):
        degradation = gaussian(**options)
        row = degradation.draw(200, seeded())
        kernels = degradation.kernels(row.variance_1, row.variance_2, row.theta)
        assert kernels.shape == (200, 21, 21) and kernels.dtype == torch.float32
        torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(200), rtol=0, atol=1e-6)
        assert kernels.min() >= 0


def test_a_width_of_zero_is_the_delta():
    kernel = gaussian_kernels(*torch.zeros(3, 1), size=5)[0]
    assert kernel[2, 2] == 1 and kernel.sum() == 1


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_reduction_without_blur_is_antialiased_bicubic(scale):
    """On the s-fold grid, which lies scale - 1 pixels up and to the left of interpolation's."""
    hr = random_images(1, 3, 60, 48)
    protocol = get_protocol("cdsr-unblurred", scale)
    degradation = gaussian(scale=scale)
    assert degradation.config == protocol.config
    parameters = degradation.parameters_of(protocol.test_kernels, 0.0, [0])
    lr = degradation.blur_and_downsample(hr, parameters)
    inner = slice(4, -4)  # far from the edges
    expected = bicubic_downsample(hr.roll((scale - 1, scale - 1), (-2, -1)), scale)[..., inner, inner]
    torch.testing.assert_close(lr[..., inner, inner], expected, rtol=0, atol=1e-3)
    known = degradation.known_degradation(parameters)
    assert known is not None and kernel_covariance(known.kernels).abs().max() < 0.02 * scale**2
    dasr = gaussian(degradation="dasr", scale=scale)
    lr = dasr.blur_and_downsample(hr, dasr.parameters_of(protocol.test_kernels, 0.0, [0]))
    torch.testing.assert_close(lr, bicubic_downsample(hr, scale, edges="replicate"))


def test_a_share_of_the_training_images_is_not_blurred():
    """The other draws stay as they are without a share."""
    plain, mixed = (gaussian(unblurred=share).draw(2000, seeded()) for share in (0.0, 0.25))
    assert torch.equal(plain.variance_1, mixed.variance_1) and torch.equal(plain.seed, mixed.seed)
    assert not plain.is_unblurred.any()
    assert mixed.is_unblurred.double().mean().item() == pytest.approx(0.25, abs=0.03)
    kernels = gaussian(unblurred=0.25).kernels_of(mixed)
    is_sharp = (kernels == bicubic_kernel(2, size=21, corner=1)).all(2).all(1)
    assert torch.equal(is_sharp, mixed.is_unblurred)


# Blur


@pytest.mark.parametrize("padding", ["replicate", "reflect"])
def test_a_delta_kernel_is_the_identity(padding):
    images = random_images(2, 3, 31, 26)
    delta = torch.zeros(2, 21, 21)
    delta[:, 10, 10] = 1
    torch.testing.assert_close(blur(images, delta, padding=padding), images, rtol=0, atol=0)


def test_an_off_centre_delta_shifts_without_flipping():
    images = random_images(1, 1, 9, 9)
    delta = torch.zeros(1, 3, 3)
    delta[0, 1, 2] = 1  # one column to the right of the centre
    blurred = blur(images, delta, padding="replicate")
    torch.testing.assert_close(blurred[..., :-1], images[..., 1:])
    torch.testing.assert_close(blurred[..., -1], images[..., -1])


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(48, 60), (37, 53)])
def test_a_strided_convolution_is_blur_then_subsampling(scale, size):
    images = random_images(3, 3, *size)
    kernels = torch.rand(3, 21, 21, generator=seeded())
    kernels = kernels / kernels.sum((1, 2), keepdim=True)
    strided = blur(images, kernels, padding="replicate", stride=scale)
    padded = F.pad(images, (10,) * 4, mode="replicate").double()
    slow = torch.stack(
        [F.conv2d(p[:, None], k[None, None].double())[:, 0] for p, k in zip(padded, kernels, strict=True)]
    )
    torch.testing.assert_close(strided.double(), slow[..., ::scale, ::scale], rtol=0, atol=1e-3)


def test_a_image_too_small_to_be_reflected_is_refused():
    degradation = gaussian(degradation="dasr")
    with pytest.raises(ValueError, match="20x10 pixels.*more than 10 pixels"):
        degradation.apply(random_images(1, 3, 10, 20), rows_of(1, 1, 0))


# Downsampling


def test_s_fold_keeps_rows_and_columns_from_the_first():
    image = torch.arange(35.0).reshape(1, 1, 5, 7)
    assert blur(image, torch.ones(1, 1, 1), padding="replicate", stride=3)[0, 0].tolist() == [[0, 3, 6], [21, 24, 27]]


# MATLAB's kernel at +-0.5, 1.5, 2.5, 3.5 HR pixels, for half the size: cubic(d / 2) / 2.
HALF = [-0.01171875, -0.03515625, 0.11328125, 0.43359375, 0.43359375, 0.11328125, -0.03515625, -0.01171875]


def test_bicubic_weights_are_those_of_matlab():
    matrix = bicubic_matrix(16, 2, "symmetric", torch.device("cpu"), torch.float64)
    assert matrix[3, 3:11].tolist() == HALF
    assert matrix[0, :5].tolist() == [0.546875, 0.3984375, 0.1015625, -0.03515625, -0.01171875]  # mirrored at the edge
    matrix = bicubic_matrix(16, 2, "replicate", torch.device("cpu"), torch.float64)
    assert matrix[3, 3:11].tolist() == HALF
    assert matrix[0, :5].tolist() == [0.5, 0.43359375, 0.11328125, -0.03515625, -0.01171875]


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("length", [48, 50, 3])
def test_bicubic_matrices_agree_with_imresize_written_as_a_loop(scale, length):
    """The algorithm of imresize, one weight at a time."""

    def cubic(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0

    out_length = math.ceil(length / scale)
    expected = np.zeros((out_length, length))
    for i in range(1, out_length + 1):  # from 1, as in MATLAB
        centre = i * scale + 0.5 * (1 - scale)
        left = math.floor(centre - 2 * scale)
        weights = {j: cubic((centre - j) / scale) for j in range(left, left + 4 * scale + 2)}
        for j, weight in weights.items():
            k = (j - 1) % (2 * length)
            expected[i - 1, k if k < length else 2 * length - 1 - k] += weight / sum(weights.values())
    matrix = bicubic_matrix(length, scale, "symmetric", torch.device("cpu"), torch.float64)
    np.testing.assert_allclose(matrix.numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_keeps_a_constant_and_a_ramp(scale):
    ramp = torch.arange(48.0).expand(1, 1, 48, 48)
    centres = torch.arange(48 // scale) * scale + (scale - 1) / 2
    lr = bicubic_downsample(ramp, scale)
    torch.testing.assert_close(lr[0, 0, 5, 2:-2], centres[2:-2], rtol=0, atol=1e-4)
    constant = torch.full((1, 48, 48), 7.0)
    torch.testing.assert_close(bicubic_downsample(constant, scale), constant[:, ::scale, ::scale], rtol=0, atol=1e-5)


def test_scale_one_changes_nothing():
    images = random_images(1, 3, 15, 12)
    torch.testing.assert_close(bicubic_downsample(images, 1), images)
    dasr = gaussian(degradation="dasr", scale=1)
    torch.testing.assert_close(dasr.apply(images, rows_of(0, 0, 0)), images)


# Spatially variant blur


def slow_block_parameters(mode: int, scale: int, h: int, w: int, H: int, W: int) -> tuple[float, float, float]:
    a, b = (2.5 - 0.175) * scale, 0.175 * scale
    return {
        1: (a + b, a * h / H + b, 0.0),
        2: (a * w / W + b, a * h / H + b, 0.0),
        3: (a + b, b, math.pi * h / H),
        4: (a * w / W + b, a * h / H + b, math.pi * h / H),
        6: (a + b, b, math.pi / 4 if (h + w) % 2 == 0 else 3 * math.pi / 4),
    }[mode]


@pytest.mark.parametrize("mode", [1, 2, 3, 4, 6])
@pytest.mark.parametrize(
    ("scale", "size"), [(1, (41, 80)), (2, (83, 121)), (3, (50, 93)), (3, (121, 82)), (4, (9, 45)), (4, (124, 80))]
)
def test_blocks_agree_with_a_kernel_per_pixel(mode, scale, size):
    image = random_images(1, 1, *size)
    degradation = gaussian(scale=scale, sv_mode=mode)
    lr = degradation.blur_and_downsample(image, rows_of(0, 0, 0))[0, 0].numpy()

    padded = np.pad(image[0, 0].double().numpy(), 10, mode="edge")
    rows, columns = (math.ceil(length / BLOCK) for length in size)
    kernels = {}
    for h in range(rows):
        for w in range(columns):
            row = rows_of(*slow_block_parameters(mode, scale, h, w, rows, columns))
            kernels[h, w] = degradation.kernels(row.variance_1, row.variance_2, row.theta)[0].double().numpy()
    expected = [
        [(padded[y : y + 21, x : x + 21] * kernels[y // BLOCK, x // BLOCK]).sum() for x in range(0, size[1], scale)]
        for y in range(0, size[0], scale)
    ]
    np.testing.assert_allclose(lr, expected, rtol=0, atol=1e-3)


def test_mode_five_draws_blocks_from_the_seed_of_each_image():
    degradation = gaussian(scale=2, sv_mode=5)
    images = random_images(1, 3, 90, 90).expand(3, -1, -1, -1)
    rows = rows_of(0, 0, 0, seeds=(7, 8, 7))
    lr = degradation.apply(images, rows)
    torch.testing.assert_close(lr[0], lr[2], rtol=0, atol=0)
    assert (lr[0] != lr[1]).float().mean() > 0.1


MEASURE = """
import resource
import torch
from data.degradation import DegradationConfig, create_degradation
torch.set_num_threads(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
image = torch.rand(1, 3, 1024, 1024) * 255
for mode in range(1, 7):
    degradation = create_degradation(DegradationConfig(scale=2, sv_mode=mode))
    degradation.apply(image, degradation.draw(1, torch.Generator()))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
def test_spatially_variant_blur_of_a_large_image_takes_little_memory():
    """1 GiB is allowed; a kernel per pixel alone would take 1.7."""
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 512 * 1024  # KiB


# The whole


ALL_KINDS = [
    {},
    {"scale": 3, "noise": 15.0},
    {"scale": 4, "sv_mode": 5},
    {"scale": 3, "sv_mode": 4},
    {"blur_type": "iso_gaussian"},
    {"sample_mode": "bicubic"},
    {"degradation": "dasr"},
    {"degradation": "dasr", "scale": 4, "sample_mode": "s-fold", "noise": 25.0},
]


@pytest.mark.parametrize("options", ALL_KINDS, ids=str)
def test_a_batch_equals_its_singles(options):
    degradation = gaussian(**options)
    images = random_images(4, 3, 60, 84)
    rows = degradation.draw(4, seeded())
    batch = degradation.blur_and_downsample(images, rows)
    for i in range(4):
        single = degradation.blur_and_downsample(images[i : i + 1], rows[i : i + 1])
        torch.testing.assert_close(batch[i : i + 1], single, rtol=0, atol=1e-3)


@pytest.mark.parametrize("options", ALL_KINDS, ids=str)
def test_patches_of_a_row_share_its_kernel(options):
    degradation = gaussian(**{**options, "noise": 0.0})
    pairs = random_images(3, 2, 3, 48, 48)
    rows = degradation.draw(3, seeded())
    lr = degradation.apply(pairs, rows)
    assert lr.shape == (3, 2, 3, 48 // degradation.config.scale, 48 // degradation.config.scale)
    for n in range(2):
        torch.testing.assert_close(lr[:, n], degradation.apply(pairs[:, n], rows), rtol=0, atol=1)


@pytest.mark.parametrize("options", ALL_KINDS, ids=str)
def test_the_same_generators_give_the_same_result_in_whole_grey_levels(options):
    degradation = gaussian(**options)
    images = random_images(4, 3, 48, 48)
    first, again = (degradation.apply(images, degradation.draw(4, seeded(5)), seeded(6)) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(first, first.round()) and first.min() >= 0 and first.max() <= 255
    other = degradation.apply(images, degradation.draw(4, seeded(6)), seeded(6))
    assert degradation.config.sv_mode == 4 or not torch.equal(first, other)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("convention", ["cdsr", "dasr"])
def test_a_side_that_the_scale_does_not_divide_is_rounded_up(scale, convention):
    degradation = gaussian(degradation=convention, scale=scale)
    lr = degradation.apply(random_images(1, 3, 41, 50), rows_of(1, 1, 0))
    assert lr.shape == (1, 3, math.ceil(41 / scale), math.ceil(50 / scale))


def test_noise_has_the_level_of_its_row_and_differs_between_patches():
    degradation = gaussian(noise=15.0)
    levels = torch.tensor([0.0, 5.0, 15.0], dtype=torch.float64)
    rows = replace(rows_of(1, 1, 0, seeds=(0, 0, 0)), noise=levels)
    lr = degradation.apply(torch.full((3, 2, 3, 96, 96), 128.0), rows, seeded())
    assert lr[0].unique().tolist() == [128.0]
    for i in (1, 2):  # rounding adds 1/12 to the variance
        assert lr[i].std().item() == pytest.approx(math.sqrt(levels[i] ** 2 + 1 / 12), rel=0.03)
        assert lr[i].mean().item() == pytest.approx(128, abs=0.3)
    assert not torch.equal(lr[1, 0], lr[1, 1])
    with pytest.raises(ValueError, match="noise_generator"):
        degradation.apply(torch.zeros(3, 3, 8, 8), rows)


def test_one_row_of_parameters_a_image():
    with pytest.raises(ValueError, match="2 images with parameters for 1"):
        gaussian().apply(torch.zeros(2, 3, 8, 8), rows_of(1, 1, 0))


@pytest.mark.gpu
@pytest.mark.parametrize("options", ALL_KINDS, ids=str)
def test_a_gpu_gives_the_same_and_is_never_waited_for(options):
    degradation = gaussian(**{**options, "noise": 0.0})
    images = random_images(4, 2, 3, 96, 96)
    rows = degradation.draw(4, seeded())
    on_gpu = images.to("cuda")
    degradation.apply(on_gpu, rows)  # fills the caches
    torch.cuda.set_sync_debug_mode("error")
    try:
        lr = degradation.apply(on_gpu, rows)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    difference = (lr.cpu() - degradation.apply(images, rows)).abs()
    assert difference.max() <= 1 and (difference > 0).float().mean() < 1e-3


# Random draws


def test_draws_of_cdsr_stay_in_the_range_of_the_paper():
    rows = gaussian(scale=2, noise=15.0).draw(20000, seeded())
    assert 0.35 <= rows.variance_1.min() < 0.36 and 4.99 < rows.variance_1.max() <= 5
    assert rows.variance_2.min() >= 0.35 and bool((rows.variance_2 <= rows.variance_1).all())
    assert rows.variance_1.mean().item() == pytest.approx((0.35 + 5) / 2, abs=0.05)
    assert rows.variance_2.mean().item() == pytest.approx((0.35 + (0.35 + 5) / 2) / 2, abs=0.05)
    assert rows.theta.min() >= 0 and 3.13 < rows.theta.max() < math.pi
    assert (rows.noise == 0).double().mean().item() == pytest.approx(0.2, abs=0.01)
    assert rows.noise.max() <= 15 and rows.noise[rows.noise > 0].mean().item() == pytest.approx(7.5, abs=0.2)


def test_isotropic_draws_are_standard_deviations():
    for convention in ("cdsr", "dasr"):
        config = DegradationConfig(degradation=convention, blur_type="iso_gaussian", sig_min=0.2, sig_max=4.0)
        rows = gaussian(**vars(config)).draw(20000, seeded())
        assert torch.equal(rows.variance_1, rows.variance_2) and not rows.theta.any()
        assert 0.2**2 <= rows.variance_1.min() < 0.21**2 and 3.99**2 < rows.variance_1.max() <= 4**2
        assert rows.variance_1.sqrt().mean().item() == pytest.approx(2.1, abs=0.03)


def test_draws_of_dasr_are_independent_standard_deviations():
    rows = gaussian(degradation="dasr", scale=4, noise=25.0).draw(20000, seeded())
    for variance in (rows.variance_1, rows.variance_2):
        assert variance.min() >= 0.2**2 and 3.99**2 < variance.max() <= 4**2
    assert (rows.variance_1 < rows.variance_2).double().mean().item() == pytest.approx(0.5, abs=0.02)
    assert (rows.noise == 0).sum() == 0 and rows.noise.mean().item() == pytest.approx(12.5, abs=0.2)


def test_a_generator_seed_gives_the_same_draws():
    degradation = gaussian(noise=5.0, unblurred=0.5)
    first, again, other = (degradation.draw(8, seeded(seed)) for seed in (3, 3, 4))
    for field in fields(GaussianParameters):
        assert torch.equal(getattr(first, field.name), getattr(again, field.name))
        assert not torch.equal(getattr(first, field.name), getattr(other, field.name))


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"degradation": "manet"}, "cdsr, dasr"),
        ({"scale": 5}, "1, 2, 3, 4"),
        ({"blur_type": "box"}, "iso_gaussian"),
        ({"sample_mode": "area"}, "s-fold, bicubic"),
        ({"sv_mode": 7}, "--sv_mode 7"),
        ({"blur_kernel": 20}, "odd"),
        ({"scale": 4, "blur_kernel": 3}, "at least the scale"),
        ({"noise": -1.0}, "0 and 255"),
        ({"noise": math.nan}, "0 and 255"),
        ({"sig_min": 3.0, "sig_max": 2.0}, "--sig_min 3.0 is above --sig_max 2.0"),
        ({"sig_min": 6.0}, "both ends"),
        ({"lambda_min": 3.0, "lambda_max": 2.0}, "--lambda_min 3.0 is above --lambda_max 2.0"),
        ({"sig": -1.0}, "0 or more"),
        ({"sig": math.inf}, "0 or more"),
        ({"theta": math.nan}, "--theta"),
        ({"sv_mode": 1, "degradation": "dasr"}, "no sv_mode 1.*--degradation cdsr"),
        ({"sv_mode": 1, "sample_mode": "bicubic"}, "--sv_mode 1"),
        ({"unblurred": 1.5}, "0 to 1"),
        ({"unblurred": 0.1, "degradation": "real"}, "--degradation cdsr or dasr"),
        ({"unblurred": 0.1, "sv_mode": 1}, "--sv_mode 0"),
        ({"sv_mode": 1, "sig": 1.2}, "as well as --sv_mode 1"),
        ({"sig": 1.2, "theta": 0.7}, "--theta turns an anisotropic kernel"),
        ({"sig1": 1.0}, "--sig1 and --sig2 go together"),
        ({"sig": 1.0, "sig1": 1.0, "sig2": 1.0}, "two kernels"),
        ({"lambda_1": 1.0, "lambda_2": 1.0}, "--lambda_2 of degradation dasr: cdsr takes --sig1 and --sig2, or --sig"),
        ({"degradation": "dasr", "sig1": 1.0, "sig2": 1.0}, "--sig2 of degradation cdsr: dasr takes --lambda_1"),
    ],
    ids=str,
)
def test_contradictions_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        create_degradation(DegradationConfig(**options))


def variances(**options: object) -> tuple[float, float] | None:
    return gaussian(**options).variance_range


def test_what_is_not_given_is_the_convention_s_own():
    assert variances(scale=2) == pytest.approx((0.35, 5))
    assert variances(scale=4, blur_type="iso_gaussian") == (0.2**2, 4**2)
    assert variances(degradation="dasr", scale=4) == (0.2**2, 4**2)
    assert gaussian().downsampling == "s-fold"
    assert gaussian(degradation="dasr").downsampling == "bicubic"


def fixed(**options: object) -> tuple[float, float, float]:
    return gaussian(**options).fixed_kernel.covariance


def test_one_kernel_is_given_in_the_units_of_its_convention():
    assert gaussian().fixed_kernel is None
    assert fixed(sig=1.5) == (2.25, 2.25, 0)
    assert fixed(sig1=3.0, sig2=1.0, theta=0.5) == (3, 1, 0.5)
    assert fixed(degradation="dasr", lambda_1=3.0, lambda_2=1.0, theta=90.0) == (9, 1, math.pi / 2)


# A degradation of another kind


@dataclass(frozen=True)
class JpegParameters(Parameters):
    quality: torch.Tensor  # (B,) int64


class Jpeg(Degradation):
    """Subsampling and JPEG, image by image: without a kernel that a model could be told."""

    name = "jpeg"
    sample_mode = "s-fold"
    default_protocol = "jpeg"

    def draw(self, batch_size: int, generator: torch.Generator) -> JpegParameters:
        return JpegParameters(torch.randint(30, 96, (batch_size,), generator=generator))

    def parameters_of(self, test_kernels: Sequence[TestKernel], noise: float, seeds: Sequence[int]) -> JpegParameters:
        return JpegParameters(torch.tensor([int(test_kernel.kernel["quality"]) for test_kernel in test_kernels]))

    def apply(self, hr: torch.Tensor, parameters: JpegParameters, noise_generator: Any = None) -> torch.Tensor:
        lr = hr[..., :: self.config.scale, :: self.config.scale]
        return torch.stack([self.compress(*pair) for pair in zip(lr, parameters.quality.tolist(), strict=True)])

    def compress(self, lr: torch.Tensor, quality: int) -> torch.Tensor:
        images = lr.reshape(-1, *lr.shape[-3:]).permute(0, 2, 3, 1).byte().numpy()
        encoded = [cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1] for image in images]
        decoded = np.array([cv2.imdecode(content, cv2.IMREAD_COLOR) for content in encoded], np.uint8)
        return torch.from_numpy(decoded).permute(0, 3, 1, 2).float().reshape(lr.shape)


@pytest.fixture
def jpeg(monkeypatch: pytest.MonkeyPatch) -> Iterator[Degradation]:
    """Registered as CONTRIBUTING.md says: a line for the degradation, an entry for its protocol."""
    register(Jpeg)
    monkeypatch.setitem(PROTOCOLS, "jpeg", Entry(Jpeg, lambda scale: [TestKernel("q30", {"quality": 30})]))
    yield create_degradation(DegradationConfig(degradation="jpeg"))
    del DEGRADATIONS["jpeg"]


def test_two_degradations_of_one_name_are_refused(jpeg):
    with pytest.raises(AssertionError, match="two degradations are called jpeg"):
        register(Jpeg)


def test_another_degradation_trains_and_its_ranks_share_out_what_is_drawn(jpeg):
    hr = random_images(6, 2, 3, 32, 32)
    whole = PairDegradation(jpeg, seed=7).degrade(hr, 3)
    assert whole.shape == (6, 2, 3, 16, 16)
    for rank, (share, expected) in enumerate(zip(hr.chunk(2), whole.chunk(2), strict=True)):
        assert torch.equal(PairDegradation(jpeg, seed=7, rank=rank, world_size=2).degrade(share, 3), expected)


def test_another_degradation_is_validated_and_tested(jpeg, tmp_path):
    hr = random_images(32, 40, 3).byte().numpy()
    write_image(tmp_path / "a.png", hr)
    (sample,) = ValidationSet(open_source(tmp_path), jpeg)
    assert sample.lr.shape == (16, 20, 3) and sample.known_degradation is None
    protocol = get_protocol("jpeg", 2)
    (tested,) = PlainTestset("a", protocol, tmp_path)
    expected = jpeg.apply(torch.from_numpy(hr).permute(2, 0, 1)[None], JpegParameters(torch.tensor([30])))
    assert np.array_equal(tested.lr, expected[0].permute(1, 2, 0).numpy()) and tested.known_degradation is None
    assert mismatches(jpeg.describe(), protocol) == []
    assert "trained for degradation cdsr, tested on jpeg" in mismatches(gaussian().describe(), protocol)


@pytest.mark.parametrize(
    ("options", "message"), [({"sig": 1.0}, "jpeg takes no kernel"), ({"sv_mode": 1}, "jpeg has no sv_mode 1")]
)
def test_another_degradation_refuses_the_flags_of_others(jpeg, options, message):
    with pytest.raises(ValueError, match=message):
        create_degradation(DegradationConfig(degradation="jpeg", **options))
