"""The parts of the training engine, each by value or by identity."""

import copy
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import main
from data.resident import ResidentCrops
from data.training_set import TrainingSet
from model import create_model, init_model, save_model
from option import parse_options
from tests.support.runs import RUN, assert_same, final_state, rows, tiny
from training.ema import ExponentialMovingAverage
from training.guard import MAX_SKIPPED_STEPS, SkipGuard
from training.resume import match_layouts
from training.schedule import Schedule
from training.step import without_context
from utils.device import has_fast_bf16

ROOT = Path(__file__).parent.parent


class Images:
    """Three random images."""

    names = ("a", "b", "c")
    sizes = np.array([[40, 50], [31, 30], [64, 33]])

    def image(self, index: int) -> np.ndarray:
        return np.random.default_rng(index).integers(0, 256, (*self.sizes[index], 3), np.uint8)

    def crop(self, index: int, top: int, left: int, patch: int) -> np.ndarray:
        return self.image(index)[top : top + patch, left : left + patch]


@pytest.mark.parametrize(("rank", "world_size"), [(0, 1), (1, 2)])
def test_resident_batches_equal_loaded_ones(rank: int, world_size: int) -> None:
    shared = {"seed": 3, "batch_size": 16, "patch": 24}
    loaded = TrainingSet(Images(), **shared, rank=rank, world_size=world_size)
    batches = list(ResidentCrops(loaded, torch.device("cpu")).batches(range(5, 9)))
    assert len(batches) == 4
    for step, batch in enumerate(batches, start=5):
        assert torch.equal(batch, loaded[step])


def test_a_run_on_resident_data_is_the_same_run(photographs: Path) -> None:
    assert main.main(tiny(photographs)) == 0
    expected = final_state()
    assert main.main(tiny(photographs, "--reset", "--data_resident")) == 0
    assert_same(final_state()["model"], expected["model"])


def test_the_average_by_value() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(1.0)
    ema = ExponentialMovingAverage(model, 0.5)
    model.weight.data.fill_(2.0)
    ema.update(model)  # decay 2/11: forgets faster at the start
    assert ema.model.weight.item() == pytest.approx(1 + 9 / 11)
    for _ in range(20):
        ema.update(model)
    assert ema.model.weight.item() == pytest.approx(2.0, abs=1e-4)
    assert not ema.model.weight.requires_grad


def test_averaged_weights_are_evaluated_saved_and_resumed(photographs: Path) -> None:
    averaged = ["--ema", "0.9"]
    assert main.main(tiny(photographs, *averaged)) == 0
    expected = final_state()
    assert {"psnr", "psnr_ema"} <= rows("psnr")[0].keys()
    names = sorted(path.name for path in (RUN / "model").glob("model_3_*"))
    assert len(names) == 2 and names[0].endswith("_ema.pt") != names[1].endswith("_ema.pt")
    assert main.main(tiny(photographs, *averaged, "--reset", "--epochs_sr", "1")) == 0
    assert main.main(tiny(photographs, *averaged, "--resume", "-1")) == 0
    assert_same(final_state(), expected)


def test_the_guard_counts_on_the_device() -> None:
    guard = SkipGuard(100.0, torch.device("cpu"))
    fine, none = torch.tensor(1.0), torch.tensor(0.0)
    assert guard.excess({"pixel": fine}) == 0
    assert guard.excess({"pixel": fine, "contrastive": torch.tensor(math.nan)}) == 1
    assert guard.excess({"pixel": torch.tensor(101.0)}) == 1
    assert not guard.judge(none, fine)
    assert guard.judge(torch.tensor(0.5), fine)  # of one process in two
    assert guard.judge(none, torch.tensor(math.inf))
    assert guard.total == 2 and not guard.is_hopeless
    for _ in range(MAX_SKIPPED_STEPS):
        guard.judge(fine, fine)
    assert guard.is_hopeless


