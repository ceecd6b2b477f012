"""Schedules, tiles, generators, runs and inference: by value or by identity."""

import itertools
import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.tiles import tile_starts
from inference.upscaler import Upscaler
from model.bicubic import Bicubic
from tests.support.runs import deliver
from training.schedule import Phase, Schedule
from utils.device import select_device
from utils.environment import ROOT, environment
from utils.randomness import generator_for, random_states, restore_random_states, seed_everything
from utils.run import RunLogger, prepare_run, read_metrics, read_settings
from utils.signals import StopRequest


def test_phases_and_steps_of_the_paper() -> None:
    schedule = Schedule(epochs_encoder=100, epochs_sr=500, freeze_epoch=400, lr_decay_encoder=60, lr_decay_sr=125)
    assert schedule.num_epochs == 600
    assert [schedule.phase(epoch) for epoch in (1, 100, 101, 400, 401)] == [
        Phase.ENCODER,
        Phase.ENCODER,
        Phase.JOINT,
        Phase.JOINT,
        Phase.FROZEN,
    ]
    assert schedule.learning_rate(59, 0) == 1e-3
    assert schedule.learning_rate(60, 0) == pytest.approx(1e-4)
    assert schedule.learning_rate(224, 0) == 1e-4
    assert schedule.learning_rate(225, 0) == pytest.approx(5e-5)


def test_no_encoder_phase() -> None:
    schedule = Schedule(epochs_encoder=-1, epochs_sr=3)
    assert schedule.num_epochs == 3
    assert schedule.phase(1) is Phase.JOINT


def test_cosine_falls_to_zero_over_the_joint_phase() -> None:
    schedule = Schedule(epochs_encoder=2, epochs_sr=4, steps_per_epoch=10, lr_sr=1.0, decay_type="cosine")
    assert schedule.learning_rate(3, 0) == 1.0
    assert schedule.learning_rate(5, 0) == pytest.approx(0.5)
    assert 0 < schedule.learning_rate(6, 9) < 0.01


@pytest.mark.parametrize(("epochs_sr", "rates"), [(6, [1, 1, 1, 1, 1, 0.5]), (2, [1, 0.5]), (1, [1])])
def test_a_constant_rate_falls_in_the_last_epochs_or_in_all(epochs_sr: int, rates: list[float]) -> None:
    schedule = Schedule(epochs_sr=epochs_sr, steps_per_epoch=10, lr_sr=1.0, decay_type="constant_2")
    assert [schedule.learning_rate(epoch, 0) for epoch in range(1, epochs_sr + 1)] == rates


def test_time_scales_the_rate_after_the_encoder_phase_alone() -> None:
    schedule = Schedule(epochs_encoder=1, epochs_sr=4, lr_encoder=2.0, lr_sr=1.0, decay_type="time")
    assert schedule.learning_rate(1, 0, time_left=0.5) == 2.0
    assert schedule.learning_rate(2, 0, time_left=0.5) == schedule.learning_rate(5, 9, time_left=0.5) == 0.5


@pytest.mark.parametrize("epochs_encoder", [-1, 0, 5])
def test_milestones(epochs_encoder: int) -> None:
    schedule = Schedule(epochs_encoder=epochs_encoder, epochs_sr=9, lr_sr=1.0, gamma_sr=0.1, decay_type="step_2_5")
    rates = [schedule.learning_rate(max(epochs_encoder, 0) + epoch, 0) for epoch in (2, 3, 6)]
    assert rates == pytest.approx([1.0, 0.1, 0.01])


@pytest.mark.parametrize(
    ("length", "tile", "overlap"), [(100, 40, 8), (41, 40, 8), (40, 40, 8), (5, 40, 8), (999, 64, 16)]
)
def test_tiles_cover_and_overlap(length: int, tile: int, overlap: int) -> None:
    starts = tile_starts(length, tile, overlap)
    assert starts[0] == 0
    assert starts[-1] + min(tile, length) == length
    assert all(tile - (after - before) >= overlap for before, after in itertools.pairwise(starts))


def test_self_ensemble_of_an_equivariant_model_changes_nothing() -> None:
    lr = torch.rand(1, 3, 9, 12, generator=torch.Generator().manual_seed(0)) * 255
    model = Bicubic(scale=2)
    plain, ensemble = Upscaler(model)(lr), Upscaler(model, self_ensemble=True)(lr)
    unclipped = model(lr)
    inside = (unclipped > 0) & (unclipped < 255)
    torch.testing.assert_close(ensemble[inside], plain[inside], atol=1e-3, rtol=0)


def test_generators_depend_on_their_key_alone() -> None:
    first = torch.rand(4, generator=generator_for(1, 2, 3))
    torch.rand(100)
    assert torch.equal(first, torch.rand(4, generator=generator_for(1, 2, 3)))
    assert not torch.equal(first, torch.rand(4, generator=generator_for(1, 3, 2)))


