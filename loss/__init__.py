"""Losses: the pixel loss of the `--loss` string, and the contrastive loss."""

from loss.contrastive import contrastive_loss
from loss.pixel import PixelLoss

__all__ = ["PixelLoss", "contrastive_loss"]
