"""The best and the worst images of an evaluation, kept with their LR and HR for a report."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from data.samples import Samples
from evaluation.evaluate import Stopwatch
from evaluation.results import Result
from inference.upscaler import Upscaler
from utils.files import write_json
from utils.image import write_image

NUM_SHOWN = 10
"""Images at each end."""

INDEX = "showcase.json"


@dataclass(frozen=True)
class Shown:
    """An image of the showcase; its files are STEM_lr.png, STEM_sr.png and STEM_hr.png."""

    group: str  # best or worst
    test_set: str
    image: str
    kernel: str
    psnr: float
    ssim: float | None
    stem: str


def choose(results: Mapping[str, Sequence[Result]], number: int = NUM_SHOWN) -> list[tuple[str, str, Result]]:
    """Pick (group, set, row): the `number` images of lowest and of highest PSNR, none of them twice.

    An image is ranked by its mean over the kernels, and shown under the kernel that comes nearest to that mean.
    """
    ranked: list[tuple[float, str, Result]] = []
    for test_set, rows in results.items():
        of_image: dict[str, list[Result]] = {}
        for row in rows:
            if not row.error and np.isfinite(row.psnr):
                of_image.setdefault(row.image, []).append(row)
        for own in of_image.values():
            mean = float(np.mean([row.psnr for row in own]))
            ranked.append((mean, test_set, min(own, key=lambda row: abs(row.psnr - mean))))
    ranked.sort(key=lambda entry: -entry[0])
    number = min(number, (len(ranked) + 1) // 2)
    worst = ranked[number:][::-1][:number]
    return [
        (group, test_set, row)
        for group, entries in (("best", ranked[:number]), ("worst", worst))
        for _, test_set, row in entries
    ]


def write_showcase(
    folder: Path,
    results: Mapping[str, Sequence[Result]],
    samples: Mapping[str, Samples],
    upscaler: Upscaler,
    device: torch.device,
) -> None:
    """Write LR, SR and HR of the chosen images, in place of what the folder held before."""
    shutil.rmtree(folder, ignore_errors=True)
    clock = Stopwatch(upscaler, device, warm_up=False)
    shown = []
    for group, test_set, row in choose(results):
        sample = samples[test_set][samples[test_set].keys.index((row.image, row.kernel))]
        stem = f"{test_set}_{row.image}_{row.kernel}"
        for kind, image in (("lr", sample.lr), ("sr", clock(sample)[0]), ("hr", sample.hr)):
            write_image(folder / f"{stem}_{kind}.png", image)
        shown.append(Shown(group, test_set, row.image, row.kernel, row.psnr, row.ssim, stem))
    write_json(folder / INDEX, [asdict(entry) for entry in shown])


def read_showcase(folder: Path) -> list[Shown]:
    """The entries of a showcase, empty where there is none."""
    path = folder / INDEX
    return [Shown(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))] if path.is_file() else []
