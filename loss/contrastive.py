"""InfoNCE, the contrastive loss of momentum contrast (He et al., CVPR 2020, equation 1)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def contrastive_loss(logits: Tensor) -> Tensor:
    """Cross-entropy against index 0, where the positive key stands.

    Args:
        logits: (B, 1 + number of negatives) similarities over the temperature.

    Returns:
        a scalar, the mean over the batch.
    """
    target = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    return F.cross_entropy(logits, target)
