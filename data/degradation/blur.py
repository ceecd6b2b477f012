"""Blur by one kernel per image or per block of an image, with subsampling in the same strided convolution.

Kernels are correlated with the image, not flipped. A depthwise convolution whose channels are all planes of all
images was the fastest of what was tried on CPUs, and is plain arithmetic per output pixel on GPUs.
"""

import itertools
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

# Planes convolved at a time on CPUs: two vectors' worth. All at once took three times as long: page faults.
CPU_PLANES = 32
BLOCK = 40  # HR pixels along the side of a block with a kernel of its own (spatially variant blur)

Padding = Literal["replicate", "reflect"]


def blur(planes: Tensor, kernels: Tensor, *, padding: Padding, stride: int = 1) -> Tensor:
    """Blur (B, M, H, W) by kernels (B, k, k) of odd size, and keep rows and columns 0, stride, 2*stride, ...

    The M planes of a row (colours, patches) share its kernel. Returns (B, M, ceil(H/stride), ceil(W/stride)).
    ValueError for an image too small to be reflected.
    """
    radius = kernels.shape[-1] // 2
    height, width = planes.shape[-2:]
    if padding == "reflect" and min(height, width) <= radius:
        raise ValueError(
            f"an image of {width}x{height} pixels (width x height) is too small for a kernel of {2 * radius + 1}: "
            f"reflecting its edges takes more than {radius} pixels a side; give a larger image or a smaller kernel"
        )
    return _correlate(planes, kernels, stride, radius=radius, padding=padding)


def blur_blocks(planes: Tensor, kernels_of_row: Callable[[int], Tensor], *, stride: int = 1) -> Tensor:
    """Blur each BLOCK x BLOCK block of (B, M, H, W), halo included, by a kernel of its own, and subsample, as `blur`
    does.

    kernels_of_row(i): (B, ceil(W/BLOCK), k, k) kernels of row i of blocks; asked for row by row, so that memory
    grows with a row of blocks, and never with a kernel per pixel. Edges are replicated.
    """
    height, width = planes.shape[-2:]
    num_columns = num_blocks(width)
    tops = [-(-row * BLOCK // stride) for row in range(num_blocks(height))] + [-(-height // stride)]  # LR rows
    kernels = kernels_of_row(0)
    size = kernels.shape[-1]
    # The stride need not divide BLOCK: a block has `side` LR pixels, or one less and then the last of them is dropped.
    side = -(-BLOCK // stride)
    window = (side - 1) * stride + size
    beyond = BLOCK + size  # reaches past the window of a last block that is cut short
    padded = F.pad(planes, (size // 2, beyond, size // 2, beyond), mode="replicate")

    column = torch.arange(-(-width // stride), device=planes.device)  # LR columns
    block = column * stride // BLOCK
    left = (torch.arange(num_columns, device=planes.device) * BLOCK + stride - 1) // stride  # where each block begins
    taps = (left * stride)[:, None] + torch.arange(window, device=planes.device)  # (columns, window)
    lr_rows = []
    for row, (top, bottom) in enumerate(itertools.pairwise(tops)):
        kernels = kernels_of_row(row) if row else kernels
        strip = padded[:, :, top * stride : top * stride + window]
        windows = strip[..., taps].permute(0, 3, 1, 2, 4)  # (B, columns, M, window, window)
        blurred = _correlate(windows.flatten(0, 1), kernels.flatten(0, 1), stride)  # (B*columns, M, side, side)
        blurred = blurred.unflatten(0, (-1, num_columns)).permute(0, 2, 3, 1, 4)  # (B, M, side, columns, side)
        lr_rows.append(blurred[:, :, : bottom - top, block, column - left[block]])  # (B, M, bottom - top, w)
    return torch.cat(lr_rows, dim=2)


def num_blocks(length: int) -> int:
    """Blocks along a side of `length` HR pixels; the last may be cut short."""
    return -(-length // BLOCK)


def _correlate(
    planes: Tensor, kernels: Tensor, stride: int, *, radius: int = 0, padding: Padding = "replicate"
) -> Tensor:
    """Pad (B, M, H, W) by radius and correlate each row with its (B, k, k), valid positions alone."""
    batch, num_planes = planes.shape[:2]
    flat = planes.reshape(1, batch * num_planes, *planes.shape[-2:])
    weights = kernels.repeat_interleave(num_planes, dim=0)[:, None]  # (B*M, 1, k, k)
    together = CPU_PLANES if planes.device.type == "cpu" else len(weights)
    parts = [
        F.conv2d(
            F.pad(some, (radius,) * 4, mode=padding) if radius else some, weight, stride=stride, groups=len(weight)
        )
        for some, weight in zip(flat.split(together, dim=1), weights.split(together), strict=True)
    ]
    lr = torch.cat(parts, dim=1)  # (1, B*M, h, w)
    return lr.reshape(batch, num_planes, *lr.shape[-2:])
