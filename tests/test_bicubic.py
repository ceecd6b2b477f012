"""The two bicubic interpolations, against their definition."""

import numpy as np
import pytest
import torch

from model import create_model


def cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys' kernel."""
    d = np.abs(distance)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def matrix(length: int, scale: int, a: float, mirrored: bool) -> np.ndarray:
    """Weights (scale*length, length) of one side, pixel by pixel."""
    weights = np.zeros((scale * length, length))
    for row in range(scale * length):
        centre = (row + 0.5) / scale - 0.5
        for tap in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            inside = min(max(tap, 0), length - 1)
            if mirrored:
                inside = tap % (2 * length)
                inside = min(inside, 2 * length - 1 - inside)
            weights[row, inside] += cubic(np.array(tap - centre), a)
    return weights


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("name", "a", "mirrored"), [("bicubic", -0.75, False), ("bicubic_matlab", -0.5, True)])
def test_both_are_keys_interpolation(scale: int, name: str, a: float, mirrored: bool) -> None:
    lr = torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(0)) * 255
    vertical, horizontal = matrix(7, scale, a, mirrored), matrix(9, scale, a, mirrored)
    expected = np.einsum("yh,bchw,xw->bcyx", vertical, lr.numpy(), horizontal)
    np.testing.assert_allclose(create_model(name, scale)(lr).numpy(), expected, atol=1e-3)


def test_a_image_smaller_than_the_mirror() -> None:
    assert create_model("bicubic_matlab", 3)(torch.full((1, 3, 1, 2), 7.0)).allclose(torch.full((1, 3, 3, 6), 7.0))
