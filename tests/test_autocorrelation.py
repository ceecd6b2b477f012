"""The autocorrelation branch: statistics by hand, tiles, sizes, and that it tells a blur where the means do not."""

import pytest
import torch
import torch.nn.functional as F

from model.autocorrelation import LAGS, LEAST, NUM_STATISTICS, AutocorrelationBranch, gradient_autocorrelation


def noise_image(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """White noise, (1, 3, H, W) in [0, 1], grey."""
    luma = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(seed))
    return luma.expand(-1, 3, -1, -1)


def test_statistics_have_the_announced_shape() -> None:
    assert gradient_autocorrelation(noise_image(LEAST, LEAST)).shape == (1, NUM_STATISTICS, 1, 1)
    assert gradient_autocorrelation(noise_image(LEAST + 8, LEAST + 3)).shape == (1, NUM_STATISTICS, 3, 1)


def test_white_noise_has_the_autocorrelation_of_a_difference() -> None:
    """Differences of independent values correlate by -1/2 with the neighbour along them, and with no other."""
    statistics = gradient_autocorrelation(noise_image(400, 400)).mean(dim=(2, 3))[0]
    along_columns = dict(zip(LAGS[1:], statistics[: len(LAGS) - 1].tolist(), strict=True))
    assert along_columns.pop((0, 1)) == pytest.approx(-0.5, abs=0.02)
    assert max(abs(value) for value in along_columns.values()) < 0.02


def test_windows_average_products_as_a_loop_does() -> None:
    lr = noise_image(LEAST + 4, LEAST)
    luma = lr.mean(dim=1)[0] * 255
    gradient = luma[:-1, 1:] - luma[:-1, :-1]
    lag = LAGS.index((2, -1))
    for window in range(2):
        rows, columns = slice(4 + 4 * window, 12 + 4 * window), slice(4, 12)
        energy = gradient[rows, columns].square().mean() + 1
        moved = gradient[rows.start + 2 : rows.stop + 2, columns.start - 1 : columns.stop - 1]
        expected = (gradient[rows, columns] * moved).mean() / energy
        assert gradient_autocorrelation(lr)[0, lag - 1, window, 0] == pytest.approx(expected.item(), abs=1e-5)


def test_a_wider_blur_correlates_gradients_more() -> None:
    lr = noise_image(80, 80)
    smooth = F.avg_pool2d(lr, 3, stride=1)
    sharp, blurred = (gradient_autocorrelation(image)[:, : len(LAGS) - 1].mean(dim=(2, 3))[0] for image in (lr, smooth))
    assert blurred[LAGS.index((1, 0)) - 1] > sharp[LAGS.index((1, 0)) - 1] + 0.3


@pytest.mark.parametrize("tile", [16, 33, 64, 500])
def test_tiles_give_the_same_feature(tile: int) -> None:
    torch.manual_seed(0)
    branch = AutocorrelationBranch(32).eval()
    torch.nn.init.normal_(branch.attention.weight, std=0.1)
    lr = torch.rand(2, 3, 90, 71, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(branch(lr, tile), branch(lr), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 40), (LEAST - 1, LEAST)])
def test_small_images_are_padded(height: int, width: int) -> None:
    feature = AutocorrelationBranch(16).eval()(torch.rand(1, 3, height, width))
    assert feature.shape == (1, 16) and feature.isfinite().all()


def test_flat_images_stay_finite_and_every_weight_learns() -> None:
    branch = AutocorrelationBranch(16)
    branch(torch.cat([torch.full((1, 3, 30, 30), 0.4), torch.rand(1, 3, 30, 30)])).square().sum().backward()
    gradients = [parameter.grad for parameter in branch.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
