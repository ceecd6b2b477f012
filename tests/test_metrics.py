"""PSNR and SSIM against closed forms, against MATLAB's constants, and against two other implementations."""

import math
import time

import numpy as np
import pytest
from skimage import data
from skimage.metrics import structural_similarity

from evaluation.metrics import psnr_rgb, psnr_y, rgb_to_y, ssim_y

BLACK, WHITE = np.zeros((24, 31, 3), np.uint8), np.full((24, 31, 3), 255, np.uint8)


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    """A photograph that scikit-image ships, 96x112."""
    return np.ascontiguousarray(data.astronaut()[20:116, 160:272])


@pytest.fixture(scope="module")
def noisy(photograph: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(7).normal(0.0, 12.0, photograph.shape)
    return np.clip(np.rint(photograph + noise), 0, 255).astype(np.uint8)


def matlab_y(image: np.ndarray) -> np.ndarray:
    """The definition, element by element."""
    rows = [
        [16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255 for r, g, b in row] for row in image.astype(float).tolist()
    ]
    return np.array(rows)


def direct_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Wang et al. (2004), window by window: weighted mean, variance and covariance as sums over the 121 weights."""
    weights = np.array([[math.exp(-(i * i + j * j) / (2 * 1.5**2)) for j in range(-5, 6)] for i in range(-5, 6)])
    weights /= weights.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for top in range(first.shape[0] - 10):
        for left in range(first.shape[1] - 10):
            x, y = first[top : top + 11, left : left + 11], second[top : top + 11, left : left + 11]
            mx, my = (weights * x).sum(), (weights * y).sum()
            vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
            cov = (weights * (x - mx) * (y - my)).sum()
            values.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return sum(values) / len(values)


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        # MATLAB's rgb2ycbcr for 8 bits rounds these to 16, 235, 81, 145, 41
        ((0, 0, 0), 16.0),
        ((255, 255, 255), 235.0),
        ((255, 0, 0), 81.481),
        ((0, 255, 0), 144.553),
        ((0, 0, 255), 40.966),
        ((10, 20, 30), 31.587647),  # 16 + (654.81 + 2571.06 + 748.98) / 255
    ],
)
def test_y_of_colours(colour, expected):
    y = rgb_to_y(np.full((3, 5, 3), colour, np.uint8))
    assert y.shape == (3, 5) and y.dtype == np.float64
    np.testing.assert_allclose(y, expected, atol=1e-6)


def test_y_of_a_photograph_is_not_rounded(photograph):
    np.testing.assert_allclose(rgb_to_y(photograph), matlab_y(photograph), atol=1e-10)


@pytest.mark.parametrize("error", [1, 3, 40])
def test_psnr_of_a_constant_error(error):
    hr = np.random.default_rng(0).integers(0, 256 - error, (20, 30, 3), dtype=np.uint8)
    sr = hr + np.uint8(error)
    # All of Y's weights sum to 219 / 255, so Y is off by error * 219 / 255 everywhere.
    assert psnr_y(sr, hr, 2) == pytest.approx(20 * math.log10(255 / (error * 219 / 255)), abs=1e-9)
    assert psnr_rgb(sr, hr, 2) == pytest.approx(20 * math.log10(255 / error), abs=1e-9)


def test_psnr_by_hand():
    hr = np.full((4, 4, 3), 100, np.uint8)
    sr = hr.copy()
    sr[1, 2] = (110, 100, 100)  # one of 16 pixels, red alone: Y differs by 654.81 / 255 = 2.567882
    assert psnr_y(sr, hr, 0) == pytest.approx(51.9805, abs=1e-3)  # mean squared error 6.594019 / 16 = 0.412126
    assert psnr_rgb(sr, hr, 0) == pytest.approx(44.9432, abs=1e-3)  # 100 / 48 = 2.083333


def test_psnr_extremes():
    assert psnr_rgb(BLACK, WHITE, 0) == 0.0
    assert psnr_y(BLACK, WHITE, 0) == pytest.approx(20 * math.log10(255 / 219), abs=1e-9)
    assert psnr_y(WHITE, WHITE, 4) == math.inf
    assert psnr_rgb(WHITE, WHITE, 4) == math.inf


def test_psnr_against_its_definition(photograph, noisy):
    error = (matlab_y(photograph) - matlab_y(noisy))[3:-3, 3:-3]
    expected = 10 * math.log10(255**2 / float((error * error).mean()))
    assert psnr_y(noisy, photograph, 3) == pytest.approx(expected, abs=1e-9)


def test_ssim_of_constant_images():
    # No variance: the second factor is C2 / C2 = 1, and Y is 16 and 235.
    c1 = (0.01 * 255) ** 2
    assert ssim_y(BLACK, WHITE, 2) == pytest.approx((2 * 16 * 235 + c1) / (16**2 + 235**2 + c1), abs=1e-9)
    assert ssim_y(WHITE, WHITE, 2) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("border", [0, 2, 4])
def test_ssim_against_a_direct_implementation(photograph, noisy, border):
    hr, sr = photograph[:40, :36], noisy[:40, :36]
    inner = np.s_[border : 40 - border, border : 36 - border]
    expected = direct_ssim(matlab_y(sr)[inner], matlab_y(hr)[inner])
    assert 0.3 < expected < 0.9
    assert ssim_y(sr, hr, border) == pytest.approx(expected, abs=1e-9)


def test_ssim_against_scikit_image(photograph, noisy):
    hr, sr = matlab_y(photograph)[2:-2, 2:-2], matlab_y(noisy)[2:-2, 2:-2]
    options = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    _, values = structural_similarity(sr, hr, full=True, **options)
    assert ssim_y(noisy, photograph, 2) == pytest.approx(float(values[5:-5, 5:-5].mean()), abs=1e-7)


def test_ssim_of_a_single_window(photograph, noisy):
    hr, sr = photograph[:15, :15], noisy[:15, :15]
    assert ssim_y(sr, hr, 2) == pytest.approx(direct_ssim(matlab_y(sr)[2:-2, 2:-2], matlab_y(hr)[2:-2, 2:-2]), abs=1e-9)


@pytest.mark.parametrize("metric", [psnr_y, psnr_rgb, ssim_y])
def test_metrics_are_symmetric_and_see_nothing_of_the_border(metric, photograph, noisy):
    changed = noisy.copy()
    changed[:3], changed[-3:], changed[:, :3], changed[:, -3:] = 255, 0, 7, 99
    assert metric(changed, photograph, 3) == metric(noisy, photograph, 3)
    assert metric(changed, photograph, 2) < metric(noisy, photograph, 2)
    assert metric(noisy, photograph, 2) == pytest.approx(metric(photograph, noisy, 2), abs=1e-12)


@pytest.mark.parametrize("metric", [psnr_y, psnr_rgb, ssim_y])
def test_views_give_the_same_values(metric, photograph, noisy):
    flipped = metric(noisy[:, ::-1], photograph[:, ::-1], 2)
    assert flipped == pytest.approx(metric(noisy, photograph, 2), abs=1e-9)


@pytest.mark.parametrize("metric", [psnr_y, psnr_rgb, ssim_y])
def test_bad_input(metric):
    with pytest.raises(ValueError, match=r"sr is 30x24 and hr 31x24 .* multiple of the scale"):
        metric(BLACK[:, 1:], WHITE, 2)
    with pytest.raises(ValueError, match=r"border 12 leaves nothing of an image of 31x24 .* 0 to 11"):
        metric(BLACK, WHITE, 12)
    with pytest.raises(ValueError, match=r"border -1"):
        metric(BLACK, WHITE, -1)
    with pytest.raises(ValueError, match=r"sr is float64; .* round and clip"):
        metric(BLACK.astype(float), WHITE, 2)
    with pytest.raises(ValueError, match=r"hr has the shape \(24, 31\)"):
        metric(BLACK, WHITE[..., 0], 2)


def test_ssim_of_a_image_smaller_than_its_window():
    with pytest.raises(ValueError, match=r"at least 11x11 pixels and has 17x10 .* border of 7"):
        ssim_y(BLACK, WHITE, 7)


def test_a_large_image_takes_little_time():
    hr = np.random.default_rng(1).integers(0, 256, (700, 1000, 3), dtype=np.uint8)
    sr = hr[::-1]
    seconds = []
    for _ in range(3):
        start = time.process_time()
        psnr_y(sr, hr, 2), ssim_y(sr, hr, 2)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.5  # about 0.03 s of the processor here
