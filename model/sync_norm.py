"""Batch normalisation whose statistics may span all processes.

PyTorch's SyncBatchNorm needs GPUs; this one runs on any backend and keeps the names of BatchNorm2d in a state dict.
"""

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from utils import distributed


class BatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d, by the statistics of the global batch once `is_synchronised` is set."""

    is_synchronised = False

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, H, W) channel by channel; every rank has the same B, H and W."""
        if not (self.training and self.is_synchronised and distributed.world_size() > 1):
            return super().forward(input)
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        feat = input.float() if input.dtype in (torch.half, torch.bfloat16) else input
        sums = torch.stack([feat.sum(dim=(0, 2, 3)), feat.square().sum(dim=(0, 2, 3))])  # (2, C)
        count = feat.numel() // feat.shape[1] * distributed.world_size()
        mean, mean_square = all_reduce(sums) / count
        variance = mean_square - mean.square()
        with torch.no_grad():
            momentum = self.momentum or 0.1
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * count / (count - 1), momentum)
            self.num_batches_tracked += 1
        gain = self.weight * torch.rsqrt(variance + self.eps)
        normalised = feat * gain[:, None, None] + (self.bias - mean * gain)[:, None, None]
        return normalised.to(input.dtype)


def synchronise_statistics(model: nn.Module) -> None:
    """Let every batch normalisation of a model use the statistics of the global batch."""
    for module in model.modules():
        if isinstance(module, BatchNorm2d):
            module.is_synchronised = True
