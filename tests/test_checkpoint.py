"""Weights and states on disk: round trips, and every damaged or dangerous file refused."""

import pickle
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from data.degradation import DegradationConfig, create_degradation
from data.pairs import PairDegradation
from loss import PixelLoss, contrastive_loss
from model import load_model
from model.cdsr import CDSR, CDSRSize
from model.moco import MoCo
from tests.support.weights import Bomb
from training.ema import ExponentialMovingAverage
from training.schedule import Phase
from training.step import StepConfig, TrainingStep
from utils.checkpoint import CheckpointError, StateStore, load_weights, save_weights
from utils.files import replacing, sha256, write_json

TENSORS = {"G.a.weight": torch.arange(6.0).view(2, 3), "G.n": torch.tensor(7)}


@pytest.fixture
def small_disk() -> Iterator[None]:
    """Let no file grow beyond 100 kB, which fails a write as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_weights_and_metadata_round_trip(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    save_weights(path, TENSORS, {"scale": 2, "sig_max": 5.0})
    tensors, metadata = load_weights(path)
    assert metadata == {"scale": 2, "sig_max": 5.0}
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_of_a_training_that_diverged_are_refused(tmp_path: Path, value: float) -> None:
    save_weights(tmp_path / "model.pt", TENSORS | {"G.b": torch.tensor([1.0, value])}, {})
    with pytest.raises(CheckpointError, match=r"model\.pt has values in G\.b that are not finite"):
        load_weights(tmp_path / "model.pt")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_others_may_read_weights_as_any_new_file(tmp_path: Path, suffix: str) -> None:
    save_weights(tmp_path / f"a{suffix}", {"x": torch.ones(2)}, {})
    (tmp_path / "plain").touch()
    assert (tmp_path / f"a{suffix}").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_pt_file_is_a_plain_state_dict_for_others(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    save_weights(path, {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}, {"scale": 2})
    linear = torch.nn.Linear(3, 2)
    linear.load_state_dict(torch.load(path, weights_only=True), strict=True)
    assert linear.weight.sum() == 6


def test_files_without_metadata_load(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "published.pt")
    assert load_weights(tmp_path / "published.pt")[1] == {}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("keep", [0, 10, 300])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, keep: int) -> None:
    path = tmp_path / f"model{suffix}"
    save_weights(path, {"w": torch.randn(100)}, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=f"model{suffix} is truncated"):
        load_weights(path)


@pytest.mark.parametrize("legacy", [True, False])
def test_pickled_code_is_refused_and_not_run(tmp_path: Path, legacy: bool, recwarn: pytest.WarningsRecorder) -> None:
    path, trace = tmp_path / "bomb.pt", tmp_path / "ran"
    if legacy:
        path.write_bytes(pickle.dumps({"w": Bomb(trace)}))
    else:
        torch.save({"w": Bomb(trace)}, path)
    with pytest.raises(CheckpointError, match=r"bomb\.pt is refused: it holds pickled code"):
        load_weights(path)
    assert not trace.exists()
    assert not recwarn.list  # the refusal is all that is said


def test_what_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "model": TENSORS}, tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match="no plain state dict"):
        load_weights(tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_weights(tmp_path / "absent.pt")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, suffix: str, small_disk: None) -> None:
    path = tmp_path / f"model{suffix}"
    save_weights(path, TENSORS, {})
    before = sha256(path)
    with pytest.raises(OSError, match="is the disk full|File too large"):
        save_weights(path, {"w": torch.randn(100_000)}, {})
    assert sha256(path) == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_full_disk_leaves_the_old_state(tmp_path: Path, small_disk: None) -> None:
    store = StateStore(tmp_path)
    kept = store.save({"step": 1}, epoch=1, step=1)
    with pytest.raises(OSError, match="is the disk full"):
        store.save({"step": 2, "weights": torch.randn(100_000)}, epoch=1, step=2)
    assert store.paths() == [kept]
    assert store.load()[0] == {"step": 1}


def test_the_newest_two_states_stay(tmp_path: Path) -> None:
    store = StateStore(tmp_path)
    for step in (9, 10, 11):
        store.save({"step": step}, epoch=step // 5, step=step)
    assert [path.name for path in store.paths()] == ["epoch_00002_step_000000010.pt", "epoch_00002_step_000000011.pt"]
    assert store.load()[0] == {"step": 11}


def test_states_of_an_abandoned_future_go_with_the_next_one(tmp_path: Path) -> None:
    store = StateStore(tmp_path)
    for step in (9, 10):
        store.save({"step": step}, epoch=1, step=step)
    kept = store.save({"step": 4}, epoch=1, step=4)
    assert store.paths() == [kept]
    assert store.load()[0] == {"step": 4}


def test_a_corrupt_newest_state_falls_back(tmp_path: Path) -> None:
    store = StateStore(tmp_path)
    store.save({"step": 1}, epoch=1, step=1)
    newest = store.save({"step": 2}, epoch=2, step=2)
    newest.write_bytes(newest.read_bytes()[:50])
    state, path, passed_over = store.load()
    assert state == {"step": 1}
    assert path.name == "epoch_00001_step_000000001.pt"
    assert len(passed_over) == 1 and "falling back" in passed_over[0]
    with pytest.raises(CheckpointError, match="epoch 2 to resume"):
        store.load(epoch=2)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), MemoryError()])
def test_a_fault_of_the_machine_does_not_cost_the_newest_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    store = StateStore(tmp_path)
    for step in (1, 2):
        store.save({"step": step}, epoch=step, step=step)

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(type(error)):
        store.load()


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "setting.json"
    write_json(path, {"scale": 2})
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert '"scale": 2' in path.read_text()
    assert len(list(tmp_path.iterdir())) == 1


# --- files written before the rooms, when a block's dynamic convolutions were dqa1 and dqa2


def old_model() -> CDSR:
    size = CDSRSize(num_features=8, growth=4, num_blocks=1, encoder_widths=(4, 4, 8), code_dim=8, num_codes=8)
    return CDSR(scale=2, size=size)


def old_step() -> TrainingStep:
    model = old_model()
    return TrainingStep(
        model=model,
        moco=MoCo(model.encoder, queue_size=16),
        pixel_loss=PixelLoss(),
        contrastive_loss=contrastive_loss,
        pair_degradation=PairDegradation(create_degradation(DegradationConfig(noise=5.0)), seed=1),
        optimizer=torch.optim.Adam(model.parameters(), fused=True),
        config=StepConfig(),
        device=torch.device("cpu"),
        ema=ExponentialMovingAverage(model, 0.9),
    )


def test_a_state_with_older_names_resumes(assets: Path) -> None:
    state = torch.load(assets / "state_before_rooms.pt", weights_only=True)
    assert any(".dqa1." in name for name in state["model"])
    step = old_step()
    step.load_state_dict(state)
    step.set_phase(Phase.JOINT)
    hr_pairs = torch.randint(0, 256, (2, 2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    losses = step(hr_pairs, step=2, phase=Phase.JOINT, learning_rate=1e-3)
    assert losses.keys() == {"contrastive", "pixel"}
    np.testing.assert_allclose(losses["contrastive"].item(), 1.6470327377, rtol=1e-4)
    np.testing.assert_allclose(losses["pixel"].item(), 131.4977569580, rtol=1e-4)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_older_weights_are_those_of_the_state(assets: Path, suffix: str) -> None:
    step, model = old_step(), old_model()
    step.load_state_dict(torch.load(assets / "state_before_rooms.pt", weights_only=True))
    load_model(model, assets / f"weights_before_rooms{suffix}")
    metadata = model.trained_for
    assert (metadata["model"], metadata["degradation"], metadata["noise"]) == ("CDSR", "cdsr", 5.0)
    lr = torch.full((1, 3, 12, 14), 99.0).cumsum(3) % 256
    with torch.inference_mode():
        assert torch.equal(model.eval()(lr), step.model.eval()(lr))
