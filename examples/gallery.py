"""Upscale a folder of small images by bicubic and by several models, side by side: `python -m examples.gallery`.

Writes one WebP for each image, of what bicubic and the models make of it, and a page that shows them, each linked to
its file: there it stands at full size, so that nothing is hidden by shrinking. Whoever has looked at them writes a
verdict for each into OUT/verdicts.json, `{"NAME": ["worse", "a net of lines over the face"], ...}`; the page then
counts them, and shows first what is worse than bicubic.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from inference.upscaler import Upscaler
from model import create_model, open_model
from model.pretrained import blur_and_real, pretrained_path
from utils.image import list_images, read_rgb, to_tensor, to_uint8, write_image

GAP = 8  # pixels between two columns
CAPTION = 26  # pixels
VERDICTS = ("worse", "alike", "better")  # than bicubic, as the page orders them


def build_upscalers(words: Sequence[str], scale: int) -> dict[str, Upscaler]:
    """Make models ready, by their captions, files of one name by their paths.

    words: bicubic, NAME=WEIGHTS, or NAME: its shipped weights.
    """
    upscalers = {}
    for word in words:
        name, _, given = word.partition("=")
        path = Path(given) if given else pretrained_path(name, scale)
        is_bare = name.startswith("bicubic")
        model = create_model(name, scale) if is_bare else open_model(name, scale, path)
        caption = name if is_bare else path.stem if path.stem not in upscalers else str(path)
        upscalers[caption] = Upscaler(model.eval(), centred=True)
    return upscalers


def usual_models(scale: int) -> list[str]:
    """Bicubic, the shipped weights for blur, and those for real images where they ship."""
    return ["bicubic", *(f"CDSR_S={path}" for path in blur_and_real("CDSR_S", scale))]


def captioned(image: np.ndarray, caption: str) -> np.ndarray:
    """Put a line of text above an image."""
    head = np.full((CAPTION, image.shape[1], 3), 255, np.uint8)
    cv2.putText(head, caption, (2, CAPTION - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (40, 40, 40), 1, cv2.LINE_AA)
    return np.concatenate([head, image])


@torch.inference_mode()
def compare(image: np.ndarray, upscalers: dict[str, Upscaler]) -> np.ndarray:
    """An image as every model upscales it, in one row."""
    columns: list[np.ndarray] = []
    for name, upscaler in upscalers.items():
        sr = to_uint8(upscaler(to_tensor(image)[None])[0])
        column = captioned(sr, name)
        columns += [column, np.full((len(column), GAP, 3), 255, np.uint8)]
    return np.concatenate(columns[:-1], axis=1)


def page(title: str, names: Sequence[str], verdicts: Mapping[str, Sequence[str]]) -> str:
    """The page in Markdown: the count of the verdicts, then the images, each with its verdict and linked to its file.

    Raises:
        ValueError: a verdict is none of VERDICTS, or of no image.
    """
    for name, (verdict, _) in verdicts.items():
        if verdict not in VERDICTS or name not in names:
            raise ValueError(f"the verdict on {name}, {verdict}, is none of {', '.join(VERDICTS)}, or of no image here")
    counts = {word: sum(verdict == word for verdict, _ in verdicts.values()) for word in reversed(VERDICTS)}
    parts = [f"# {title}"]
    if verdicts:
        parts.append(", ".join(f"{count} {word}" for word, count in counts.items()) + f", of {len(names)} images.")
    for name in sorted(names, key=lambda name: VERDICTS.index(verdicts[name][0]) if name in verdicts else -1):
        told = f": {verdicts[name][0]}; {verdicts[name][1]}" if name in verdicts else ""
        parts += [f"**{name}**{told}", f"[![{name}]({name}.webp)]({name}.webp)"]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Draw all images and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True, help="folder of images")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--models", nargs="+", help="names, or NAME=WEIGHTS (default: bicubic and all that ships)")
    parser.add_argument("--quality", type=int, default=85, help="of WebP")
    parser.add_argument("--out", type=Path, default=Path("docs/gallery"))
    args = parser.parse_args()
    upscalers = build_upscalers(args.models or usual_models(args.scale), args.scale)
    told = args.out / "verdicts.json"
    verdicts = json.loads(told.read_text(encoding="utf-8")) if told.is_file() else {}
    args.out.mkdir(parents=True, exist_ok=True)
    names = []
    for path in list_images(args.images):
        write_image(args.out / f"{path.stem}.webp", compare(read_rgb(path), upscalers), quality=args.quality)
        names.append(path.stem)
        print(path.stem, flush=True)
    text = page(f"{', '.join(upscalers)}, ×{args.scale}", names, verdicts)
    (args.out / "images.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
