"""The one evaluation that training and testing share: upscale samples, measure, make tables."""

import csv
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from utils.device import synchronize
from utils.files import replacing, write_json
from utils.image import to_tensor, to_uint8
from utils.inference import Upscaler
from utils.interfaces import Sample, Samples
from utils.metrics import psnr_y, ssim_y

logger = logging.getLogger("cdsr")


@dataclass(frozen=True)
class Result:
    """One row: a picture under one kernel. A row that failed has an error and no figures."""

    picture: str
    case: str
    psnr: float = float("nan")
    ssim: float = float("nan")
    seconds: float = float("nan")
    error: str = ""


@dataclass(frozen=True)
class Summary:
    """Means over the rows of a set that did not fail."""

    psnr: float
    ssim: float
    num_pictures: int
    num_rows: int
    num_failed: int
    seconds: float


def evaluate(
    upscaler: Upscaler,
    samples: Samples,
    *,
    device: torch.device,
    name: str,
    on_result: Callable[[Sample, np.ndarray], None] | None = None,
) -> list[Result]:
    """Upscale every sample and measure PSNR and SSIM on Y, `scale` border pixels off.

    Args:
        upscaler: the model.
        samples: a corrupt one raises ValueError when it is indexed, and fails that row alone.
        device: where the model lives.
        name: what the progress bar shows.
        on_result: called with each sample and its SR picture, (H, W, 3) uint8.
    """
    results = []
    for index in tqdm(range(len(samples)), desc=name, leave=False, disable=None):
        try:
            sample = samples[index]
        except ValueError as error:
            logger.warning("%s: %s", name, error)
            picture, case = samples.keys[index]
            results.append(Result(picture=picture, case=case, error=str(error)))
            continue
        lr = to_tensor(sample.lr).unsqueeze(0).to(device)
        synchronize(device)
        start = time.perf_counter()
        sr_tensor = upscaler(lr)
        synchronize(device)
        seconds = time.perf_counter() - start
        sr = to_uint8(sr_tensor[0])
        results.append(
            Result(
                picture=sample.picture,
                case=sample.case,
                psnr=psnr_y(sr, sample.hr, border=upscaler.scale),
                ssim=ssim_y(sr, sample.hr, border=upscaler.scale),
                seconds=seconds,
            )
        )
        if on_result:
            on_result(sample, sr)
    return results


def summarize(results: Sequence[Result]) -> Summary:
    """Average the rows that did not fail."""
    good = [row for row in results if not row.error]
    return Summary(
        psnr=_mean([row.psnr for row in good]),
        ssim=_mean([row.ssim for row in good]),
        num_pictures=len({row.picture for row in good}),
        num_rows=len(good),
        num_failed=len(results) - len(good),
        seconds=_mean([row.seconds for row in good]),
    )


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def table(summaries: dict[str, Summary]) -> str:
    """Format one line a set, as GitHub Markdown."""
    lines = [
        "| set | PSNR (dB) | SSIM | pictures | rows | failed | s/picture |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in summaries.items():
        lines.append(
            f"| {name} | {row.psnr:.2f} | {row.ssim:.4f} | {row.num_pictures} | {row.num_rows} | "
            f"{row.num_failed} | {row.seconds:.3f} |"
        )
    return "\n".join(lines)


def write_results(path: Path, results: Sequence[Result], *, context: dict[str, Any]) -> None:
    """Write `path`.csv, one row a picture and kernel, and `path`.json with the means and what was measured how."""
    with replacing(path.with_name(path.name + ".csv")) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(Result.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(asdict(row) for row in results)
    content = {**context, "summary": asdict(summarize(results)), "rows": [asdict(row) for row in results]}
    write_json(path.with_name(path.name + ".json"), content)
