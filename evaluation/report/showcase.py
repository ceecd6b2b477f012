"""The best images of an evaluation and each kernel's worst, kept with their LR and HR for a report."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.samples import Testset
from evaluation.evaluate import Stopwatch
from evaluation.metrics import psnr_y
from evaluation.results import Result
from inference.upscaler import Upscaler
from model import create_model
from utils.files import write_json
from utils.image import write_image

NUM_BEST = 10
NUM_WORST = 10
"""Divided among the kernels, but at least two for each."""

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
    bicubic: float  # PSNR of interpolation, as the papers of the protocol compare with
    stem: str


def choose(results: Mapping[str, Sequence[Result]]) -> list[tuple[str, str, Result]]:
    """Pick (group, set, row): the images of highest PSNR, then for each kernel those of lowest PSNR under it.

    The best are ranked by their mean over the kernels, and shown under the kernel that comes nearest to that mean. No
    row is picked twice.
    """
    of_image: dict[tuple[str, str], list[Result]] = {}
    of_kernel: dict[str, list[tuple[str, Result]]] = {}
    for test_set, rows in results.items():
        for row in rows:
            if not row.error and np.isfinite(row.psnr):
                of_image.setdefault((test_set, row.image), []).append(row)
                of_kernel.setdefault(row.kernel, []).append((test_set, row))
    means = {key: float(np.mean([row.psnr for row in rows])) for key, rows in of_image.items()}
    chosen = []
    for key in sorted(means, key=lambda key: -means[key])[: min(NUM_BEST, (len(means) + 1) // 2)]:
        distances = [abs(row.psnr - means[key]) for row in of_image[key]]
        chosen.append(("best", key[0], of_image[key][int(np.argmin(distances))]))
    shown = {id(row) for _, _, row in chosen}
    number = max(2, NUM_WORST // max(1, len(of_kernel)))
    for entries in of_kernel.values():
        entries = sorted((entry for entry in entries if id(entry[1]) not in shown), key=lambda entry: entry[1].psnr)
        chosen += [("worst", test_set, row) for test_set, row in entries[:number]]
    return chosen


def write_showcase(
    folder: Path,
    results: Mapping[str, Sequence[Result]],
    testsets: Mapping[str, Testset],
    checkpoint: Mapping[str, Any],
    upscaler: Upscaler,
    device: torch.device,
) -> None:
    """Write LR, SR and HR of the chosen images, in place of what the folder held before.

    testsets: by name, all of one protocol. checkpoint: what the index says of the weights.
    """
    shutil.rmtree(folder, ignore_errors=True)
    baseline = create_model(next(iter(testsets.values())).protocol.degradation().baseline, upscaler.scale)
    upscale = Stopwatch(upscaler, device, is_alone=False)
    interpolate = Stopwatch(Upscaler(baseline), torch.device("cpu"), is_alone=False)
    shown = []
    for group, test_set, row in choose(results):
        testset = testsets[test_set]
        sample = testset[testset.keys.index((row.image, row.kernel))]
        stem = f"{test_set}_{row.image}_{row.kernel}"
        for kind, image in (("lr", sample.lr), ("sr", upscale(sample).sr), ("hr", sample.hr)):
            write_image(folder / f"{stem}_{kind}.png", image)
        bicubic = psnr_y(interpolate(sample).sr, sample.hr, upscaler.scale)
        shown.append(Shown(group, test_set, row.image, row.kernel, row.psnr, row.ssim, bicubic, stem))
    write_json(folder / INDEX, {"checkpoint": checkpoint, "images": [asdict(entry) for entry in shown]})


def read_showcase(folder: Path) -> tuple[dict[str, Any], list[Shown]]:
    """What a showcase says of the weights, and its entries; both empty where there is none."""
    path = folder / INDEX
    if not path.is_file():
        return {}, []
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["checkpoint"], [Shown(**entry) for entry in content["images"]]
