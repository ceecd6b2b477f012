"""`make demo`: train for a minute, test the shipped weights, upscale photographs, draw a figure.

Everything comes from the photographs that scikit-image ships; nothing is downloaded. Run it from the root of the
repository: `python -m examples.demo`.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import skimage

import main
import test
from utils.figures import side_by_side
from utils.image import read_rgb, to_tensor, to_uint8, write_image
from utils.inference import Upscaler
from model import create_model

FOLDER = Path("experiment/demo")
TRAINING = ("brick", "camera", "chelsea", "grass", "gravel", "hubble_deep_field", "ihc", "moon", "motorcycle_left", "retina", "rocket")
HELD_OUT = ("astronaut", "coffee")


def export_photographs() -> None:
    """Write scikit-image's photographs as PNG: HR/ to train on, testset/Photographs/ held out."""
    shipped = Path(skimage.__file__).parent / "data"
    for names, folder in ((TRAINING, FOLDER / "HR"), (HELD_OUT, FOLDER / "testset" / "Photographs")):
        for name in names:
            source = next(shipped.glob(f"{name}.*"))
            write_image(folder / f"{name}.png", read_rgb(source))


def run(step: str, program, *words: str) -> None:
    """Call `main.py` or `test.py` with a command line, and stop where it fails."""
    print(f"\n== {step}\n$ python {program.__name__}.py {' '.join(words)}", flush=True)
    code = program.main(list(words))
    if code:
        sys.exit(code)


def draw_comparison(name: str) -> Path:
    """Put LR, bicubic, ours and HR of a held-out photograph side by side."""
    results = FOLDER / "results"
    stem = f"{name}_5.0_1.0_0.8.png"
    hr = read_rgb(FOLDER / "testset" / "Photographs" / f"{name}.png")
    bicubic = read_rgb(results / "Photographs_x2_mode0_noise0_bicubic" / stem)
    ours = read_rgb(results / "Photographs_x2_mode0_noise0_CDSR_S" / stem)
    return side_by_side_of(name, bicubic, ours, hr)
