"""The project grows as CONTRIBUTING says: one of each kind is added to a copy of the tree, trained and tested."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from utils.image import write_image

ROOT = Path(__file__).parent.parent

ADDITIONS: dict[str, dict[str, str | list[tuple[str, str]]]] = {
    # what: file -> its content where it is new, else the lines to add, each after an anchor
    "a degradation": {
        "data/degradation/box.py": '''"""Box blur and plain subsampling."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from data.degradation.base import Degradation, Generators, Parameters, TestKernel
from data.degradation.noise import quantise


@dataclass(frozen=True)
class BoxParameters(Parameters):
    radius: Tensor  # (B,) HR pixels


class BoxDegradation(Degradation):
    """The mean of 1x1 or 3x3 pixels."""

    name = "box"
    sample_mode = "s-fold"
    default_protocol = "box"

    def draw(self, batch_size: int, generator: torch.Generator) -> BoxParameters:
        return BoxParameters(torch.randint(2, (batch_size,), generator=generator))

    def parameters_of(self, test_kernels: Sequence[TestKernel], noise: float, seeds: Sequence[int]) -> BoxParameters:
        return BoxParameters(torch.tensor([int(kernel.kernel["radius"]) for kernel in test_kernels]))

    def apply(self, hr: Tensor, parameters: BoxParameters, noise_generator: Generators | None = None) -> Tensor:
        lr = [self.blur(image, int(radius)) for image, radius in zip(hr, parameters.radius, strict=True)]
        return quantise(torch.stack(lr))

    def blur(self, image: Tensor, radius: int) -> Tensor:
        planes = F.pad(image.reshape(1, -1, *image.shape[-2:]), (radius,) * 4, mode="replicate")
        lr = F.avg_pool2d(planes, 2 * radius + 1, stride=self.config.scale)
        return lr.reshape(*image.shape[:-2], *lr.shape[-2:])
''',
        "data/degradation/__init__.py": [
            ("from data.degradation.cdsr import", "from data.degradation.box import BoxDegradation"),
            ("register(DASRDegradation)", "register(BoxDegradation)"),
        ],
    },
    "a model": {
        "model/espcn.py": '''"""A sub-pixel convolution and nothing else."""

import torch.nn.functional as F
from torch import Tensor, nn

from model.network import Network


class ESPCN(Network):
    def __init__(self, *, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.tail = nn.Conv2d(3, 3 * scale**2, 3, padding=1)

    def super_resolve(self, lr: Tensor, code: Tensor) -> Tensor:
        return F.pixel_shuffle(self.tail(lr), self.scale)
''',
        "model/__init__.py": [
            ("from model.dasr import", "from model.espcn import ESPCN"),
            ('register("bicubic", Bicubic)', 'register("ESPCN", ESPCN)'),
        ],
    },
    "a loss": {
        "loss/charbonnier.py": '''"""Charbonnier's loss."""

from torch import Tensor, nn


class CharbonnierLoss(nn.Module):
    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        return ((sr - hr).square() + 1e-6).sqrt().mean()
''',
        "loss/pixel.py": [
            ("from torch import Tensor, nn", "from loss.charbonnier import CharbonnierLoss"),
            ('    "L1": nn.L1Loss,', '    "Charbonnier": CharbonnierLoss,'),
        ],
    },
    "a metric": {
        "evaluation/mae.py": '''"""Mean absolute error."""

import numpy as np


def mae(sr: np.ndarray, hr: np.ndarray, border: int) -> float:
    """Mean over R, G and B, in grey levels; the border counts too."""
    return float(np.abs(sr.astype(float) - hr).mean())
''',
        "evaluation/metrics.py": [
            ("from evaluation.lpips import", "from evaluation.mae import mae"),
            (
                "METRICS: dict[str, Metric] = {",
                '    "mae": Metric("MAE", 2, "R, G and B", lambda device: mae),',
            ),
        ],
    },
    "a protocol": {
        "data/protocols.py": [
            ("from data.degradation.dasr import", "from data.degradation.box import BoxDegradation"),
            (
                "PROTOCOLS: dict[str, Entry] = {",
                '    "box": Entry(BoxDegradation, lambda scale: [TestKernel("box0", {"radius": 0})]),',
            ),
        ],
    },
    "a recipe": {
        "recipes.py": [
            (
                "RECIPES = {",
                '    "espcn_x2": Recipe("A test.", {"model": "ESPCN", "degradation": "box", "loss": "1*Charbonnier"}),',
            ),
        ],
    },
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the product with one of each kind added, and six random images."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    for name in names:
        if not name.startswith(("tests/", "benchmarks/", "examples/")):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    for files in ADDITIONS.values():
        for name, change in files.items():
            if isinstance(change, str):
                assert not (tmp_path / name).exists()
                (tmp_path / name).write_text(change)
            else:
                add_lines(tmp_path / name, change)
    generator = np.random.default_rng(0)
    for index in range(6):
        write_image(tmp_path / "HR" / f"{index}.png", generator.integers(0, 256, (40, 48, 3), dtype=np.uint8))
    return tmp_path


def add_lines(path: Path, lines: list[tuple[str, str]]) -> None:
    """Add each line after the one that begins with its anchor."""
    source = path.read_text().splitlines()
    for anchor, line in lines:
        (place,) = [number for number, known in enumerate(source) if known.startswith(anchor)]
        source.insert(place + 1, line)
    path.write_text("\n".join(source) + "\n")


def run(tree: Path, command: str) -> str:
    done = subprocess.run([sys.executable, *command.split()], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_of_each_kind_trains_and_is_tested(tree: Path) -> None:
    run(
        tree,
        "main.py --template espcn_x2 --dir_data HR --cpu --n_threads 0 --patch_size 16 --batch_size 2 --test_every 3 "
        "--epochs_sr 1 --data_range 1-4/5-6 --save espcn --no-use_tb_logger",
    )
    folder = tree / "experiment" / "espcn_x2_s-fold_aniso"
    setting = json.loads((folder / "setting.json").read_text())
    assert (setting["model"], setting["degradation"], setting["loss"]) == ("ESPCN", "box", "1*Charbonnier")
    (weights,) = (folder / "model").glob("model_1_*")
    run(
        tree,
        f"test.py --model ESPCN --pre_train {weights} --protocol box --metrics psnr mae --test_path . --test_sets HR "
        "--cpu",
    )
    (table,) = (folder / "results").glob("HR_x2_box_*_ESPCN.csv")
    rows = list(csv.DictReader(table.open()))
    assert [(row["image"], row["kernel"], row["error"]) for row in rows] == [(str(i), "box0", "") for i in range(6)]
    assert all(0 < float(row["mae"]) < 255 and float(row["psnr"]) > 0 for row in rows)
    context = json.loads(table.with_suffix(".json").read_text())
    assert context["checkpoint"]["trained_for"]["degradation"] == "box" and "mae" in context["summary"]


@pytest.mark.parametrize("what", ADDITIONS)
def test_contributing_names_the_files_to_touch(what: str) -> None:
    """Two at most: those of ADDITIONS, NAME standing for the new one's name."""
    files = ADDITIONS[what]
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (row,) = [line for line in table.splitlines() if line.startswith(f"| {what} |")]
    named = re.findall(r"`([\w/]+\.py)`", row)
    expected = {f"{Path(name).parent}/NAME.py" if isinstance(change, str) else name for name, change in files.items()}
    assert set(named) == expected and len(expected) <= 2
