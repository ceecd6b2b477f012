"""Every benchmark runs, in miniature, and `gpu_check.sh` names what exists."""

import importlib
import json
import math
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

import main
import test as program
from benchmarks import ablation, cpu_speed, encoders, evaluation_speed, packed_states
from benchmarks.codes import CODE_SET, SR_SET, swapped_codes
from data.samples import Sample, Samples
from model import build_model, create_model
from model.network import Network
from option import parse_options
from tests.support.reports import write_result
from tests.support.runs import RUN, tiny
from utils.image import write_image
from utils.run import RunLogger

CPU = torch.device("cpu")
ROOT = Path(__file__).parent.parent
WEIGHTS = ROOT / "experiment" / "pretrained" / "cdsr_s_x2.safetensors"
TRIAL = "--dir_data HR --data_range 1-4/5-6 --batch_size 2 --patch_size 12 --device cpu --precision single"
CASES = {  # words, and what the output or the file has
    "bicubic_table": ("--test_path . --test_sets HR --out .", "| dasr-iso | bicubic_matlab | 4 | HR | 3.60 |"),
    "bodies": (f"{TRIAL} --bodies 64x2x4 --budget 2 --seeds 1 --out OUT", "| 64x2x4 | 1.12 | 184.7 |"),
    "cpu_speed": (
        "--models CDSR_S --side 16 --megapixels 0.012 --rounds 1 --out OUT",
        "| the page, megapixels: 0.001 |",
    ),
    "evaluation_speed": (
        "--model CDSR_S --side 12 --rounds 1 --single single --bf16 bf16 --out OUT",
        "| HR (cdsr, bicubic) |",
    ),
    "own_images": (f"--pre_train {WEIGHTS} HR/0.png", "| 64 | "),
    "packed_states": (f"--run {RUN} --dir_data HR --steps 2 --early 1 --out OUT", "| no moments, warmed up |"),
    "recipes": (f"{TRIAL} --budget 2 --seeds 1 --recipes Muon batch --out OUT", "| 8e-4, cosine, batch x2 |"),
    "scaling": ("--batch_size 2 --patch_size 12 --rounds 1 --processes 1 2 --out OUT", "2 processes, step"),
    "train_step": (
        "--model CDSR_S --batch_size 2 --patch_size 12 --num_steps 1 --rounds 1 --variants plain bf16 --device cpu "
        "--out OUT",
        "peak memory",
    ),
}
SLOW = {"bodies", "recipes", "scaling", "train_step"}
ELSEWHERE = {"ablation", "codes", "cost_plot", "encoders", "pages", "peers", "trials"}
"""Below, and in tests/test_plots.py, test_spandrel.py and test_trials.py."""