def test_tensorboard_forgets_the_steps_that_a_resume_does_again(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for values, step in (((1.0, 2.0, 3.0), 0), ((20.0,), 1)):
        run_logger = RunLogger(tmp_path, use_tensorboard=True)
        run_logger.forget_after(step)
        for number, value in enumerate(values, start=step + 1):
            run_logger.metrics({"pixel": value}, step=number)
        run_logger.close()
    events = EventAccumulator(str(tmp_path / "tb_logger"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("pixel")] == [(1, 1.0), (2, 20.0)]


def test_random_states_leave_cuda_alone_where_it_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under --cpu on a machine with a GPU."""

    def start(*_: object) -> None:
        raise AssertionError("CUDA is started")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name in ("get_rng_state_all", "set_rng_state_all"):
        monkeypatch.setattr(torch.cuda, name, start)
    states = random_states()
    assert states["cuda"] == []
    restore_random_states(states | {"cuda": [torch.zeros(16, dtype=torch.uint8)]})


def test_random_states_survive_a_file(tmp_path: Path) -> None:
    seed_everything(5)
    torch.save(random_states(), tmp_path / "states.pt")
    drawn = random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002
    restore_random_states(torch.load(tmp_path / "states.pt", weights_only=True))
    assert drawn == (random.random(), np.random.rand(), torch.rand(1).item())  # noqa: NPY002


def test_a_run_is_never_overwritten_silently(tmp_path: Path) -> None:
    run = tmp_path / "run"
    prepare_run(run, reset=False, resume=False)
    (run / "train.log").write_text("hours of work")
    with pytest.raises(ValueError, match=r"--resume -1.*--reset.*--save"):
        prepare_run(run, reset=False, resume=False)
    prepare_run(run, reset=False, resume=True)
    assert (run / "train.log").exists()
    prepare_run(run, reset=True, resume=False)
    assert not (run / "train.log").exists()


def test_a_run_that_failed_before_its_first_step_need_not_be_reset(tmp_path: Path) -> None:
    run = tmp_path / "run"
    prepare_run(run, reset=False, resume=False)
    RunLogger(run).close()
    prepare_run(run, reset=False, resume=False)
    run_logger = RunLogger(run)
    with pytest.raises(ValueError, match="holds a run already"):  # one that has just begun
        prepare_run(run, reset=False, resume=False)
    run_logger.metrics({"pixel": 3.5}, step=1)
    run_logger.close()
    with pytest.raises(ValueError, match="holds a run already"):
        prepare_run(run, reset=False, resume=False)


def test_results_of_a_test_are_no_run(tmp_path: Path) -> None:
    results = tmp_path / "run" / "results"
    results.mkdir(parents=True)
    prepare_run(tmp_path / "run", reset=False, resume=False)
    assert results.is_dir()


def test_a_run_describes_itself(tmp_path: Path) -> None:
    run_logger = RunLogger(tmp_path)
    run_logger.describe_run({"scale": 2, "save": Path("x")})
    run_logger.metrics({"pixel": 3.5}, step=7)
    run_logger.close()
    assert read_settings(tmp_path) == {"scale": 2, "save": "x"}
    assert {"commit", "torch", "command", "processor"} <= json.loads((tmp_path / "environment.json").read_text()).keys()
    assert read_metrics(tmp_path) == [{"iteration": 7, "pixel": 3.5}]
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 8, "pixel": 3.')
    assert read_metrics(tmp_path) == [{"iteration": 7, "pixel": 3.5}]


def test_a_device_that_is_not_there_is_named() -> None:
    assert select_device("cpu") == torch.device("cpu")
    assert select_device("auto", cpu=True) == torch.device("cpu")
    with pytest.raises(ValueError, match="--device cuda:77 is not to be had"):
        select_device("cuda:77")


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_each_rank_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    current: list[int] = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", current.append)
    assert select_device(name, local_rank=1) == torch.device("cuda", 1)
    assert current == [1]
    with pytest.raises(ValueError, match="there are 2 GPUs here"):
        select_device(name, local_rank=2)


def test_a_real_signal_is_noticed_and_afterwards_ends_the_process() -> None:
    """In the context twice, as a launcher passes on what the sender sent to all."""
    script = """if True:
        import signal
        from utils.signals import StopRequest
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            print(stop.number, flush=True)
        signal.raise_signal(signal.SIGTERM)
    """
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == (f"{signal.SIGTERM.value}\n", -signal.SIGTERM)


def test_the_first_ctrl_c_is_noticed_and_the_second_one_let_through() -> None:
    # A shell without job control starts what runs in its background with SIGINT ignored.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with StopRequest() as stop:
            assert stop.number is None
            deliver(signal.SIGINT)
            assert stop.number == signal.SIGINT
            deliver(signal.SIGTERM)
            assert stop.number == signal.SIGINT
            with pytest.raises(KeyboardInterrupt):
                deliver(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, inherited)


def test_the_commit_tells_changes_of_the_code_apart_and_of_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> None:
        author = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", tmp_path, *author, *words], check=True, capture_output=True)

    git("init")
    for name in ("a.py", "notes.md"):
        (tmp_path / name).write_text("one\n")
    git("add", ".")
    git("commit", "-m", "first")
    monkeypatch.setattr("utils.environment.ROOT", tmp_path)
    commits = [environment()["commit"]]
    for name, content in (("notes.md", b"two\n"), ("a.py", b"# \xe9\n"), ("a.py", b"three\n")):  # \xe9: Latin-1
        (tmp_path / name).write_bytes(content)
        commits.append(environment()["commit"])
    clean, notes, latin, three = commits
    assert len(clean) == 40 and notes == clean
    assert latin.startswith(f"{clean}+changes.") and three.startswith(f"{clean}+changes.") and latin != three
