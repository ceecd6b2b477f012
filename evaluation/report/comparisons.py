"""Images of a report under a slider: LR enlarged by bicubic interpolation, SR and HR."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from PIL import Image

from evaluation.metrics import psnr_y
from evaluation.report.showcase import Shown, read_showcase
from utils.image import middle, read_rgb, to_tensor, to_uint8

LARGEST = (480, 640)
"""Height and width of what is shown; the middle of a larger image."""

QUALITY = 93


@dataclass(frozen=True)
class Card:
    """An image of the showcase: the size shown, data URIs by kind (LR, SR, HR), and the PSNR of plain bicubic."""

    shown: Shown
    width: int
    height: int
    images: dict[str, str]
    bicubic: float


def comparisons(folders: Mapping[Path, str]) -> list[tuple[str, list[Card]]]:
    """All showcases in folders of results: a title and the cards of the best images, then of each kernel's worst.

    folders: with what their runs are called.
    """
    parts: dict[str, list[Card]] = {}
    found = [(run, path) for results, run in folders.items() for path in sorted(results.glob("showcase_*"))]
    for run, folder in found:
        title = f"{folder.name.removeprefix('showcase_')} ({run})"
        for entry in read_showcase(folder):
            words = "highest mean PSNR" if entry.group == "best" else f"lowest PSNR under kernel {entry.kernel}"
            parts.setdefault(f"{title}: {words}", []).append(_card(folder, entry))
    return list(parts.items())


def _card(folder: Path, entry: Shown) -> Card:
    lr, sr, hr = (read_rgb(folder / f"{entry.stem}_{kind}.png") for kind in ("lr", "sr", "hr"))
    scale = hr.shape[0] // lr.shape[0]
    bicubic = to_uint8(F.interpolate(to_tensor(lr)[None], size=hr.shape[:2], mode="bicubic", align_corners=False)[0])
    height, width = middle(hr, *LARGEST).shape[:2]
    images = {"LR": _uri(bicubic), "SR": _uri(sr), "HR": _uri(hr)}
    return Card(entry, width, height, images, psnr_y(bicubic, hr, scale))


def _uri(image: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(middle(image, *LARGEST)).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return data_uri(buffer.getvalue(), "jpeg")


def data_uri(content: bytes, kind: str) -> str:
    """Inline an image file."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
