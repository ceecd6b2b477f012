"""Images of a report under a slider: LR enlarged by bicubic interpolation, SR and HR."""

import base64
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from PIL import Image

from evaluation.report.showcase import Shown, read_showcase
from utils.image import middle, read_rgb, to_tensor, to_uint8

LARGEST = (480, 640)
"""Height and width of what is shown; the middle of a larger image."""

QUALITY = 93


@dataclass(frozen=True)
class Card:
    """An image of the showcase: the size shown, and data URIs by kind (LR, SR, HR)."""

    shown: Shown
    width: int
    height: int
    images: dict[str, str]


def comparisons(
    folders: Mapping[Path, str], is_evaluated: Callable[[Path, Mapping[str, Any]], bool]
) -> list[tuple[str, list[Card]]]:
    """All showcases in folders of results: a title and the cards of the best images, then of each kernel's worst.

    Args:
        folders: with what their runs are called.
        is_evaluated: whether a checkpoint is one that the results in a folder are of; others are left out.
    """
    parts: dict[str, list[Card]] = {}
    found = [(run, path) for results, run in folders.items() for path in sorted(results.glob("showcase_*"))]
    for run, folder in found:
        title = f"{folder.name.removeprefix('showcase_')} ({run})"
        checkpoint, entries = read_showcase(folder)
        for entry in entries if is_evaluated(folder.parent, checkpoint) else ():
            words = "highest mean PSNR" if entry.group == "best" else f"lowest PSNR under kernel {entry.kernel}"
            parts.setdefault(f"{title}: {words}", []).append(_card(folder, entry))
    return list(parts.items())


def _card(folder: Path, entry: Shown) -> Card:
    lr, sr, hr = (read_rgb(folder / f"{entry.stem}_{kind}.png") for kind in ("lr", "sr", "hr"))
    enlarged = to_uint8(F.interpolate(to_tensor(lr)[None], size=hr.shape[:2], mode="bicubic", align_corners=False)[0])
    height, width = middle(hr, *LARGEST).shape[:2]
    images = {"LR": _uri(enlarged), "SR": _uri(sr), "HR": _uri(hr)}
    return Card(entry, width, height, images)


def _uri(image: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(middle(image, *LARGEST)).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return data_uri(buffer.getvalue(), "jpeg")


def data_uri(content: bytes, kind: str) -> str:
    """Inline an image file."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
