"""Packed states: each number within its block's step, and a run that goes on from one on another machine."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import main
from examples.train_in_pieces import train_a_piece
from tests.support.runs import RUN, final_state, rows, tiny
from trainer import Trainer
from training.muon import Muon
from training.packed_state import (
    BLOCK,
    MANIFEST,
    pack,
    quantise,
    quantise_positive,
    read_parts,
    restore,
    unpack,
    write_parts,
)
from utils.checkpoint import CheckpointError, StateStore


def test_eight_bits_are_within_half_a_step() -> None:
    values = torch.randn(5, 3, 211, generator=torch.Generator().manual_seed(0)) * 10
    restored = restore(quantise(values))
    assert restored.shape == values.shape
    assert (restored - values).abs().max() <= values.abs().max() / 127 / 2 * 1.001
    assert torch.equal(restore(quantise(torch.zeros(BLOCK + 1))), torch.zeros(BLOCK + 1))


def test_squares_keep_their_order_of_magnitude() -> None:
    values = torch.exp(torch.empty(3000).uniform_(-30, 5, generator=torch.Generator().manual_seed(0)))
    ratio = restore(quantise_positive(values)) / values
    assert (ratio.log().abs() <= 35 / 254 / 2 * 1.01).all()
    assert (restore(quantise_positive(torch.zeros(10))) <= 1e-29).all()


def test_a_packed_state_is_close_and_small(photographs: Path, tmp_path: Path) -> None:
    assert main.main(tiny(photographs, "--ema", "0.9")) == 0
    state = final_state()
    packed = pack(state, moments="both")
    parts = write_parts(tmp_path / "carry", packed, part_bytes=1_000_000)
    size = sum(part.stat().st_size for part in parts)
    (exact,) = [path.stat().st_size for path in StateStore(RUN / "state").paths()[-1:]]
    assert max(part.stat().st_size for part in parts) <= 1_000_000
    assert size < 0.45 * exact
    restored = unpack(read_parts(tmp_path / "carry"))
    assert torch.equal(restored["random"]["torch"], state["random"]["torch"])
    for name, value in state["model"].items():
        torch.testing.assert_close(restored["model"][name], value, atol=1e-6, rtol=1e-3)
        average, exact_average = restored["ema"]["model"][name].float(), state["ema"]["model"][name].float()
        step = (exact_average - restored["model"][name].float()).abs().max().item() / 127
        torch.testing.assert_close(average, exact_average, atol=0.51 * step + 1e-6, rtol=0)
    for index, slot in state["optimizer"]["state"].items():
        second = restored["optimizer"]["state"][index]["exp_avg_sq"]
        used = slot["exp_avg_sq"] > 1e-20
        torch.testing.assert_close(
            second[used].sqrt(), slot["exp_avg_sq"][used].sqrt(), atol=0, rtol=0.08
        )  # blocks that span e^-69 to e^5


def test_muons_average_travels_with_adams() -> None:
    generator = torch.Generator().manual_seed(0)
    kernel, weight = (
        torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in [(32, 32, 3, 3), (64, 80)]
    )
    optimizer = Muon([kernel], [weight], lr=0.1)
    kernel.grad, weight.grad = torch.randn_like(kernel), torch.randn_like(weight)
    optimizer.step()
    state = {"model": {}, "moco": None, "ema": None, "optimizer": optimizer.state_dict()}
    for moments, names in (("both", {0, 1}), ("second", {0, 1}), ("none", set())):
        packed = pack(state, moments=moments)
        restored = unpack(packed)["optimizer"]
        assert restored["param_groups"] == state["optimizer"]["param_groups"] and restored["state"].keys() == names
        if names:
            average = kernel.grad
            assert packed["optimizer"]["state"][0]["momentum_buffer"]["linear"].dtype == torch.int8
            step = average.abs().max().item() / 127
            torch.testing.assert_close(restored["state"][0]["momentum_buffer"], average, atol=0.51 * step, rtol=0)
            assert restored["state"][1].keys() == {"step", "exp_avg", "exp_avg_sq"}
            assert bool(restored["state"][1]["exp_avg"].any()) == (moments == "both")
        optimizer.load_state_dict(restored)
        optimizer.step()


def test_a_damaged_or_missing_part_is_refused(tmp_path: Path) -> None:
    (part,) = write_parts(tmp_path, {"a": torch.arange(9)})
    assert torch.equal(read_parts(tmp_path)["a"], torch.arange(9))
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="its hash differs"):
        read_parts(tmp_path)
    part.unlink()
    with pytest.raises(CheckpointError, match="no whole packed state"):
        read_parts(tmp_path)


def test_a_full_disk_keeps_the_packed_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    write_parts(tmp_path, {"a": torch.zeros(5000)}, part_bytes=9000)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fail)
        with pytest.raises(OSError, match="full"):
            write_parts(tmp_path, {"a": torch.ones(5000)}, part_bytes=9000)
    assert torch.equal(read_parts(tmp_path)["a"], torch.zeros(5000))
    parts = write_parts(tmp_path, {"a": torch.ones(5000)}, part_bytes=9000)
    assert torch.equal(read_parts(tmp_path)["a"], torch.ones(5000))
    assert set(tmp_path.iterdir()) == {*parts, tmp_path / MANIFEST}


def test_a_damaged_carried_state_is_one_line(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (part,) = write_parts(tmp_path / "carry", {"step": 1})
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(SystemExit):
        train_a_piece(["--carry", str(tmp_path / "carry"), "--", *tiny(photographs)])
    assert "its hash differs; fetch its parts again" in capsys.readouterr().err


def test_a_machine_takes_up_what_another_one_did_since(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    starts: list[int] = []
    original = Trainer.load_state

    def load_state(trainer: Trainer, state: dict[str, Any]) -> None:
        original(trainer, state)
        starts.append(trainer.step)

    monkeypatch.setattr(Trainer, "load_state", load_state)
    for machine, num_epochs in (("first", 1), ("other", 2), ("first", 3), ("first", 4)):
        (tmp_path / machine).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / machine)
        words = tiny(photographs, "--epochs_encoder", "-1", "--test_every", "2", "--epochs_sr", str(num_epochs))
        assert train_a_piece(["--carry", str(tmp_path / "carry"), "--", *words]) == 0
    assert starts == [2, 4, 6]


def test_a_piece_whose_rate_falls_with_its_time(photographs: Path, tmp_path: Path) -> None:
    words = tiny(photographs, "--epochs_encoder", "-1", "--epochs_sr", "1", "--decay_type", "time")
    assert train_a_piece(["--carry", str(tmp_path / "carry"), "--time_limit", "1h", "--", *words]) == 0
    assert len(rows("pixel")) == 4


def test_pieces_on_two_machines_make_one_run(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    carry = tmp_path / "carry"
    words = tiny(photographs, "--ema", "0.9")
    first = [word if word != "2" or words[i - 1] != "--epochs_sr" else "1" for i, word in enumerate(words)]
    assert train_a_piece(["--carry", str(carry), "--", *first]) == 0
    assert {MANIFEST, "best.safetensors", "metrics.jsonl"} <= {path.name for path in carry.iterdir()}
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    assert train_a_piece(["--carry", str(carry), "--moments", "none", "--", *words]) == 0
    assert final_state()["progress"]["epoch"] == 4
    assert [row["iteration"] for row in rows("phase")] == list(range(1, 13))
    assert json.loads((carry / "metrics.jsonl").read_text().splitlines()[-1])["epoch"] == 3
