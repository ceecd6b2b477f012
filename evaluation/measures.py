"""Which metrics an evaluation takes of a pair of images, and how its files describe them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from evaluation.metrics import SSIM_SIGMA, SSIM_WINDOW, full_range, is_grey, luma_planes, psnr_of_planes, psnr_rgb
from evaluation.metrics import ssim_of_planes as ssim
from utils.image import to_tensor

METRICS = ("psnr", "ssim", "rgb", "lpips")
TITLES = {"psnr": "PSNR (dB)", "ssim": "SSIM", "rgb": "PSNR RGB (dB)", "lpips": "LPIPS"}
DECIMALS = {"psnr": 2, "ssim": 4, "rgb": 2, "lpips": 4}
GREY = "_grey"
"""Suffix of a value that was measured on the one plane of a grey image."""

GREY_FILES = frozenset({"bridge"})
"""Images of the usual test sets that are distributed as grey files: one of Set14. Others (man of Set14, seven of
Urban100) have three equal channels and are colour files, which everyone measures on Y."""

Distance = Callable[[np.ndarray, np.ndarray], float]


class Measures:
    """The metrics of an evaluation.

    An image of GREY_FILES is measured as RGB on Y, as CDSR's and DASR's code does. The range of Y is 219 and not 255:
    that is 1.32 dB above the PSNR of its one plane, which MATLAB code measures, and which is kept too (`psnr_grey`).

    Args:
        names: of METRICS.
        lpips: the distance that `load_lpips` gives, where "lpips" is among them.
    """

    def __init__(self, names: Sequence[str] = ("psnr", "ssim"), *, lpips: Distance | None = None) -> None:
        unknown = [name for name in names if name not in METRICS]
        if unknown:
            raise ValueError(f"unknown metric {unknown[0]!r}; known: {', '.join(METRICS)}")
        if "lpips" in names and lpips is None:
            raise ValueError("metric lpips is asked for without its network: give that of load_lpips")
        self.names = tuple(dict.fromkeys(names))
        self._lpips = lpips

    def __call__(self, sr: np.ndarray, hr: np.ndarray, *, border: int, image: str = "") -> dict[str, float]:
        """Measure sr against hr, (H, W, 3) uint8 RGB; ValueError where they do not pair or are too small.

        image: its name, by which a grey file is known.
        """
        values: dict[str, float] = {}
        first, second = luma_planes(sr, hr, border)
        if "psnr" in self.names:
            values["psnr"] = psnr_of_planes(first, second)
        if "ssim" in self.names:
            values["ssim"] = ssim(first, second, border=border)
        if image in GREY_FILES and is_grey(hr):
            first, second = full_range(first), full_range(second)
            if "psnr" in self.names:
                values["psnr" + GREY] = psnr_of_planes(first, second)
            if "ssim" in self.names:
                values["ssim" + GREY] = ssim(first, second)
        if "rgb" in self.names:
            values["rgb"] = psnr_rgb(sr, hr, border)
        if self._lpips is not None:
            inside = slice(border, -border or None)
            values["lpips"] = self._lpips(sr[inside, inside], hr[inside, inside])
        return values

    def describe(self, border: int) -> dict[str, Any]:
        """What is measured and how, for JSON."""
        return {
            "names": list(self.names),
            "border": border,
            "rounding": "SR clipped and rounded to 8 bits",
            "psnr": "Y of BT.601, float64, peak 255",
            "ssim": f"Y of BT.601, Gaussian window of {SSIM_WINDOW}x{SSIM_WINDOW}, sigma {SSIM_SIGMA}, valid area",
            "grey_files": f"{', '.join(GREY_FILES)}: as RGB on Y, as CDSR's and DASR's code; psnr_grey: as one plane",
        } | ({"lpips": "AlexNet, version 0.1"} if "lpips" in self.names else {})


def load_lpips(device: torch.device) -> Distance:
    """LPIPS (Zhang et al., CVPR 2018) by its authors' library, with AlexNet.

    Raises:
        ValueError: the library or AlexNet's weights are not at hand; the message says how to get them.
    """
    try:
        import lpips
    except (ImportError, RuntimeError) as error:  # the latter: a torchvision that is built for another PyTorch
        raise ValueError(
            f"--metrics lpips needs a library that is not installed or does not fit ({error}): pip install lpips "
            "torchvision, the latter from where PyTorch is from"
        ) from error
    try:
        network = lpips.LPIPS(net="alex", version="0.1", verbose=False).eval().to(device)
    except (OSError, RuntimeError) as error:  # urllib's errors among the former; the latter: a file cut off
        folder = torch.hub.get_dir()
        raise ValueError(
            f"--metrics lpips needs AlexNet's weights, which could not be fetched ({error}): put torchvision's "
            f"alexnet-owt-7be5be79.pth into {folder}/checkpoints, or leave out lpips"
        ) from error

    @torch.inference_mode()
    def distance(sr: np.ndarray, hr: np.ndarray) -> float:
        first, second = (to_tensor(image)[None].to(device) / 127.5 - 1 for image in (sr, hr))  # to [-1, 1]
        return float(network(first, second))

    return distance
