"""The degradation head: covariances by hand, the six numbers, and codes that the true and the read numbers share."""

import math
from typing import Any

import pytest
import torch

from data.degradation import DegradationConfig, create_degradation
from data.degradation.kernels import gaussian_kernels
from model import create_model
from model.degradation_head import DegradationHead, kernel_covariance
from model.moco import MoCo
from utils.known_degradation import KnownDegradation


def kernels_of(variance_1: float, variance_2: float, theta: float, corner: int = 1) -> torch.Tensor:
    values = (torch.tensor([value], dtype=torch.float64) for value in (variance_1, variance_2, theta))
    return gaussian_kernels(*values, size=41, corner=corner)


@pytest.mark.parametrize(
    ("variance_1", "variance_2", "theta", "expected"),
    [
        (4.0, 1.0, 0.0, (4.0, 1.0, 0.0)),
        (4.0, 1.0, math.pi / 2, (1.0, 4.0, 0.0)),
        (5.0, 3.0, math.pi / 4, (4.0, 4.0, 1.0)),
        (2.0, 2.0, 0.3, (2.0, 2.0, 0.0)),
    ],
)
def test_covariance_of_a_gaussian(variance_1: float, variance_2: float, theta: float, expected: tuple) -> None:
    covariance = kernel_covariance(kernels_of(variance_1, variance_2, theta))[0]
    torch.testing.assert_close(covariance, torch.tensor(expected), atol=2e-3, rtol=0)


def test_covariance_does_not_depend_on_where_the_kernel_lies() -> None:
    kernel = torch.zeros(1, 9, 9)
    kernel[0, 2, 3], kernel[0, 2, 5] = 0.5, 0.5  # a variance of 1 along the columns
    torch.testing.assert_close(kernel_covariance(kernel), torch.tensor([[1.0, 0.0, 0.0]]))


def test_the_six_numbers() -> None:
    head = DegradationHead(8, 16, scale=2)
    known = KnownDegradation(kernels_of(5.0, 3.0, math.pi / 4), torch.tensor([12.5]))
    expected = torch.tensor([[4 / 2.5, 4 / 2.5, 1 / 2.5, math.log(5), math.log(3), 0.5]])
    torch.testing.assert_close(head.numbers_of(known), expected, atol=2e-3, rtol=0)
    assert head.encode(known).shape == (1, 16)


def test_what_is_read_comes_back_in_pixels_and_grey_levels() -> None:
    head = DegradationHead(6, 4, scale=2)
    torch.nn.init.zeros_(head.read[1].weight)
    head.read[1].bias.data = torch.tensor([0.8, 0.4, 0.1, 0.0, 0.0, 0.6])
    estimate = head.estimate(torch.randn(3, 6))
    torch.testing.assert_close(estimate.covariance, torch.tensor([[2.0, 1.0, 0.25]]).expand(3, 3))
    torch.testing.assert_close(estimate.noise, torch.full((3,), 15.0))


def test_true_numbers_and_equal_read_ones_give_one_code() -> None:
    head = DegradationHead(6, 4, scale=2)
    known = KnownDegradation(kernels_of(3.0, 1.0, 0.5), torch.tensor([0.0]))
    torch.nn.init.zeros_(head.read[1].weight)
    head.read[1].bias.data = head.numbers_of(known)[0]
    feature = torch.randn(1, 6)
    torch.testing.assert_close(head(feature), head.encode(known))
    assert head.loss(feature, known).item() == pytest.approx(0, abs=1e-6)


def test_the_head_reads_what_the_training_drew() -> None:
    degradation = create_degradation(DegradationConfig(noise=15.0))
    parameters: Any = degradation.draw(64, torch.Generator().manual_seed(0))
    known = degradation.known_degradation(parameters)
    numbers = DegradationHead(8, 8, scale=2).numbers_of(known)
    torch.testing.assert_close(numbers[:, 3].exp().double(), parameters.variance_1, atol=0.05, rtol=0.05)
    torch.testing.assert_close(numbers[:, 5] * 25, parameters.noise.float())


@pytest.mark.parametrize(("negatives", "width"), [("queue", 1 + 16), ("batch", 1 + 5), ("both", 1 + 16 + 5)])
def test_negatives(negatives: str, width: int) -> None:
    moco = MoCo(create_model("CDSR_S", 2).encoder, queue_size=16, negatives=negatives)
    queries, keys = torch.randn(2, 5, 128, generator=torch.Generator().manual_seed(0))
    logits = moco.logits(queries, keys)
    assert logits.shape == (5, width)
    torch.testing.assert_close(logits[:, 0] * moco.temperature, (queries * keys).sum(dim=1))
    if negatives != "queue":
        others = logits[:, -5:] * moco.temperature
        assert torch.isinf(others.diagonal()).all() and (others.diagonal() < 0).all()
        torch.testing.assert_close(others[0, 1:], queries[0] @ keys[1:].T)
