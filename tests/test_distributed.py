"""Several processes on the CPU against one: gradients, queue, losses; and a rank that dies."""

import functools
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.degradation import DegradationConfig, create_degradation
from data.pairs import PairDegradation
from loss import PixelLoss, contrastive_loss
from model import create_model
from model.moco import MoCo
from model.sync_norm import synchronise_statistics
from tests.support.ranks import on_ranks
from tests.support.runs import assert_same
from trainer import Meter
from training.ema import ExponentialMovingAverage
from training.schedule import Phase
from training.step import StepConfig, TrainingStep
from utils import distributed
from utils.checkpoint import StateStore

ROOT = Path(__file__).parent.parent
GLOBAL_BATCH, NUM_STEPS = 6, 2


def build_step(name: str, config: StepConfig, *, is_synchronised: bool = True) -> TrainingStep:
    torch.manual_seed(0)
    model = create_model(name, 2)
    if is_synchronised:
        synchronise_statistics(model)
    moco = MoCo(model.encoder, queue_size=16) if model.is_contrastive else None
    return TrainingStep(
        model=model,
        moco=moco,
        pixel_loss=PixelLoss(),
        contrastive_loss=contrastive_loss,
        pair_degradation=PairDegradation(
            create_degradation(DegradationConfig()), 1, rank=distributed.rank(), world_size=distributed.world_size()
        ),
        optimizer=torch.optim.SGD(model.parameters(), lr=1e-3),
        config=config,
        device=torch.device("cpu"),
        ema=ExponentialMovingAverage(model, 0.9),
    )


def train(rank: int = 0, world_size: int = 1, *, name: str) -> dict[str, Any]:
    """Two joint steps of plain gradient descent on this rank's share of a fixed batch; returns what came out."""
    step = build_step(name, StepConfig())
    step.set_phase(Phase.JOINT)
    share = GLOBAL_BATCH // world_size
    losses = []
    for index in range(NUM_STEPS):
        hr = torch.from_numpy(np.random.default_rng(index).integers(0, 256, (GLOBAL_BATCH, 2, 3, 24, 24), np.uint8))
        own = hr[rank * share : (rank + 1) * share]
        losses.append(step(own, step=index, phase=Phase.JOINT, learning_rate=1e-3))
    step.average_statistics()
    return {"model": step.model.state_dict(), "moco": step.moco.state_dict() if step.moco else {}, "losses": losses}


def train_with_a_bad_loss_on_the_last(rank: int, world_size: int) -> dict[str, Any]:
    """One step on black images, white ones on the last rank, whose loss is above the threshold."""
    step = build_step("CDSR_S", StepConfig(skip_threshold=8.0))
    before = [parameter.detach().clone() for parameter in step.parameters]
    step.set_phase(Phase.JOINT)
    hr = torch.full((2, 2, 3, 24, 24), 255 * (rank == world_size - 1), dtype=torch.uint8)
    losses = step(hr, step=0, phase=Phase.JOINT, learning_rate=1e-3)
    is_same = all(torch.equal(old, new) for old, new in zip(before, step.parameters, strict=True))
    return {"pixel": losses["pixel"], "is_same": is_same, "skipped": step.guard.total}


def average_own_statistics(rank: int, world_size: int) -> dict[str, Any]:
    """One step on a share of two pairs, which is smaller than the parts asked for; then the average's statistics."""
    step = build_step("CDSR_S", StepConfig(split_batch=4), is_synchronised=False)
    step.set_phase(Phase.JOINT)
    hr = torch.from_numpy(np.random.default_rng(rank).integers(0, 256, (2, 2, 3, 24, 24), np.uint8))
    losses = step(hr, step=0, phase=Phase.JOINT, learning_rate=1e-3)
    step.average_statistics()
    assert step.ema
    statistics = {name: value for name, value in step.ema.model.state_dict().items() if "running" in name}
    return {"pixel": losses["pixel"], "statistics": statistics}


def log_own_losses(rank: int, world_size: int) -> dict[str, Any]:
    """Two steps' losses, one of them not finite on the last rank."""
    meter = Meter()
    for step in range(2):
        is_bad = step == 1 and rank == world_size - 1
        meter.add({"pixel": torch.tensor(math.nan if is_bad else 1.0 + rank), "contrastive": torch.tensor(float(step))})
    return meter.means()


@pytest.mark.parametrize(("world_size", "name"), [(2, "CDSR_S"), (3, "CDSR_S"), (2, "CDSR_S_oracle")])
def test_ranks_equal_one_process(tmp_path: Path, world_size: int, name: str) -> None:
    ranks = on_ranks(functools.partial(train, name=name), world_size, tmp_path)
    alone = train(name=name)
    for result in ranks:
        if moco := alone["moco"]:
            assert torch.equal(result["moco"]["queue"], ranks[0]["moco"]["queue"])
            torch.testing.assert_close(result["moco"]["queue"], moco["queue"], atol=1e-5, rtol=0)
        for name, value in result["model"].items():
            torch.testing.assert_close(value, alone["model"][name], atol=1e-5, rtol=1e-5)
    for index in range(NUM_STEPS):
        for name, value in alone["losses"][index].items():
            mean = torch.stack([result["losses"][index][name] for result in ranks]).mean()
            torch.testing.assert_close(mean, value, atol=1e-5, rtol=1e-6)


