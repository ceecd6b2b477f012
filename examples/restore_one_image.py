"""Upscale one picture from Python: `python -m examples.restore_one_image PICTURE RESULT.png [WEIGHTS]`.

Run from the root of the repository. Depth, alpha, colour profile and metadata of the picture are kept.
"""

import sys
from pathlib import Path

from model import open_model
from model.pretrained import pretrained_path
from utils.device import select_device
from utils.inference import Upscaler
from utils.pictures.picture import read_picture
from utils.pictures.picture_file import write_picture
from utils.pictures.restore import restore_picture


def restore(source: Path, target: Path, *, name: str = "CDSR_S", scale: int = 2, weights: Path | None = None) -> None:
    """Upscale the picture at `source` into the PNG `target`, by the shipped weights unless others are given."""
    device = select_device("auto")
    model, _ = open_model(name, scale, weights or pretrained_path(name, scale))

    # Tiles that fit into the memory; the result lies exactly over the picture.
    upscaler = Upscaler(model.to(device).eval(), tile="auto", centred=True)

    picture = read_picture(source)
    larger = restore_picture(picture, upscaler, device)
    write_picture(target, larger, file_format="PNG")

    height, width = larger.pixels.shape[:2]
    print(f"{target}: {width}x{height}, {larger.num_bits} bits")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: python -m examples.restore_one_image PICTURE RESULT.png [WEIGHTS]")
    restore(Path(sys.argv[1]), Path(sys.argv[2]), weights=Path(sys.argv[3]) if len(sys.argv) == 4 else None)
