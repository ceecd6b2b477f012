"""Momentum contrast for the encoder (He et al., CVPR 2020; CDSR, section 3.2).

The query is one patch of an image, its positive key another patch under the same degradation; the negatives are the
keys of earlier batches, as published, or those of the batch's other images.

Differs from the published code: runs on any device, and a batch that does not divide the queue wraps round.
"""

import copy

import torch
from torch import Tensor, nn

from model.encoder import Encoder
from utils import distributed

NEGATIVES = ("queue", "batch", "both")
QUEUE_SIZE = 8192
MOMENTUM = 0.999
TEMPERATURE = 0.07


class MoCo(nn.Module):
    """The key encoder and the queue of a query encoder that lives elsewhere.

    The query encoder is an argument of every call, not a submodule: its weights belong to the model that is
    trained and saved.

    Args:
        encoder: the query encoder, copied as the key encoder.
        queue_size: number of keys remembered.
        momentum: weight of the old key encoder in its update.
        temperature: divisor of the similarities.
        negatives: "queue", as published; "batch": the other keys of the batch alone; "both".
    """

    queue: Tensor
    queue_pointer: Tensor

    def __init__(
        self,
        encoder: Encoder,
        *,
        queue_size: int = QUEUE_SIZE,
        momentum: float = MOMENTUM,
        temperature: float = TEMPERATURE,
        negatives: str = "queue",
    ) -> None:
        super().__init__()
        self.negatives = negatives
        self.momentum = momentum
        self.temperature = temperature
        self.key_encoder = copy.deepcopy(encoder).requires_grad_(False)
        queue = nn.functional.normalize(torch.randn(encoder.code_dim, queue_size), dim=0)
        self.register_buffer("queue", queue)
        self.register_buffer("queue_pointer", torch.zeros(1, dtype=torch.long))

    def contrast(
        self, encoder: Encoder, query_lr: Tensor, key_lr: Tensor, shuffle_generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compare two patches of each image, after the momentum update.

        Args:
            encoder: the query encoder.
            query_lr: (B, 3, H, W) RGB in [0, 255], the first patches.
            key_lr: the second patches.
            shuffle_generator: on the CPU, in the same state on every rank; without it keys are not shuffled.

        Returns:
            the representations (B, D) of the first patches and the logits, both with gradients, and the keys (B, D)
            to enqueue once the step is done.
        """
        self.update_key_encoder(encoder)
        representation = encoder.represent(query_lr)
        keys = self.shuffled_keys(key_lr, shuffle_generator)
        return representation, self.logits(encoder.project(representation), keys), keys

    @torch.no_grad()
    def update_key_encoder(self, encoder: Encoder) -> None:
        """Move the key encoder's weights toward the query encoder's; comes before the keys are computed."""
        keys: list[Tensor] = list(self.key_encoder.parameters())
        queries: list[Tensor] = list(encoder.parameters())
        torch._foreach_mul_(keys, self.momentum)
        torch._foreach_add_(keys, queries, alpha=1.0 - self.momentum)

    @torch.no_grad()
    def keys(self, lr: Tensor) -> Tensor:
        """Unit keys (B, dim) of lr (B, 3, H, W) in [0, 255], with the batch statistics of this batch."""
        return self.key_encoder.project(self.key_encoder.represent(lr))

    @torch.no_grad()
    def shuffled_keys(self, lr: Tensor, generator: torch.Generator | None) -> Tensor:
        """Compute this rank's keys on a shuffled share of all ranks' images (MoCo, section 3.3, shuffling BN).

        Else batch statistics would tell a query which key came from its own batch. One process has nothing to shuffle.
        """
        if distributed.world_size() == 1:
            return self.keys(lr)
        order = torch.randperm(len(lr) * distributed.world_size(), generator=generator).to(lr.device)
        shuffled = distributed.own_rows(distributed.gather_rows(lr)[order])
        keys = distributed.gather_rows(self.keys(shuffled))
        return distributed.own_rows(keys[order.argsort()])

    def logits(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Similarities over the temperature: (B, 1 + number of negatives), the positive at index 0."""
        parts = [(queries * keys).sum(dim=1, keepdim=True)]
        if self.negatives != "batch":
            parts.append(queries @ self.queue)
        if self.negatives != "queue":
            own = torch.arange(len(keys), device=keys.device)[:, None] + distributed.rank() * len(keys)
            others = queries @ distributed.gather_rows(keys).T  # (B, keys of all ranks)
            parts.append(others.scatter(1, own, -torch.inf))
        return torch.cat(parts, dim=1) / self.temperature

    @torch.no_grad()
    def enqueue(self, keys: Tensor, *, unless: Tensor | None = None) -> None:
        """Overwrite the oldest keys of the queue; comes after the logits.

        Args:
            keys: (B, dim), of all ranks.
            unless: a boolean scalar on the device; where it is true the queue stays as it is.
        """
        size = self.queue.shape[1]
        keys = keys[-size:].to(self.queue.dtype).t()
        columns = (self.queue_pointer + torch.arange(keys.shape[1], device=keys.device)) % size
        advance = torch.full_like(self.queue_pointer, keys.shape[1])
        if unless is not None:
            keys = torch.where(unless, self.queue[:, columns], keys)
            advance = advance * ~unless
        self.queue[:, columns] = keys
        self.queue_pointer.copy_((self.queue_pointer + advance) % size)

    def train(self, mode: bool = True) -> "MoCo":
        """Keep the key encoder in train mode: it always normalises by batch statistics."""
        super().train(mode)
        self.key_encoder.train()
        return self
