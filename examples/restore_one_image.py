"""Upscale one image from Python: `python -m examples.restore_one_image IMAGE RESULT [WEIGHTS]`.

Run from the root of the repository. The suffix of the result chooses its format; PNG and TIFF keep depth, alpha, colour
profile and metadata.
"""

import sys
from pathlib import Path

from inference.upscaler import Upscaler
from model import open_model
from model.pretrained import pretrained_path
from restore.restore import restore_image
from utils.device import select_device
from utils.image import read_image, write_image


def restore(source: Path, target: Path, *, name: str = "CDSR_S", scale: int = 2, weights: Path | None = None) -> None:
    """Upscale the image at `source` into `target`, with the shipped weights for real images unless others are given."""
    device = select_device("auto")
    model = open_model(name, scale, weights or pretrained_path(name, scale, real=True))

    # Tiles that fit into the memory; the result lies exactly over the image.
    upscaler = Upscaler(model.to(device).eval(), tile="auto", centred=True)

    image = read_image(source)
    larger = restore_image(image, upscaler, device)
    write_image(target, larger)

    height, width = larger.pixels.shape[:2]
    print(f"{target}: {width}x{height}, {larger.num_bits} bits")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: python -m examples.restore_one_image IMAGE RESULT [WEIGHTS]")
    restore(Path(sys.argv[1]), Path(sys.argv[2]), weights=Path(sys.argv[3]) if len(sys.argv) == 4 else None)
