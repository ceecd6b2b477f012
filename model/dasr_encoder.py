"""DASR's degradation encoder (Wang et al., CVPR 2021, section 3.1): six convolutions and an average over the image.

In CDSR's ablations it stands in for the LPE, as `--lpe naive`.
"""

from torch import Tensor, nn

from model.common import ConvNormAct, spatial_mean

STRIDE, HALO = 4, 12
"""One row of the feature for 4 pixels; it sees 1 + 1 + 1 + 2 + 2 + 4 = 11 pixels around its own."""


class DegradationEncoder(nn.Module):
    """The encoder's trunk: an image of any size to one feature vector.

    Args:
        widths: channels of the three stages; the last one is the length of the feature.
    """

    def __init__(self, *, widths: tuple[int, int, int] = (64, 128, 256)) -> None:
        super().__init__()
        first, second, third = widths
        self.convs = nn.Sequential(
            ConvNormAct(3, first, 3, padding=1),
            ConvNormAct(first, first, 3, padding=1),
            ConvNormAct(first, second, 3, stride=2, padding=1),
            ConvNormAct(second, second, 3, padding=1),
            ConvNormAct(second, third, 3, stride=2, padding=1),
            ConvNormAct(third, third, 3, padding=1),
        )

    def forward(self, lr: Tensor, tile: int | None = None) -> Tensor:
        """Encode lr (B, 3, H, W) as features (B, widths[2]); in tiles of about this side, to bound the memory."""
        return spatial_mean(self.convs, lr, tile, stride=STRIDE, halo=HALO)