def call(name: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name, *words.split()])
    assert not importlib.import_module(f"benchmarks.{name}").main()


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow, pytest.mark.timeout(900)] if name in SLOW else ()) for name in CASES],
    ids=str,
)
def test_a_benchmark_runs(
    name: str, photographs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "packed_states":
        assert main.main(tiny(photographs, "--noise", "0")) == 0
    if name == "evaluation_speed":
        words = "--cpu --model bicubic --scale 2 --test_path . --test_sets HR --sig 1"
        for precision in ("single", "bf16"):
            assert program.main([*words.split(), "--precision", precision, "--results", precision]) == 0
    words, expected = CASES[name]
    call(name, words, monkeypatch)
    assert expected in capsys.readouterr().out
    if "OUT" in words:
        assert Path("OUT").stat().st_size > 100


def test_every_benchmark_has_a_case() -> None:
    names = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert names == CASES.keys() | ELSEWHERE


@pytest.mark.parametrize("size", ["", "_S"])
def test_every_arm_of_the_ablation_is_a_training(size: str) -> None:
    for name, arm in ablation.arms(size, 4).items():
        options = parse_options(f"--scale 2 {ablation.RECIPE} {arm.words}".split())
        held = create_model(arm.model, 2, arm.variant)
        assert build_model(options, CPU).state_dict().keys() == held.state_dict().keys(), name


def test_options_of_a_run_have_their_types(tmp_path: Path) -> None:
    options = parse_options(["--pre_train", "weights.pt", "--dir_data", "elsewhere", "--tile", "auto", "--noise", "5"])
    RunLogger(tmp_path).describe_run(vars(options))
    assert vars(packed_states.options_of(tmp_path, Path("HR"))) == {**vars(options), "dir_data": Path("HR")}


def test_a_teacher_takes_an_epoch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = "ablation --dir_data HR --test_path sets --out ablation.json --epochs 1 --arms"
    monkeypatch.setattr(sys, "argv", [*words.split(), "head", "head, teacher"])
    with pytest.raises(SystemExit, match="2"):
        ablation.main()
    assert "--epochs 1 has none for a teacher: give 2 or more, or not head, teacher\n" in capsys.readouterr().err


def test_codes_of_other_kernels_are_swapped_in(tmp_path: Path) -> None:
    """A network whose result is its code as a grey level: the original is that of the own kernel."""

    class Named(Network):
        scale = 2

        def encode(self, lr: Tensor, known: object = None, *, tile: int | None = None) -> Tensor:
            return lr[:, :1, 0, 0]

        def super_resolve(self, lr: Tensor, code: Tensor) -> Tensor:
            return code[:, :, None, None].expand(1, 3, 2 * lr.shape[2], 2 * lr.shape[3])

    class Levels(Samples):
        keys = [(image, kernel) for image in "ab" for kernel in "012"]  # noqa: RUF012

        def read(self, index: int) -> Sample:
            level = 40 * (index % 3 + 1)
            lr, hr = (np.full((side, side, 3), level, np.uint8) for side in (8, 16))
            return Sample(*self.keys[index], lr, hr)

    own, swapped = swapped_codes(Named(), Levels(), CPU)
    assert own == math.inf
    errors = np.array([40, 40, 80]) * 219 / 255  # of Y; each under the code of the next kernel
    assert swapped == pytest.approx(np.mean(20 * np.log10(255 / errors)), abs=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_ablation_runs_from_the_command_line(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (SR_SET, CODE_SET):
        shutil.copytree(photographs, photographs.parent / "sets" / name)
    words = f"ablation {TRIAL} --budget 4 --epochs 2 --seeds 1 --test_path sets --out ablation.json"
    shown = ["no code", "patch branch alone", "head, teacher", "oracle"]
    monkeypatch.setattr(sys, "argv", [*words.split(), "--recipe", "--lr_sr 8e-4 --ema 0.9", "--arms", *shown])
    ablation.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[-len(shown) :]] == [f"| {name}" for name in shown]
    rows = {name: row for name, (row,) in json.loads(Path("ablation.json").read_text())["rows"].items()}
    assert rows["no code"].keys() < rows["oracle"].keys() < rows["patch branch alone"].keys()
    assert rows["head, teacher"].keys() - rows["patch branch alone"].keys() == {"covariance error"}
    assert all(0 <= row.get("image probe (%)", 0) <= 100 for row in rows.values())


def test_tiles_are_compared_with_the_hr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, side in (("large", 144), ("small", 96)):
        pixels = np.random.default_rng(0).integers(0, 256, (side // 8, side // 8, 3), np.uint8)
        write_image(tmp_path / "Set" / f"{name}.png", np.kron(pixels, np.ones((8, 8, 1), np.uint8)))
    words = f"--pre_train {WEIGHTS} --test_set {tmp_path / 'Set'} --kernel"
    call("own_images", f"{words} 3.0_1.0_0.8", monkeypatch)
    (line,) = capsys.readouterr().out.splitlines()[3:]  # small has no tile that is smaller
    image, size, whole, tile, _, tiled = line.strip("| ").split(" | ")
    assert (image, size, tile) == ("large", "72x72", "64")
    assert float(tiled) == pytest.approx(float(whole), abs=0.5)
    with pytest.raises(SystemExit, match="2"):
        call("own_images", f"{words} 9", monkeypatch)
    assert "--kernel 9 is none of protocol cdsr: give one of 1.0_1.0_0.0, " in capsys.readouterr().err


@pytest.mark.slow
def test_own_images_measures_memory_and_draws(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call("own_images", f"--pre_train {WEIGHTS} --figures drawn", monkeypatch)
    assert len(list(Path("drawn").iterdir())) == 2
    command = [sys.executable, "-m", "benchmarks.own_images", "--pre_train", str(WEIGHTS), "--only_memory", "8"]
    done = subprocess.run([*command, str(photographs)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "exit code 0" in done.stdout


def test_gpu_check_names_what_exists(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    script = ROOT / "benchmarks" / "gpu_check.sh"
    subprocess.run(["bash", "-n", script], check=True)
    text = re.sub(r"\\\n\s*", "", script.read_text())
    markers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    (marker,) = re.findall(r"pytest -q -m (\w+)", text)
    assert marker in [line.split(":")[0] for line in markers]
    (module, words) = re.findall(r"-m (benchmarks\.\w+) (.*)", text)[0]
    with pytest.raises(SystemExit, match="0"):
        call(module.removeprefix("benchmarks."), "--help", monkeypatch)
    usage = capsys.readouterr().out
    assert all(flag in usage for flag in re.findall(r"--\w+", words))
    (words,) = re.findall(r"main\.py (.*)", text)
    parse_options(re.sub(r'"\$\{\w+:-(.*?)\}"', r"\1", words).replace('"', "").split())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_encoders_are_compared_from_the_command_line(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(photographs, photographs.parent / "sets" / CODE_SET)
    words = f"encoders {TRIAL} --budget 2 --seeds 1 --test_path sets --out encoders.json"
    shown = ["patch branch", "autocorrelation, with CSC"]
    monkeypatch.setattr(sys, "argv", [*words.split(), "--recipe", "--negatives batch", "--arms", *shown])
    encoders.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[-len(shown) :]] == [f"| {name}" for name in shown]
    for (row,) in json.loads(Path("encoders.json").read_text())["rows"].values():
        assert row.keys() == {"kernel probe (%)", "image probe (%)"}


def test_every_encoder_compared_is_a_training() -> None:
    for name, arm in encoders.ARMS.items():
        options = parse_options(f"--scale 2 {encoders.RECIPE} {arm.words}".split())
        assert build_model(options, CPU).variant == arm.variant, name


def test_the_command_line_is_timed_with_the_threads_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    told = []

    def run(*_: object, env: dict[str, str], **__: object) -> SimpleNamespace:
        told.append(env["OMP_NUM_THREADS"])
        return SimpleNamespace(stdout="peak 1048576")

    monkeypatch.setattr(subprocess, "run", run)
    assert cpu_speed.command_line(np.zeros((4, 4, 3), np.uint8), tmp_path)[1] == 1.0
    assert told == ["3"]


def test_precisions_are_compared_over_the_sets_of_both(tmp_path: Path) -> None:
    """Runs and folders of results, with the codes of an encoder beside them."""
    for folder, psnr in (("single/results", 30.0), ("bf16", 29.99)):
        write_result(tmp_path / folder, "Set5", psnr, labels=["k0"])
        (tmp_path / folder / "embeddings_x2_cdsr_noise0_CDSR_S.json").write_text("{}")
    assert evaluation_speed.accuracy_rows(tmp_path / "single", tmp_path / "bf16")[2:] == [
        "| Set5 (cdsr, CDSR_S) | 30.000 / 0.95000 | 29.990 / 0.95000 | -0.0100 dB | 0.0100 dB |"
    ]
    write_result(tmp_path / "single/results", "Set14", 31.0)
    with pytest.raises(ValueError, match=r"bf16 has no Set14_9\.json"):
        evaluation_speed.accuracy_rows(tmp_path / "single", tmp_path / "bf16")
