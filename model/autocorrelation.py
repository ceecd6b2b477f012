"""The autocorrelation branch of LPE: local second-order statistics of the gradients (ours, not in the paper).

The gradients of a sharp photograph are nearly uncorrelated, so that what correlates them is the blur (Goldstein and
Fattal, "Blur-Kernel Estimation from Spectral Irregularities", ECCV 2012, section 3); noise shows in their energy. Means
of learned features, as the other two branches take, see this slowly or not at all. Only windows with edges tell, hence
the attention over windows.
"""

import torch
from torch import Tensor, nn

from model.common import NEGATIVE_SLOPE, RGB_RANGE, at_least
from model.sync_norm import BatchNorm2d

REACH = 4
"""Largest lag in LR pixels."""

STRIDE = 4
"""LR pixels between windows, which are twice as large."""

LEAST = 2 * STRIDE + 2 * REACH + 1
"""Side of the smallest image with a window, LR pixels."""

# Half of the plane: a correlation at (-y, -x) is the one at (y, x). (0, 0) comes first.
COLUMNS = [range(-REACH if y else 0, REACH + 1) for y in range(REACH + 1)]
LAGS = [(y, x) for y, columns in enumerate(COLUMNS) for x in columns]
FLOOR = 1.0
"""Squared grey levels added to an energy, so that flat windows stay finite."""


def gradient_autocorrelation(lr: Tensor) -> Tensor:
    """Autocorrelation of the luma's gradients along columns and rows, in windows; always in float32.

    Args:
        lr: (B, 3, H, W) RGB in [0, 1], H and W at least LEAST.

    Returns:
        (B, NUM_STATISTICS, h, w): for either direction the correlations at LAGS divided by the energy (the one at
        lag 0) and log(1 - correlation), which tells narrow blurs apart; then the logarithms of both energies and
        of their sum.
    """
    with torch.no_grad(), torch.autocast(lr.device.type, enabled=False):
        luma = lr.float().mean(dim=1) * RGB_RANGE  # (B, H, W)
        corner = luma[:, :-1, :-1]
        parts, energies = [], []
        for gradient in (luma[:, :-1, 1:] - corner, luma[:, 1:, :-1] - corner):
            means = _windowed_products(gradient)  # (B, lags, h, w)
            energy = means[:, :1] + FLOOR
            correlation = means[:, 1:] / energy
            parts += [correlation, (1.01 - correlation).clamp(min=0.01).log()]
            energies.append(energy)
        total = energies[0] + energies[1]
        return torch.cat([*parts, *(0.2 * energy.log() for energy in (*energies, total))], dim=1)


NUM_STATISTICS = 4 * (len(LAGS) - 1) + 3


def _windowed_products(gradient: Tensor) -> Tensor:
    """Mean product of a gradient (B, H, W) with itself at each lag, in windows: (B, lags, h, w)."""
    height, width = gradient.shape[1] - 2 * REACH, gradient.shape[2] - 2 * REACH
    centre = gradient[:, REACH : REACH + height, REACH : REACH + width]
    rows, columns = _window_means(height, gradient), _window_means(width, gradient).mT
    means = []
    for y, columns_of_lags in enumerate(COLUMNS):
        shifted = torch.stack(
            [gradient[:, REACH + y : REACH + y + height, REACH + x : REACH + x + width] for x in columns_of_lags], dim=1
        )
        means.append(rows @ (centre[:, None] * shifted @ columns))  # (B, lags of this row, h, w)
    return torch.cat(means, dim=1)


def _window_means(length: int, like: Tensor) -> Tensor:
    """Matrix (windows, length) that averages over each window; several times as fast as pooling on a CPU."""
    first = STRIDE * torch.arange(length // STRIDE - 1, device=like.device)[:, None]
    position = torch.arange(length, device=like.device)
    return ((position >= first) & (position < first + 2 * STRIDE)).to(like.dtype) / (2 * STRIDE)


class AutocorrelationBranch(nn.Module):
    """A small perceptron at each window, then attention over the windows.

    Args:
        feature_dim: length of the feature.
        hidden: channels of the perceptron.
        num_heads: windows are weighed in as many ways.
    """

    def __init__(self, feature_dim: int = 128, *, hidden: int = 192, num_heads: int = 4) -> None:
        super().__init__()
        self.norm = BatchNorm2d(NUM_STATISTICS)
        self.mlp = nn.Sequential(
            nn.Linear(NUM_STATISTICS, hidden),
            nn.LeakyReLU(NEGATIVE_SLOPE),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(NEGATIVE_SLOPE),
        )
        self.value = nn.Linear(hidden, feature_dim)
        self.attention = nn.Linear(hidden, num_heads)
        self.energy_power = nn.Parameter(torch.ones(num_heads))
        nn.init.zeros_(self.attention.weight)
        self.out = nn.Sequential(
            nn.LeakyReLU(NEGATIVE_SLOPE),
            nn.Linear(num_heads * feature_dim, feature_dim),
            nn.LeakyReLU(NEGATIVE_SLOPE),
            nn.Linear(feature_dim, feature_dim),
        )

    def forward(self, lr: Tensor, tile: int | None = None) -> Tensor:
        """Encode lr (B, 3, H, W) in [0, 1] as features (B, feature_dim); in tiles of this side, to bound the memory.

        An image smaller than LEAST is padded by replication.
        """
        lr = at_least(lr, LEAST)
        pooled = self._pool(lr) if tile is None else self._pool_in_tiles(lr, tile)
        return self.out(pooled.flatten(1))

    def _windows(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, L, heads) and values (B, L, feature_dim) of the L windows."""
        statistics = gradient_autocorrelation(lr)
        rows = self.norm(statistics).flatten(2).mT  # (B, L, NUM_STATISTICS)
        hidden = self.mlp(rows)
        # At first every head weighs a window by its energy, as a correlation over the whole image does.
        energy = 5 * statistics[:, -1:].flatten(2).mT  # (B, L, 1)
        return self.attention(hidden).float() + self.energy_power * energy, self.value(hidden)

    def _pool(self, lr: Tensor) -> Tensor:
        """(B, heads, feature_dim)."""
        logits, values = self._windows(lr)
        return logits.softmax(dim=1).mT.to(values.dtype) @ values

    def _pool_in_tiles(self, lr: Tensor, tile: int) -> Tensor:
        """The same by a softmax that takes the tiles one after another; float32."""
        step = max(tile // STRIDE, 1) * STRIDE
        side = step + LEAST - STRIDE  # the last window of a tile begins STRIDE before the next tile
        highest, total, weighted = lr.new_full((1,), -torch.inf), lr.new_zeros(1), lr.new_zeros(1)
        for top in range(0, lr.shape[2] - LEAST + 1, step):
            for left in range(0, lr.shape[3] - LEAST + 1, step):
                logits, values = self._windows(lr[:, :, top : top + side, left : left + side])
                before, highest = highest, torch.maximum(highest, logits.amax(dim=1))
                weights = (logits - highest[:, None]).exp()  # (B, L, heads)
                fade = (before - highest).exp()  # (B, heads)
                total = fade * total + weights.sum(dim=1)
                weighted = fade[..., None] * weighted + weights.mT @ values.float()
        return weighted / total[..., None]
