"""Images of a report under a slider: LR enlarged by bicubic interpolation, SR and HR."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from PIL import Image

from evaluation.metrics import psnr_y
from evaluation.report.showcase import Shown, read_showcase
from utils.image import middle, read_rgb, to_tensor, to_uint8

LARGEST = (480, 640)
"""Height and width of what is shown; the middle of a larger image."""

PAIRS = (("LR", "SR"), ("SR", "HR"), ("LR", "HR"))
QUALITY = 93


def comparisons(folders: Sequence[Path]) -> str:
    """All showcases in folders of results, the best images and the worst ones."""
    parts = []
    for folder in (path for results in folders for path in sorted(results.glob("showcase_*"))):
        for group in ("best", "worst"):
            own = [entry for entry in read_showcase(folder) if entry.group == group]
            if own:
                title = html.escape(folder.name.removeprefix("showcase_"))
                cards = "".join(_card(folder, entry) for entry in own)
                parts.append(
                    f"<h3>{title}: {'highest' if group == 'best' else 'lowest'} PSNR</h3>"
                    f'<div class="cards">{cards}</div>'
                )
    if not parts:
        return ""
    return (
        '<p class="soft">Drag the line, or focus it and use the arrow keys; the keys 1, 2 and 3 choose the pair. LR is '
        "enlarged by bicubic interpolation. Of large images the middle is shown.</p>" + "".join(parts)
    )


def _card(folder: Path, entry: Shown) -> str:
    lr, sr, hr = (read_rgb(folder / f"{entry.stem}_{kind}.png") for kind in ("lr", "sr", "hr"))
    scale = hr.shape[0] // lr.shape[0]
    bicubic = to_uint8(F.interpolate(to_tensor(lr)[None], size=hr.shape[:2], mode="bicubic", align_corners=False)[0])
    plain = psnr_y(bicubic, hr, scale)
    images = "".join(
        f'<img class="{name.lower()}" src="{_uri(image)}" alt="{name}" draggable="false">'
        for name, image in (("LR", bicubic), ("SR", sr), ("HR", hr))
    )
    buttons = "".join(
        f'<button type="button" data-left="{left.lower()}" data-right="{right.lower()}" '
        f'aria-pressed="{"true" if index == 0 else "false"}">{left} | {right}</button>'
        for index, (left, right) in enumerate(PAIRS)
    )
    height, width = middle(hr, *LARGEST).shape[:2]
    name = html.escape(f"{entry.test_set} {entry.image}")
    ssim = "" if entry.ssim is None else f" / {entry.ssim:.4f}"
    return (
        f'<figure class="compare" data-left="lr" data-right="sr">'
        f'<div class="stage" style="aspect-ratio:{width}/{height}">{images}'
        '<span class="tag left">LR</span><span class="tag right">SR</span><div class="line"></div>'
        f'<input type="range" min="0" max="100" step="0.5" value="50" aria-label="Divide {name}"></div>'
        f'<figcaption><div><b>{name}</b> <span class="soft">kernel {html.escape(entry.kernel)}</span></div>'
        f"<div>{entry.psnr:.2f} dB{ssim} "
        f'<span class="soft">bicubic {plain:.2f} dB</span></div>'
        f'<div class="buttons">{buttons}'
        '<button type="button" class="enlarge" aria-pressed="false">larger</button></div>'
        "</figcaption></figure>"
    )


def _uri(image: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(middle(image, *LARGEST)).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return data_uri(buffer.getvalue(), "jpeg")


def data_uri(content: bytes, kind: str) -> str:
    """Inline an image file."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