def test_warmup_rises_linearly() -> None:
    schedule = Schedule(epochs_sr=2, steps_per_epoch=10, lr_sr=1.0, warmup=4)
    assert [schedule.learning_rate(1, step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_a_time_limit_stops_in_order(photographs: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert main.main(tiny(photographs, "--test_every", "100000", "--time_limit", "1s")) == 0
    assert "the time limit is reached at step" in caplog.text
    assert "go on with --resume -1" in caplog.text
    assert final_state()["progress"]["step_in_epoch"] > 0


def test_a_rate_that_falls_with_time_ends_with_weights(photographs: Path) -> None:
    """Written in the middle of an epoch, which a resumed run completes."""
    arguments = tiny(photographs, "--epochs_encoder", "-1", "--test_every", "40", "--epochs_sr", "1000")
    assert main.main([*arguments, "--decay_type", "time", "--time_limit", "4s"]) == 0
    rates = [row["learning_rate"] for row in rows("learning_rate")]
    assert rates == sorted(rates, reverse=True) and rates[0] <= 1e-4 and rates[-1] < 0.1 * rates[0]
    last = final_state()["progress"]["epoch"]
    assert rows("psnr")[-1]["epoch"] == last
    assert len(list((RUN / "model").glob(f"model_{last}_psnr_*.pt"))) == 1
    assert main.main([*arguments, "--resume", "-1", "--epochs_sr", str(last)]) == 0
    assert [row["epoch"] for row in rows("psnr")].count(last) <= 2
    assert len(list((RUN / "model").glob(f"model_{last}_psnr_*.pt"))) == 1
    assert final_state()["progress"]["epoch"] == last + 1


@pytest.mark.parametrize(("text", "seconds"), [("9m", 540), ("90s", 90), ("1.5h", 5400)])
def test_times_parse(text: str, seconds: float) -> None:
    assert parse_options(["--time_limit", text]).time_limit == seconds


def test_another_scale_starts_from_all_but_the_tail(tmp_path: Path) -> None:
    source, target = create_model("CDSR_S", 2), create_model("CDSR_S", 4)
    tail = target.sr_network.tail.weight.clone()
    save_model(source, tmp_path / "x2.pt", {})
    init_model(target, tmp_path / "x2.pt")
    assert torch.equal(target.sr_network.head.weight, source.sr_network.head.weight)
    assert torch.equal(target.encoder.projection[0].weight, source.encoder.projection[0].weight)
    assert torch.equal(target.sr_network.tail.weight, tail)
    with pytest.raises(ValueError, match="does not fit"):
        init_model(create_model("CDSR", 4), tmp_path / "x2.pt")


@pytest.mark.parametrize("precision", ["bf16", "single"])
def test_channels_last_and_precision_change_little(photographs: Path, precision: str) -> None:
    assert main.main(tiny(photographs)) == 0
    plain = [row["pixel"] for row in rows("pixel")]
    assert main.main(tiny(photographs, "--reset", "--channels_last", "--precision", precision)) == 0
    np.testing.assert_allclose([row["pixel"] for row in rows("pixel")], plain, rtol=0.02)


def test_averages_follow_the_layout_of_their_weights() -> None:
    """A state saved in another layout, as without --channels_last or after packing, goes on like the same layout."""
    results, state = [], None
    gradient = torch.randn(8, 8, 3, 3, generator=torch.Generator().manual_seed(0))
    for layout in (torch.contiguous_format, torch.channels_last):
        weight = torch.nn.Parameter(torch.ones(8, 8, 3, 3).to(memory_format=layout))
        optimizer = torch.optim.Adam([weight], lr=0.1, fused=True)
        if state is None:
            weight.grad = gradient
            optimizer.step()
            state = optimizer.state_dict()
        optimizer.load_state_dict(copy.deepcopy(state))
        match_layouts(optimizer)
        weight.data.fill_(1.0)
        weight.grad = gradient.square().to(memory_format=layout)
        optimizer.step()
        results.append(weight.detach())
    torch.testing.assert_close(*results)


def test_deterministic_losses_twice(photographs: Path) -> None:
    try:
        runs = []
        for _ in range(2):
            assert main.main(tiny(photographs, "--reset", "--deterministic")) == 0
            runs.append([row.get("pixel", row.get("contrastive")) for row in rows("phase")])
        assert runs[0] == runs[1]
    finally:
        torch.use_deterministic_algorithms(False)


def test_rows_of_steps_done_again_are_dropped(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main.main(tiny(photographs, "--epochs_sr", "1")) == 0
    with (RUN / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 9, "pixel": 5.0, "phase": "joint"}\n{"iteration": 10, "pix')
    assert main.main(tiny(photographs, "--resume", "-1")) == 0
    assert [row["iteration"] for row in rows("phase")] == list(range(1, 13))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["single", "bf16"])
def test_sigkill_at_random_moments_changes_nothing(photographs: Path, precision: str) -> None:
    """Ten kills in all, across both phases and the freeze, with averaged weights."""
    arguments = tiny(photographs, "--ema", "0.9", "--precision", precision, "--epochs_sr", "6", "--freeze_epoch", "4")
    assert main.main(arguments) == 0
    expected = final_state()
    generator = np.random.default_rng(len(precision))
    start = ["--reset"]
    for _ in range(5):
        process = subprocess.Popen([sys.executable, str(ROOT / "main.py"), *arguments, *start], stderr=subprocess.PIPE)
        assert process.stderr is not None
        process.stderr.readline()  # it has started; then wait for anything from the first step to the last
        time.sleep(generator.uniform(0, 3))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
        start = ["--resume", "-1"] if any((RUN / "state").glob("epoch_*")) else ["--reset"]
    assert main.main([*arguments, *start]) == 0
    assert_same(final_state(), expected)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "more",
    [[], ["--compile"], ["--cuda_graph"], ["--data_resident"], ["--precision", "half"], ["--precision", "single"]],
)
def test_training_on_a_gpu(photographs: Path, more: list[str]) -> None:
    arguments = [word for word in tiny(photographs, *more) if word != "--cpu"]
    assert main.main(arguments) == 0
    assert all(math.isfinite(row["pixel"]) for row in rows("pixel"))
    assert main.main([*arguments, "--epochs_sr", "3", "--resume", "-1"]) == 0


@pytest.mark.gpu
def test_a_recorded_run_is_the_same_run(photographs: Path) -> None:
    """In all its phases, up to the order of sums."""
    arguments = [word for word in tiny(photographs, "--precision", "single", "--test_every", "8") if word != "--cpu"]
    assert main.main(arguments) == 0
    expected = [row["contrastive"] for row in rows("contrastive")] + [row["pixel"] for row in rows("pixel")]
    assert main.main([*arguments, "--reset", "--cuda_graph"]) == 0
    found = [row["contrastive"] for row in rows("contrastive")] + [row["pixel"] for row in rows("pixel")]
    assert found == pytest.approx(expected, rel=1e-2)


@pytest.mark.gpu
def test_gpus_train_in_bf16_by_default() -> None:
    assert has_fast_bf16(torch.device("cuda"))


@pytest.mark.parametrize("context", [12, 13, 14, 17])
def test_the_middles_of_lr_and_hr_lie_over_each_other(context: int) -> None:
    """Also where the context is odd: HR is s-fold's, each LR pixel the first of its HR ones."""
    lr = torch.arange(context * context).view(1, context, context)
    hr = lr.repeat_interleave(3, dim=1).repeat_interleave(3, dim=2)
    small, large = without_context(lr, 12), without_context(hr, 12, zoom=3)
    assert small.shape == (1, 12, 12) and torch.equal(large[:, ::3, ::3], small)
    assert without_context(lr, None) is lr