def test_a_bad_loss_on_one_rank_is_skipped_by_all(tmp_path: Path) -> None:
    black, white = on_ranks(train_with_a_bad_loss_on_the_last, 2, tmp_path)
    assert black["pixel"] < 8 < white["pixel"]
    assert black["is_same"] and white["is_same"]
    assert black["skipped"] == white["skipped"] == 1


def test_averaged_weights_have_the_statistics_of_all_ranks(tmp_path: Path) -> None:
    first, second = on_ranks(average_own_statistics, 2, tmp_path)
    assert first["pixel"].isfinite() and first["pixel"] != second["pixel"]
    assert first["statistics"]
    assert_same(first["statistics"], second["statistics"])


def test_a_log_line_has_the_losses_of_all_ranks(tmp_path: Path) -> None:
    for means in on_ranks(log_own_losses, 2, tmp_path):
        assert means == pytest.approx({"pixel": (1 + 1 + 2) / 3, "contrastive": 0.5})


def command(photographs: Path, *more: str) -> list[str]:
    words = (
        f"--dir_data {photographs} --cpu --n_GPUs 2 --n_threads 0 --model CDSR_S --save tiny --patch_size 12 "
        "--batch_size 4 --test_every 3 --epochs_sr 2 --data_range 1-4/5-6 --print_every 1 --no-use_tb_logger"
    )
    return [sys.executable, str(ROOT / "main.py"), *words.split(), *more]


def run(photographs: Path, *more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command(photographs, *more),
        cwd=photographs.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
    )


@pytest.mark.slow
def test_two_processes_train_and_another_number_resumes(photographs: Path) -> None:
    done = run(photographs)
    assert done.returncode == 0, done.stderr
    folder = photographs.parent / "experiment" / "tiny_x2_s-fold_aniso"
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2 * (3 + 1)
    more = run(photographs, "--resume", "-1", "--epochs_sr", "3", "--n_GPUs", "1")
    assert more.returncode == 0, more.stderr
    assert sorted(path.name[:7] for path in (folder / "model").iterdir())[-1] == "model_3"


def start_until(line: str, photographs: Path, *more: str) -> subprocess.Popen[str]:
    """Start a training and return at a line of its log."""
    process = subprocess.Popen(
        command(photographs, *more),
        cwd=photographs.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert any(line in logged for logged in process.stderr)
    return process


def processes(photographs: Path) -> list[int]:
    """Ids of the launcher and of the ranks."""
    found = subprocess.run(["pgrep", "-f", f"main.py --dir_data {photographs}"], capture_output=True, text=True)
    return [int(word) for word in found.stdout.split()]


@pytest.mark.slow
def test_sigkill_of_two_processes_changes_nothing(photographs: Path) -> None:
    """A kill in the encoder phase, in the joint one and after the freeze, with averaged weights."""
    more = ["--epochs_encoder", "1", "--epochs_sr", "4", "--freeze_epoch", "4", "--ema", "0.9"]
    states = StateStore(photographs.parent / "experiment" / "tiny_x2_s-fold_aniso" / "state")
    assert run(photographs, *more).returncode == 0
    expected = states.load()[0]
    generator = np.random.default_rng(0)
    start = ["--reset"]
    for line in ("epoch 1 [2/3]", "epoch 3 [1/3]", "epoch 5 [1/3]"):
        process = start_until(line, photographs, *more, *start)
        time.sleep(generator.uniform(0, 0.1))
        for number in processes(photographs):
            os.kill(number, signal.SIGKILL)
        process.communicate()
        start = ["--resume", "-1"] if states.paths() else ["--reset"]
    assert run(photographs, *more, *start).returncode == 0
    assert_same(states.load()[0], expected)


def test_the_launcher_waits_for_states_as_long_as_processes_wait_for_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torch.distributed import run as torchrun

    seconds = []
    monkeypatch.delenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", raising=False)
    monkeypatch.setattr(
        torchrun, "run", lambda args: seconds.append(torchrun.config_from_args(args)[0].shutdown_timeout)
    )
    assert distributed.launch(2, "main.py", []) == 0
    assert seconds == [1800]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_launcher_alone_saves_the_state(photographs: Path, number: signal.Signals) -> None:
    process = start_until("[3/100000]", photographs, "--test_every", "100000")
    process.send_signal(number)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "go on with --resume -1" in message
    states = StateStore(photographs.parent / "experiment" / "tiny_x2_s-fold_aniso" / "state")
    assert states.load()[0]["progress"]["step_in_epoch"] >= 3


@pytest.mark.slow
def test_a_rank_that_dies_stops_the_others_within_a_minute(photographs: Path) -> None:
    process = start_until("[3/100000]", photographs, "--test_every", "100000")
    os.kill(processes(photographs)[-1], signal.SIGKILL)
    start = time.monotonic()
    _, message = process.communicate(timeout=100)
    assert process.returncode != 0
    assert time.monotonic() - start < 60
    assert "SIGKILL" in message or "Signal 9" in message or "signal" in message.lower()
