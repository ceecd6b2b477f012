"""Results to report on."""

import json
from pathlib import Path

import numpy as np

import test as program
from evaluation.embeddings import Embeddings, write_embeddings
from evaluation.results import Result, write_results
from utils.image import write_image

LABELS = [f"k{number}" for number in range(9)]


def write_result(
    folder: Path,
    test_set: str,
    psnr: float,
    *,
    labels: list[str] = LABELS,
    protocol: dict | None = None,
    **more: object,
) -> None:
    rows = [Result("p", label, {"psnr": psnr, "ssim": 0.95}, 0.1) for label in labels]
    test_kernels = [{"label": label, "sv_mode": 0} for label in labels]
    context = {
        "set": test_set,
        "protocol": {
            **{"protocol": "cdsr", "scale": 2, "noise": 0.0, "blur_kernel": 21, "sample_mode": "s-fold"},
            **{"test_kernels": test_kernels, **(protocol or {})},
        },
        **{"checkpoint": {"model": "CDSR_S"}, **more},
    }
    write_results(folder / f"{test_set}_{len(labels)}", rows, context=context)


def make_report(tmp_path: Path, *more: str) -> Path:
    """A run of bicubic on two tiny images, with every part of a report; returns its page."""
    for number in range(3):
        coarse = np.random.default_rng(number).integers(0, 256, (10, 12, 3), np.uint8)
        write_image(tmp_path / "sets" / "Tiny" / f"p{number}.png", np.kron(coarse, np.ones((6, 6, 1), np.uint8)))
    results = tmp_path / "run" / "results"
    results.mkdir(parents=True)
    lines = [{"iteration": 100 * n, "phase": "joint", "pixel": 9.0 / n} for n in range(1, 6)]
    (tmp_path / "run" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    codes = np.random.default_rng(0).standard_normal((12, 4)).astype(np.float32)
    write_embeddings(results / "embeddings_x2", Embeddings(codes, ("a", "b") * 6, tuple("uvwxyz" * 2)))
    words = [
        "--cpu",
        "--model",
        "bicubic",
        "--scale",
        "2",
        "--test_path",
        str(tmp_path / "sets"),
        "--test_sets",
        "Tiny",
    ]
    assert program.main([*words, "--results", str(results), "--report", *more]) == 0
    return results / "report.html"
