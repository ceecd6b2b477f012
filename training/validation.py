"""Validation while a run trains: PSNR on held-out images, and whether the encoder still tells them apart."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from data.samples import Samples
from evaluation.codes import code_spread
from evaluation.evaluate import evaluate
from evaluation.results import summarize
from evaluation.shard import Shard
from inference.upscaler import Upscaler
from model.network import Network
from utils import distributed
from utils.image import to_tensor

MAX_CODES = 16
"""Images whose codes are compared: the first of the set."""


@dataclass(frozen=True)
class Validation:
    """PSNR (dB) and SSIM, mean over the images that could be read, and the spread of the codes; None: none is made."""

    psnr: float
    ssim: float
    code_spread: float | None = None
    num_images: int = 0


class Validator:
    """Measures a model on held-out images, shared out over the ranks.

    Args:
        samples: the images.
        precision: of the networks, as of `Upscaler`. Codes are always computed in float32.
        device: where the model is.
    """

    def __init__(self, samples: Samples, *, precision: str, device: torch.device) -> None:
        self.samples, self.precision, self.device = samples, precision, device
        self._shard = Shard(distributed.rank(), distributed.world_size())

    @torch.compiler.set_stance("force_eager")  # every image has another size
    def __call__(self, model: Network) -> Validation:
        """Measure a model in evaluation mode; all ranks get the same."""
        upscaler = Upscaler(model, precision=self.precision)
        indices = self._shard.indices(self.samples.keys)
        rows = evaluate(upscaler, self.samples, device=self.device, name="validation", indices=indices)
        summary = summarize(self._shard.merge(indices, rows))
        return Validation(summary.psnr, summary.ssim, self._spread(model), summary.num_rows)

    @torch.inference_mode()
    def _spread(self, model: Network) -> float | None:
        if not model.is_contrastive:
            return None
        codes = [model.encode(lr.to(self.device)) for lr in self._first_images()]
        return code_spread(torch.cat(codes)) if len(codes) > 1 else None

    def _first_images(self) -> Iterator[Tensor]:
        """LR images (1, 3, H, W); `evaluate` has named those that cannot be read."""
        for index in range(min(len(self.samples), MAX_CODES)):
            with contextlib.suppress(ValueError):
                yield to_tensor(self.samples[index].lr)[None]
