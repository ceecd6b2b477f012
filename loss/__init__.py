"""Losses: the pixel loss of the `--loss` string, and the contrastive loss."""

from loss.contrastive import contrastive_loss
from loss.pixel import TERMS, PixelLoss, parse_loss
