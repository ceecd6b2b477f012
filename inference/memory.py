"""How much memory is free, and how much a tile takes."""

import contextlib
from pathlib import Path

import psutil
import torch
from torch import nn

from inference.tiles import MIN_TILE

CPU_TILE, GPU_TILE = 256, 1024
"""Largest tiles chosen: larger ones make nothing faster (on CPUs the features fall out of the caches)."""

SHARE = 0.5
"""Of the free memory, what a tile may take."""

LIVE_COPIES = 5
"""Features of the widest convolution alive at once, input and output together; measured 2.7 to 3.8."""


def free_bytes(device: torch.device) -> int:
    """Memory that is free now.

    Of the GPU, with what PyTorch keeps and does not use; else of the machine, within its control group, which psutil
    does not know.
    """
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # PyTorch gives it back
        return torch.cuda.mem_get_info(device)[0] + cached
    groups = (
        _cgroup("memory.max", "memory.current", "memory.stat"),
        _cgroup("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    )
    return min([psutil.virtual_memory().available, *(value for value in groups if value is not None)])


def _cgroup(limit: str, used: str, details: str, root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What a control group leaves, of either version; None without a limit.

    Its use counts the files that the system keeps in memory, and gives up when the memory is needed.
    """
    try:
        left = int((root / limit).read_text()) - int((root / used).read_text())
    except (OSError, ValueError):  # "max": no limit
        return None
    with contextlib.suppress(OSError):
        told = dict(line.split() for line in (root / details).read_text().splitlines())
        left += int(told.get("total_inactive_file", told.get("inactive_file", 0)))  # the first: version 1, of all below
    return max(left, 0)


def bytes_per_pixel(model: nn.Module) -> int:
    """Estimate what the SR network takes for each LR pixel of a tile, in float32."""
    widths, enlarged = [64], 1
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            widths.append(enlarged * (layer.in_channels + layer.out_channels))
        elif isinstance(layer, nn.PixelShuffle):  # what comes after it works on more pixels
            enlarged *= layer.upscale_factor**2
    return 4 * LIVE_COPIES * max(widths)


def choose_tile(model: nn.Module, device: torch.device, *, free: int | None = None) -> int:
    """Side of the largest tile that the free memory allows, a multiple of 16, in LR pixels."""
    free = free_bytes(device) if free is None else free
    side = int((SHARE * free / bytes_per_pixel(model)) ** 0.5)
    largest = GPU_TILE if device.type == "cuda" else CPU_TILE
    return min(max(side // 16 * 16, MIN_TILE), largest)
