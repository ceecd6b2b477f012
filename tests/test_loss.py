"""The pixel loss: its terms against values worked out by hand, and descriptions that do not parse."""

import math

import pytest
import torch

from loss import PixelLoss


def images_with_errors(*errors: float) -> tuple[torch.Tensor, torch.Tensor]:
    """SR and HR of as many images, the error of each the same at every pixel."""
    hr = torch.full((len(errors), 3, 4, 5), 100.0)
    return hr + torch.tensor(errors).view(-1, 1, 1, 1), hr


def test_a_sum_of_terms_is_weighted() -> None:
    sr, hr = images_with_errors(2.0, -4.0)
    assert PixelLoss("1*L1+0.5*MSE")(sr, hr).item() == pytest.approx(3 + 0.5 * 10)


def test_psnr_is_the_mean_over_images_of_ten_logarithms() -> None:
    sr, hr = images_with_errors(3.0, -7.0)
    assert PixelLoss("1*PSNR")(sr, hr).item() == pytest.approx(5 * (math.log10(9 + 1) + math.log10(49 + 1)))


def test_under_psnr_a_smooth_image_counts_as_much_as_a_detailed_one() -> None:
    """Scaling the error of an image by a factor changes its gradient by the inverse; under L1 it stays."""
    norms = {}
    for name in ("L1", "PSNR"):
        sr, hr = images_with_errors(10.0, 40.0)
        sr.requires_grad_()
        PixelLoss(f"1*{name}")(sr, hr).backward()
        norms[name] = sr.grad.flatten(1).norm(dim=1)
    assert norms["L1"][0] == norms["L1"][1]
    assert norms["PSNR"][0] / norms["PSNR"][1] == pytest.approx(4, rel=0.01)


def test_psnr_of_equal_images_is_zero_with_a_finite_gradient() -> None:
    sr, hr = images_with_errors(0.0)
    sr.requires_grad_()
    loss = PixelLoss("1*PSNR")(sr, hr)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(sr.grad, torch.zeros_like(sr))


def test_bf16_is_compared_in_float32() -> None:
    sr, hr = images_with_errors(3.0)
    assert PixelLoss("1*PSNR")(sr.bfloat16(), hr).dtype == torch.float32


@pytest.mark.parametrize("description", ["PSNR", "1*SSIM", "1*L1+", "-1*L1", ""])
def test_what_does_not_parse_is_refused_with_the_names(description: str) -> None:
    with pytest.raises(ValueError, match="L1, MSE, PSNR, VGG22, VGG54"):
        PixelLoss(description)
