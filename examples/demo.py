"""`make demo`: train for a minute, test the shipped weights, upscale photographs, draw a figure.

Everything comes from the photographs that scikit-image ships; nothing is downloaded. Run it from the root of the
repository: `python -m examples.demo`.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import skimage

import main
import test
from data.protocols import get_protocol
from evaluation.results import read_rows
from evaluation.side_by_side import side_by_side
from utils.image import read_rgb, write_image

FOLDER = Path("experiment/demo")
TRAINING = (
    *("brick", "camera", "chelsea", "coins", "grass", "gravel", "hubble_deep_field"),
    *("ihc", "moon", "motorcycle_left", "retina", "rocket"),
)
DETAILS = {"astronaut": (60, 180, 110, 110), "coffee": (150, 230, 130, 130)}
"""Photographs held out, and the detail (top, left, height, width) that a figure enlarges."""

KERNEL = "5.0_1.0_0.8"
"""What the LR images of the figures were blurred by: variances 5 and 1, 45 degrees."""


def export_photographs() -> None:
    """Write scikit-image's photographs as PNG: HR/ to train on, testset/Photographs/ held out."""
    shipped = Path(skimage.__file__).parent / "data"
    for names, folder in ((TRAINING, FOLDER / "HR"), (tuple(DETAILS), FOLDER / "testset" / "Photographs")):
        for name in names:
            write_image(folder / f"{name}.png", read_rgb(next(shipped.glob(f"{name}.*"))))


def run(title: str, program: Callable[[list[str]], int], script: str, words: str) -> None:
    """Call `main.py` or `test.py` with a command line, and stop where it fails."""
    print(f"\n== {title}\n$ python {script} {words}", flush=True)
    code = program(words.split())
    if code:
        sys.exit(code)


def draw_comparison(name: str) -> Path:
    """Put LR, bicubic, ours and HR of a held-out photograph side by side; returns the path of the figure."""
    hr = read_rgb(FOLDER / "testset" / "Photographs" / f"{name}.png")
    protocol = get_protocol("cdsr", 2)
    labels = [test_kernel.label for test_kernel in protocol.test_kernels]
    columns = [("LR", protocol.degrade(name, hr)[labels.index(KERNEL)])]
    for model in ("bicubic", "CDSR_S"):
        stem = FOLDER / "results" / f"Photographs_x2_{protocol.slug}_{model}"
        rows = read_rows(stem.with_name(stem.name + ".csv"))
        [row] = [row for row in rows if (row.image, row.kernel) == (name, KERNEL)]
        figures = f"{row.psnr:.2f} dB / {row.values['ssim']:.4f}"
        columns.append((f"{model}\n{figures}", read_rgb(stem / f"{name}_{KERNEL}.png")))
    path = FOLDER / f"comparison_{name}.png"
    side_by_side([*columns, ("HR", hr)], path, zoom=DETAILS[name])
    return path


def demo() -> None:
    """Run the whole demonstration; the path of the figure is printed last."""
    export_photographs()
    run(
        "train the small model for about a minute",
        main.main,
        "main.py",
        f"--template quickstart --dir_data {FOLDER}/HR --data_range 1-10/11-12 --save demo/run --reset --n_threads 1",
    )
    tested = f"--test_path {FOLDER}/testset --test_sets Photographs --save_results --results {FOLDER}/results"
    run("bicubic on photographs held out", test.main, "test.py", f"--model bicubic {tested}")
    run("the shipped weights on the same", test.main, "test.py", f"--model CDSR_S {tested}")
    run(
        "upscale a folder of images",
        test.main,
        "test.py",
        f"--model CDSR_S --dir_demo {FOLDER}/testset/Photographs --results {FOLDER}/upscaled",
    )
    figures = [draw_comparison(name) for name in DETAILS]
    print(f"\nlosses of the training: {FOLDER}/run_x2_s-fold_aniso/train.log\nupscaled images: {FOLDER}/upscaled")
    print("figures:", *figures, sep="\n")


if __name__ == "__main__":
    demo()
