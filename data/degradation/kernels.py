"""Blur kernels, one per image, made all at once: Gaussians, and that of reduction without blur.

A Gaussian kernel is the density of a two-dimensional Gaussian on the pixel grid. Its covariance has the eigenvalues
variance_1 and variance_2; the eigenvector of the first lies theta radians from the x axis (columns) towards the y
axis (rows, downwards).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from data.degradation.downsample import keys_cubic
from utils.known_degradation import principal_variances

MIN_VARIANCE = 1e-8  # below it a kernel is the delta (or, centred between pixels, the mean of the nearest ones)
BICUBIC_SUPPORT = 4  # LR pixels under the kernel of bicubic reduction
EPSILON = torch.finfo(torch.float64).eps


def gaussian_kernels(variance_1: Tensor, variance_2: Tensor, theta: Tensor, *, size: int, corner: int = 0) -> Tensor:
    """Draw Gaussians on the upper-left (size - corner)^2 of size x size grids.

    variance_1, variance_2: (...) eigenvalues of the covariance, in squared HR pixels; 0 gives a delta, or the mean of
        the nearest pixels where the centre lies between them.
    theta: (...) radians.
    corner: rows and columns left 0 at the bottom and the right; `scale - 1` in the convention of CDSR, else 0.
    Returns (..., size, size) float32, not negative, each kernel of sum 1. Values under eps (of float64) times the
    largest are 0, as published for CDSR; DASR keeps them, which changes nothing that float32 can hold.
    """
    drawn = size - corner
    coordinates = torch.arange(drawn, dtype=torch.float64, device=theta.device) - (drawn - 1) / 2
    y, x = torch.meshgrid(coordinates, coordinates, indexing="ij")
    monomials = torch.stack((x * x, x * y, y * y)).flatten(1)  # (3, drawn^2)

    # x^T P x with the precision P = U diag(1 / variance) U^T, U the rotation by theta.
    precision_1 = 1 / variance_1.double().clamp(min=MIN_VARIANCE)
    precision_2 = 1 / variance_2.double().clamp(min=MIN_VARIANCE)
    cos, sin = theta.double().cos(), theta.double().sin()
    p_xx = cos * cos * precision_1 + sin * sin * precision_2
    p_xy = cos * sin * (precision_1 - precision_2)
    p_yy = sin * sin * precision_1 + cos * cos * precision_2
    exponent = torch.stack((p_xx, 2 * p_xy, p_yy), dim=-1) @ monomials * -0.5  # (..., drawn^2)

    kernel = (exponent - exponent.amax(-1, keepdim=True)).exp()  # the largest is 1, however narrow the Gaussian
    kernel = kernel.where(kernel >= EPSILON, 0)
    kernel = (kernel / kernel.sum(-1, keepdim=True)).unflatten(-1, (drawn, drawn))
    return F.pad(kernel, (0, corner, 0, corner)).float()  # (..., size, size)


def bicubic_kernel(scale: int, *, size: int, corner: int = 0) -> Tensor:
    """Draw the kernel of antialiased bicubic reduction, placed as `gaussian_kernels` places a Gaussian.

    Subsampling after it equals `bicubic_downsample` away from the edges, where size - corner holds its
    `BICUBIC_SUPPORT` * scale pixels.
    Returns (size, size) float32 of sum 1; its second moments vanish, but for the sampling.
    """
    drawn = size - corner
    distances = torch.arange(drawn, dtype=torch.float64) - (drawn - 1) / 2  # HR pixels
    weights = keys_cubic(distances / scale)
    weights = weights / weights.sum()
    return F.pad(weights[:, None] * weights, (0, corner, 0, corner)).float()


def kernels_of_covariance(covariance: Tensor, *, size: int) -> Tensor:
    """Draw centred Gaussians (N, size, size) of covariances (N, 3) as (xx, yy, xy), squared HR pixels."""
    var_x, var_y, cov = covariance.double().unbind(dim=1)
    theta = torch.atan2(2 * cov, var_x - var_y) / 2
    return gaussian_kernels(*principal_variances(covariance.double()), theta, size=size)


def block_covariances(
    mode: int, *, scale: int, rows: int, columns: int, seeds: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Kernel parameters of spatially variant mode 1 to 6 for an image of rows x columns blocks.

    seeds: (B,) integers, one per image, from which mode 5 draws; the others are the same for every image.
    Returns variance_1, variance_2, theta (radians), each (B, rows, columns) float64.
    """
    a, b = (2.5 - 0.175) * scale, 0.175 * scale
    down = (torch.arange(rows, dtype=torch.float64) / rows)[:, None].expand(rows, columns)  # h / H
    right = (torch.arange(columns, dtype=torch.float64) / columns).expand(rows, columns)  # w / W
    zero, one = torch.zeros_like(down), torch.ones_like(down)
    if mode == 5:
        draws = torch.stack([_uniform((3, rows, columns), int(seed)) for seed in seeds], dim=1)  # (3, B, rows, columns)
        return a * draws[0] + b, a * draws[1] + b, math.pi * draws[2]
    checker = (torch.arange(rows)[:, None] + torch.arange(columns)) % 2
    covariance = {
        1: (a * one + b, a * down + b, zero),
        2: (a * right + b, a * down + b, zero),
        3: (a * one + b, b * one, math.pi * down),
        4: (a * right + b, a * down + b, math.pi * down),
        6: (a * one + b, b * one, math.pi / 4 + math.pi / 2 * checker),
    }[mode]
    variance_1, variance_2, theta = (values.expand(len(seeds), rows, columns) for values in covariance)
    return variance_1, variance_2, theta


def _uniform(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
