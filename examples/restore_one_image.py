"""Upscale one image from Python: `python -m examples.restore_one_image IMAGE RESULT.png [WEIGHTS]`.

Run from the root of the repository. Depth, alpha, colour profile and metadata of the image are kept.
"""

import sys
from pathlib import Path

from inference.upscaler import Upscaler
from model import grid_shift, open_model
from model.pretrained import pretrained_path
from restore.image import read_image
from restore.image_file import write_image
from restore.restore import restore_image
from utils.device import select_device


def restore(source: Path, target: Path, *, name: str = "CDSR_S", scale: int = 2, weights: Path | None = None) -> None:
    """Upscale the image at `source` into the PNG `target`, by the shipped weights unless others are given."""
    device = select_device("auto")
    model, metadata = open_model(name, scale, weights or pretrained_path(name, scale))

    # Tiles that fit into the memory; the result lies exactly over the image.
    upscaler = Upscaler(model.to(device).eval(), tile="auto", shift=grid_shift(model, metadata), centred=True)

    image = read_image(source)
    larger = restore_image(image, upscaler, device)
    write_image(target, larger, file_format="PNG")

    height, width = larger.pixels.shape[:2]
    print(f"{target}: {width}x{height}, {larger.num_bits} bits")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: python -m examples.restore_one_image IMAGE RESULT.png [WEIGHTS]")
    restore(Path(sys.argv[1]), Path(sys.argv[2]), weights=Path(sys.argv[3]) if len(sys.argv) == 4 else None)
