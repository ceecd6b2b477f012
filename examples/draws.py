"""One image under twenty draws of `--degradation real`: `python -m examples.draws --image FILE --out FIGURE`.

Each LR image is enlarged pixel by pixel. Below it stands what a model is told of the draw: the standard deviation of
all blur in LR pixels, that of the noise in grey levels, and the quality of a JPEG that ends it.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure

from data.degradation import DegradationConfig, RealDegradation
from data.degradation.real import RealParameters
from evaluation.figures import figure_pixels
from utils.image import middle, read_rgb, to_tensor, to_uint8, write_image

NUM_ROWS, NUM_COLUMNS = 4, 5
HEIGHT, WIDTH = 192, 240  # HR pixels shown


def draw(hr: np.ndarray, degradation: RealDegradation) -> np.ndarray:
    """Draw an image (H, W, 3) uint8 under the first twenty draws; (h, w, 3) uint8."""
    scale = degradation.config.scale
    figure = Figure(figsize=(2.6 * NUM_COLUMNS, 2.45 * NUM_ROWS), dpi=110, layout="constrained")
    for plan, axes in enumerate(figure.subplots(NUM_ROWS, NUM_COLUMNS).flat):
        seed = torch.tensor([plan])
        lr = to_uint8(degradation.apply(to_tensor(hr)[None], RealParameters(seed, seed))[0])
        axes.imshow(cv2.resize(lr, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST))
        axes.set_axis_off()
        effect = degradation.effect(plan)
        jpeg = f"JPEG {effect.quality}" if effect.quality < 100 else "no JPEG"
        axes.set_title(f"blur {effect.width / scale:.1f}, noise {effect.noise:.0f}, {jpeg}", fontsize=9, y=-0.12)
    return figure_pixels(figure)


def main() -> None:
    """Draw and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, required=True, help="an HR image; its middle is shown")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True, help="the figure, in any format for images")
    args = parser.parse_args()
    config = DegradationConfig(degradation="real", scale=args.scale)
    write_image(args.out, draw(middle(read_rgb(args.image), HEIGHT, WIDTH), RealDegradation(config)), quality=85)


if __name__ == "__main__":
    main()
