"""Upscale a folder of small images by bicubic and by several models, side by side: `python -m examples.gallery`.

Writes one WebP for each image and a page that shows them all. What bicubic and a model make of the middle of the
image stands at full size, so that nothing is hidden by shrinking.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from inference.upscaler import Upscaler, grid_shift
from model import create_model, load_model
from model.pretrained import pretrained_path
from utils.image import list_images, middle, read_rgb, to_tensor, to_uint8, write_image

GAP = 8  # pixels between two columns
LARGEST_SIDE = 128  # LR pixels shown
CAPTION = 26  # pixels


def build_upscaler(name: str, scale: int, weights: Path | None) -> Upscaler:
    """Make a model ready; bicubic has no weights."""
    model = create_model(name, scale)
    metadata = load_model(model, weights or pretrained_path(name, scale)) if model.is_trainable else {}
    return Upscaler(model.eval(), shift=grid_shift(model, metadata), centred=True)


def captioned(image: np.ndarray, caption: str) -> np.ndarray:
    """Put a line of text above an image."""
    head = np.full((CAPTION, image.shape[1], 3), 255, np.uint8)
    cv2.putText(head, caption, (2, CAPTION - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (40, 40, 40), 1, cv2.LINE_AA)
    return np.concatenate([head, image])


@torch.inference_mode()
def compare(image: np.ndarray, upscalers: dict[str, Upscaler]) -> np.ndarray:
    """The middle of an image as every model upscales the whole of it, in one row."""
    columns: list[np.ndarray] = []
    for name, upscaler in upscalers.items():
        sr = to_uint8(upscaler(to_tensor(image)[None])[0])
        shown = LARGEST_SIDE * upscaler.scale
        column = captioned(middle(sr, shown, shown), name)
        columns += [column, np.full((len(column), GAP, 3), 255, np.uint8)]
    return np.concatenate(columns[:-1], axis=1)


def main() -> None:
    """Draw all images and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True, help="folder of images")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--models", nargs="+", default=["bicubic", "CDSR_S"], help="names, or NAME=WEIGHTS")
    parser.add_argument("--quality", type=int, default=85, help="of WebP")
    parser.add_argument("--out", type=Path, default=Path("docs/gallery"))
    args = parser.parse_args()
    upscalers = {}
    for word in args.models:
        name, _, weights = word.partition("=")
        label = f"{name} {Path(weights).stem}" if weights else name
        upscalers[f"{label} x{args.scale}"] = build_upscaler(name, args.scale, Path(weights) if weights else None)
    args.out.mkdir(parents=True, exist_ok=True)
    names = []
    for path in list_images(args.images):
        write_image(args.out / f"{path.stem}.webp", compare(read_rgb(path), upscalers), quality=args.quality)
        names.append(path.stem)
        print(path.stem, flush=True)
    rows = "\n\n".join(f"**{name}**\n\n![{name}]({name}.webp)" for name in names)
    (args.out / "images.md").write_text(f"# {', '.join(upscalers)}\n\n{rows}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
