"""LPIPS (Zhang et al., CVPR 2018), a learned distance, by its authors' library."""

from collections.abc import Callable

import numpy as np
import torch

from utils.image import to_tensor


def load_lpips(device: torch.device) -> Callable[[np.ndarray, np.ndarray], float]:
    """Load LPIPS with AlexNet; the distance is of (sr, hr), (H, W, 3) uint8 RGB.

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
