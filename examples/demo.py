"""`make demo`: train for a minute, test the shipped weights, upscale photographs, draw a figure.

Everything comes from the photographs that scikit-image ships; nothing is downloaded. Run it from the root of the
repository: `python -m examples.demo`.
"""

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import skimage

import main
import test
from utils.figures import side_by_side
from utils.image import read_rgb, write_image

FOLDER = Path("experiment/demo")
TRAINING = (
    *("brick", "camera", "chelsea", "coins", "grass", "gravel", "hubble_deep_field"),
    *("ihc", "moon", "motorcycle_left", "retina", "rocket"),
)
HELD_OUT = ("astronaut", "coffee")
SHOWN, KERNEL, DETAIL = "astronaut", "5.0_1.0_0.8", (60, 180, 110, 110)
"""What the figure shows: a photograph, the kernel of its LR picture, and a detail (top, left, height, width)."""


def export_photographs() -> None:
    """Write scikit-image's photographs as PNG: HR/ to train on, testset/Photographs/ held out."""
    shipped = Path(skimage.__file__).parent / "data"
    for names, folder in ((TRAINING, FOLDER / "HR"), (HELD_OUT, FOLDER / "testset" / "Photographs")):
        for name in names:
            write_image(folder / f"{name}.png", read_rgb(next(shipped.glob(f"{name}.*"))))


def run(title: str, program: Callable[[list[str]], int], script: str, words: str) -> None:
    """Call `main.py` or `test.py` with a command line, and stop where it fails."""
    print(f"\n== {title}\n$ python {script} {words}", flush=True)
    code = program(words.split())
    if code:
        sys.exit(code)


def draw_comparison(path: Path) -> None:
    """Put LR, bicubic, ours and HR of a held-out photograph side by side."""
    results = FOLDER / "results"
    stem = f"{SHOWN}_{KERNEL}"
    columns = [("LR, as it is", read_rgb(FOLDER / "lr.png"))]
    for title, model in (("bicubic", "bicubic"), ("CDSR_S", "CDSR_S")):
        table = results / f"Photographs_x2_mode0_noise0_{model}"
        with table.with_name(table.name + ".csv").open(newline="") as file:
            row = next(row for row in csv.DictReader(file) if (row["picture"], row["case"]) == (SHOWN, KERNEL))
        figures = f"{float(row['psnr']):.2f} dB / {float(row['ssim']):.4f}"
        columns.append((f"{title}\n{figures}", read_rgb(table / f"{stem}.png")))
    columns.append(("HR", read_rgb(FOLDER / "testset" / "Photographs" / f"{SHOWN}.png")))
    side_by_side(columns, path, zoom=DETAIL)


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
        "upscale a folder of pictures",
        test.main,
        "test.py",
        f"--model CDSR_S --dir_demo {FOLDER}/testset/Photographs --results {FOLDER}/upscaled",
    )
    figure = FOLDER / "comparison.png"
    draw_comparison(figure)
    print(f"\nlosses of the training: {FOLDER}/run_x2_s-fold_aniso/train.log\nupscaled pictures: {FOLDER}/upscaled")
    print(f"figure: {figure}")


if __name__ == "__main__":
    demo()
