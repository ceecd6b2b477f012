"""Training from the command line down: golden losses, exact resume, and nothing lost when something goes wrong."""

import json
import math
import re
import resource
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import Tensor

import main
import test
from data import build_degradation, build_pair_degradation
from data.pairs import PairDegradation
from loss import PixelLoss
from model import MODELS, create_model, save_model
from model.cdsr import CDSR
from model.network import Network
from model.variant import Variant
from option import parse_options
from tests.support.runs import DENSE, RUN, assert_same, at_step, deliver, final_state, rows, tiny
from trainer import Meter
from training.build import build_training_step
from training.guard import MAX_SKIPPED_STEPS
from training.model_files import ModelFiles
from training.step import TrainingStep
from training.validation import Validation
from utils.checkpoint import StateStore, load_weights

ROOT = Path(__file__).parent.parent


def test_ten_seeded_steps_give_the_golden_losses(
    photographs: Path, assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, "CDSR_S", DENSE)
    assert main.main(tiny(photographs, "--epochs_encoder", "-1", "--epochs_sr", "1", "--test_every", "10")) == 0
    losses = {name: [row[name] for row in rows("pixel")] for name in ("pixel", "contrastive")}
    golden = json.loads((assets / "golden_losses.json").read_text())
    assert len(losses["pixel"]) == 10
    np.testing.assert_allclose(losses["pixel"], golden["l1"], rtol=1e-3)
    np.testing.assert_allclose(losses["contrastive"], golden["contrastive"], rtol=1e-3)


def test_a_run_leaves_what_it_should(photographs: Path) -> None:
    assert main.main(tiny(photographs, "--use_tb_logger")) == 0
    assert [row["phase"] for row in rows("phase")] == ["encoder"] * 4 + ["joint"] * 4 + ["frozen"] * 4
    assert {"pixel", "contrastive", "learning_rate", "seconds", "data_wait"} <= rows("pixel")[0].keys()
    assert {path.name for path in RUN.iterdir()} >= {"setting.json", "environment.json", "train.log", "tb_logger"}
    assert json.loads((RUN / "setting.json").read_text())["patch_size"] == 12
    models = sorted((RUN / "model").iterdir())
    assert models[-1].name.startswith("model_3_psnr_")
    assert 1 <= len(models) <= 2
    tensors, metadata = load_weights(models[-1])
    assert "G.conv_first.weight" in tensors
    assert (metadata["model"], metadata["scale"], metadata["noise"]) == ("CDSR_S", 2, 10.0)


def test_a_frozen_encoder_does_not_move(photographs: Path) -> None:
    assert main.main(tiny(photographs, "--epochs_sr", "1")) == 0
    before = {name: value.clone() for name, value in final_state()["model"].items()}
    assert main.main(tiny(photographs, "--resume", "-1")) == 0
    after = final_state()["model"]
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(name.startswith("sr_network.") for name in moved)


@pytest.mark.parametrize("step", [2, 6, 10, 11])  # 11: the last one, after which the run is still to be validated
def test_a_resumed_run_equals_an_uninterrupted_one(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    assert main.main(tiny(photographs)) == 0
    expected = final_state()
    with monkeypatch.context() as patch:
        at_step(patch, step, lambda: deliver(signal.SIGTERM))
        assert main.main(tiny(photographs, "--reset")) == 128 + signal.SIGTERM
    assert final_state()["progress"]["step_in_epoch"] == step % 4 + 1
    np.random.seed(99)  # noqa: NPY002
    torch.manual_seed(99)
    assert main.main(tiny(photographs, "--resume", "-1")) == 0
    assert_same(final_state(), expected)


STAGED = (
    "--template small_x2 --epochs_encoder 1 --epochs_teacher 1 --epochs_sr 3 --freeze_epoch 3 --test_every 4 "
    "--batch_size 4 --batch_encoder 6 --patch_size 12 --context 32 --warmup 2 --decay_type constant_2"
)
"""An epoch each of the encoder, the teacher, both together, and the frozen encoder."""


@pytest.mark.parametrize("step", [2, 6, 9, 14])
def test_a_staged_run_resumes_in_every_phase(photographs: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    assert main.main(tiny(photographs, *STAGED.split())) == 0
    assert [row["phase"] for row in rows("phase")][::4] == ["encoder", "teacher", "joint", "frozen"]
    assert ["degradation" in row for row in rows("phase")][::4] == [True, False, True, False]
    expected = final_state()
    with monkeypatch.context() as patch:
        at_step(patch, step, lambda: deliver(signal.SIGTERM))
        assert main.main(tiny(photographs, *STAGED.split(), "--reset")) == 128 + signal.SIGTERM
    assert main.main(tiny(photographs, *STAGED.split(), "--resume", "-1")) == 0
    assert_same(final_state(), expected)


def test_each_stage_trains_its_own_part(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder's weights rest in the teacher's epoch and the frozen one, the SR network's in the encoder's."""
    seen: dict[int, dict[str, Tensor]] = {}
    batch_sizes = []
    original = TrainingStep.__call__

    def call(self: TrainingStep, *arguments, **keywords):
        batch_sizes.append(len(arguments[0]))
        seen[keywords["step"]] = {name: value.detach().clone() for name, value in self.model.named_parameters()}
        return original(self, *arguments, **keywords)

    monkeypatch.setattr(TrainingStep, "__call__", call)
    assert main.main(tiny(photographs, *STAGED.split())) == 0
    assert batch_sizes == [6] * 4 + [4] * 12
    moved = {
        phase: {name for name in seen[0] if not torch.equal(seen[first + 1][name], seen[first + 3][name])}
        for phase, first in (("encoder", 0), ("teacher", 4), ("joint", 8), ("frozen", 12))
    }
    encoder = {
        name for name in seen[0] if name.startswith(("encoder.lpe.", "encoder.head.read", "encoder.projection."))
    }
    network = {name for name in seen[0] if name.startswith("sr_network.")}
    assert encoder <= moved["encoder"] and not moved["encoder"] & network
    assert network <= moved["teacher"] | {name for name in network if "gamma" in name}
    assert not moved["teacher"] & encoder and "encoder.head.embed.0.weight" in moved["teacher"]
    assert encoder <= moved["joint"] and not {name for name in moved["frozen"] if name.startswith("encoder.")}


def test_splitting_the_batch_changes_nothing(photographs: Path) -> None:
    plain = ["--optimizer", "SGD"]  # Adam would blow up rounding where a gradient is 0
    assert main.main(tiny(photographs, *plain)) == 0
    whole = final_state()["model"]
    assert main.main(tiny(photographs, *plain, "--reset", "--split_batch", "3")) == 0
    for name, value in final_state()["model"].items():
        torch.testing.assert_close(value, whole[name], atol=1e-5, rtol=1e-5)


def test_a_run_is_kept_unless_reset(photographs: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert main.main(tiny(photographs, "--epochs_sr", "1")) == 0
    log = (RUN / "train.log").read_text()
    assert main.main(tiny(photographs)) == 1
    assert "holds a run already" in caplog.text
    assert main.main(tiny(photographs, "--reset", "--positive", "d", "--data_range", "1-1/5-6")) == 1
    assert "there is one to train on" in caplog.text
    assert (RUN / "train.log").read_text() == log
    (RUN / "results").mkdir()
    (RUN / "results" / "a.csv").touch()
    assert main.main(tiny(photographs, "--epochs_encoder", "-1", "--epochs_sr", "1", "--reset")) == 0
    assert [path.name for path in (RUN / "results").iterdir()] == ["a.csv"]
    assert len(list((RUN / "state").iterdir())) == 1


def test_the_best_and_the_last_model_stay(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = iter([Validation(psnr, 0.9) for psnr in (30.0, 33.0, 31.0, 32.0)])
    monkeypatch.setattr(main, "Validator", lambda *_, **__: lambda model: next(figures))
    assert main.main(tiny(photographs, "--epochs_encoder", "-1", "--epochs_sr", "4")) == 0
    assert sorted(path.name for path in (RUN / "model").iterdir()) == ["model_2_psnr_33.00.pt", "model_4_psnr_32.00.pt"]


def test_an_epoch_that_lost_a_hard_image_is_not_the_best(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = iter(
        [Validation(psnr, 0.9, num_images=num) for num, psnr in ((2, 30.0), (1, 35.0), (2, 31.0), (2, 30.5))]
    )
    monkeypatch.setattr(main, "Validator", lambda *_, **__: lambda model: next(figures))
    assert main.main(tiny(photographs, "--epochs_encoder", "-1", "--epochs_sr", "4")) == 0
    assert sorted(path.name for path in (RUN / "model").iterdir()) == ["model_3_psnr_31.00.pt", "model_4_psnr_30.50.pt"]


def test_going_back_to_a_best_epoch_whose_weights_are_gone_chooses_it_anew(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([Validation(psnr, 0.9) for psnr in (32.0, 33.0, 31.0, 31.5, 31.2)])
    monkeypatch.setattr(main, "Validator", lambda *_, **__: lambda model: next(figures))
    words = tiny(photographs, "--epochs_encoder", "-1", "--epochs_sr")
    assert main.main([*words, "2"]) == 0  # the second epoch drops the weights of the first
    assert main.main([*words, "4", "--resume", "2"]) == 0  # whose second epoch is another one
    assert sorted(path.name for path in (RUN / "model").iterdir()) == ["model_3_psnr_31.50.pt", "model_4_psnr_31.20.pt"]


def test_the_best_of_an_epoch_cut_short_stays(tmp_path: Path) -> None:
    files = ModelFiles(tmp_path, lambda model, path: path.write_text(model))

    def write(epoch: int, best_epoch: int, psnr: float, is_best: bool) -> set[str]:
        files.write(epoch, best_epoch, [("raw", psnr, ""), ("averaged", psnr, "_ema")], is_best=is_best)
        return {path.name for path in tmp_path.glob("*[0-9].pt")}

    assert write(1, 1, 30.0, True) == {"model_1_psnr_30.00.pt"}  # cut short, the rate at 0
    assert write(1, 1, 29.5, False) == {"model_1_psnr_30.00.pt", "model_1_psnr_29.50.pt"}
    assert write(2, 1, 29.0, False) == {"model_1_psnr_30.00.pt", "model_1_psnr_29.50.pt", "model_2_psnr_29.00.pt"}
    assert write(2, 2, 31.0, True) == {"model_2_psnr_31.00.pt"}
    (tmp_path / "model_2_psnr_31.00.pt").write_text("the best")
    assert write(2, 2, 30.999, False) == {"model_2_psnr_31.00.pt"}  # by the same name
    assert (tmp_path / "model_2_psnr_31.00.pt").read_text() == "the best"


def test_a_collapsed_encoder_is_named(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The spread of the codes over the held-out images stands in the log; where there is none, a warning does."""
    words = tiny(photographs, "--epochs_encoder", "-1", "--epochs_sr", "1", "--test_every", "1")
    with caplog.at_level("INFO", logger="cdsr"):
        assert main.main(words) == 0
        assert ", codes differ by " in caplog.text and "the encoder has collapsed" not in caplog.text
        monkeypatch.setattr(CDSR, "encode", lambda self, lr, *_, **__: torch.ones(len(lr), 128))
        assert main.main([*words, "--reset"]) == 0
    assert ", codes differ by 0 %" in caplog.text and "the encoder has collapsed" in caplog.text
    assert [row["code_spread"] for row in rows("psnr")] == [0.0]


def test_one_bad_loss_is_skipped_and_counted(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad_steps = iter([False] * 2 + [True] + [False] * 100)
    original = PixelLoss.forward
    monkeypatch.setattr(
        PixelLoss, "forward", lambda self, sr, hr: original(self, sr, hr) * (math.nan if next(bad_steps) else 1)
    )
    assert main.main(tiny(photographs, "--epochs_encoder", "-1", "--epochs_sr", "1")) == 0
    state = final_state()
    assert state["num_skipped"] == 1
    assert all(torch.isfinite(value).all() for value in state["model"].values())
    assert state["moco"]["queue_pointer"].item() == 3 * 4
    assert [row["pixel"] is None for row in rows("pixel")] == [False, False, True, False]
    assert "NaN" not in (RUN / "metrics.jsonl").read_text()


def test_a_skipped_step_leaves_the_batch_statistics(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = PairDegradation.degrade
    monkeypatch.setattr(
        PairDegradation,
        "degrade",
        lambda self, pairs, step: original(self, pairs, step) * (math.nan if step == 2 else 1),
    )
    words = ("--lpe", "both", "--no-head", "--epochs_sr", "0", "--ema", "0.9")
    assert main.main(tiny(photographs, *words)) == 0
    state = final_state()
    assert state["num_skipped"] == 1
    assert any(name.endswith("running_mean") for name in state["model"])
    for values in (state["model"], state["ema"]["model"]):
        assert all(torch.isfinite(value).all() for value in values.values())


def test_the_mean_of_a_log_line_is_of_what_is_finite() -> None:
    meter = Meter()
    for value in (1.0, math.nan, 4.0, math.inf):
        meter.add({"pixel": torch.tensor(value), "bad": torch.tensor(math.nan)})
    means = meter.means()
    assert means["pixel"] == 2.5 and math.isnan(means["bad"])
    assert meter.means() == {}


def test_memory_that_runs_out_is_one_line(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def run_out() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    at_step(monkeypatch, 5, run_out)
    assert main.main(tiny(photographs)) == 1
    assert re.search("out of memory; the last good state is .*epoch_00002.*give --split_batch", caplog.text)


def test_endless_bad_losses_stop_the_run(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(PixelLoss, "forward", lambda self, sr, hr: sr.mean() * math.inf)
    arguments = tiny(photographs, "--epochs_encoder", "-1", "--epochs_sr", "1", "--test_every", "50")
    assert main.main(arguments) == 1
    assert f"{MAX_SKIPPED_STEPS} steps in a row" in caplog.text
    assert final_state()["num_skipped"] == MAX_SKIPPED_STEPS


def test_a_full_disk_keeps_the_last_good_state(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with monkeypatch.context() as patch:
        at_step(patch, 5, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1])))
        try:
            assert main.main(tiny(photographs)) == 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "is the disk full" in caplog.text
    assert "the last good state is" in caplog.text
    assert final_state()["progress"]["epoch"] == 2
    assert main.main(tiny(photographs, "--resume", "-1")) == 0


def test_a_folder_that_cannot_be_written_keeps_the_last_good_state(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept = Path("kept")

    def replace_by_a_file() -> None:  # permissions would not stop root
        (RUN / "state").rename(kept)
        (RUN / "state").write_text("")

    at_step(monkeypatch, 5, replace_by_a_file)
    assert main.main(tiny(photographs)) == 1
    assert f"cannot write {RUN / 'state'}" in caplog.text
    assert StateStore(kept).load()[0]["progress"]["epoch"] == 2


def test_images_that_vanish_cost_no_step(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert main.main(tiny(photographs)) == 0
    expected = final_state()
    away = photographs.with_name("away")
    monkeypatch.setattr("data.CACHE_BYTES", 0)
    with monkeypatch.context() as patch:
        at_step(patch, 6, lambda: photographs.rename(away))
        assert main.main(tiny(photographs, "--reset")) == 1
    assert "is --dir_data still there and whole?; go on with --resume -1" in caplog.text
    assert final_state()["progress"]["step_in_epoch"] == 3  # of seven steps done, four are the first epoch's
    away.rename(photographs)
    assert main.main(tiny(photographs, "--resume", "-1")) == 0
    assert_same(final_state(), expected)


def test_a_loading_process_that_dies_is_one_line(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:  # as PyTorch does, from a signal, in the middle of whatever runs then
        raise RuntimeError("DataLoader worker (pid 9) is killed by signal: Killed. ")

    at_step(monkeypatch, 5, fail)
    assert main.main(tiny(photographs, "--test_every", "4")) == 1
    assert "DataLoader worker" in caplog.messages[-1] and "epoch_00002_step_000000004.pt" in caplog.messages[-1]
    assert final_state()["progress"]["epoch"] == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--queue_size 64", "give --queue_size as the run had it"),
        ("--optimizer SGD", "is of the optimiser Adam, not SGD"),
        ("--test_every 2", "has epochs of 4 steps, not 2: give --test_every 4"),
    ],
)
def test_a_state_of_other_options_is_refused(
    photographs: Path, caplog: pytest.LogCaptureFixture, change: str, message: str
) -> None:
    assert main.main(tiny(photographs, "--epochs_sr", "1")) == 0
    before = rows("iteration"), StateStore(RUN / "state").paths(), (RUN / "setting.json").read_text()
    assert main.main(tiny(photographs, "--resume", "-1", *change.split())) == 1
    assert message in caplog.messages[-1]
    assert (rows("iteration"), StateStore(RUN / "state").paths(), (RUN / "setting.json").read_text()) == before


def test_decays_given_at_a_resume_hold(photographs: Path) -> None:
    assert main.main(tiny(photographs, "--epochs_sr", "1")) == 0
    assert main.main(tiny(photographs, "--resume", "-1", "--weight_decay", "0.1", "--beta1", "0.5")) == 0
    (group,) = final_state()["optimizer"]["param_groups"]
    assert group["weight_decay"] == 0.1
    assert tuple(group["betas"]) == (0.5, 0.999)


def test_a_broken_validation_image_does_not_end_the_run(photographs: Path) -> None:
    path = photographs / "5.png"
    path.write_bytes(path.read_bytes()[:2000])
    assert main.main(tiny(photographs, "--data_range", "1-3/4-6")) == 0
    assert all(row["code_spread"] > 0 for row in rows("code_spread"))


@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGTERM])
def test_signals_to_a_real_process_save_the_state(photographs: Path, stop_signal: signal.Signals) -> None:
    command = [sys.executable, str(ROOT / "main.py"), *tiny(photographs, "--test_every", "5000", "--n_threads", "1")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "[3/5000]" in line:
            process.send_signal(stop_signal)
            break
    rest = process.stderr.read()
    assert process.wait(timeout=60) == 128 + stop_signal
    assert "go on with --resume -1" in rest
    assert final_state()["progress"]["step_in_epoch"] >= 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--dir_data", "nowhere"], "nowhere is missing"),
        (["--dir_data", "experiment"], "holds no images: looked for"),
        (["--patch_size", "48"], "none of the 4 images to train on is at least 96 pixels"),
        (["--model", "bicubic"], "nothing to train"),
        (["--pre_train", "nowhere.pt"], "no checkpoint at nowhere.pt"),
        (["--resume", "-1"], "no whole file of a state to resume"),
        (["--sig1", "2", "--sig2", "1"], "a training draws kernels from a range"),
        (["--unblurred", "0.1", "--scale", "2", "--blur_kernel", "7"], "give 9 or more"),
        (["--sv_mode", "1", "--epochs_teacher", "1"], "has no kernel to tell: leave out --epochs_teacher"),
    ],
)
def test_what_the_user_did_wrong_is_one_line(
    photographs: Path, caplog: pytest.LogCaptureFixture, change: list[str], message: str
) -> None:
    Path("experiment").mkdir()
    assert main.main(tiny(photographs, *change)) == 1
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert message in errors[0]
    assert not RUN.exists()


def test_one_device_or_graph_for_several_processes_is_refused(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("utils.distributed.world_size", lambda: 2)  # as under torchrun, where --n_GPUs is 1
    words = tiny(photographs)
    words.remove("--cpu")
    assert main.main([*words, "--device", "cpu:0"]) == 1
    assert caplog.messages[-1] == "error: --device cpu:0 is one, and there are 2 processes: leave it out"
    args = parse_options([*words, "--cuda_graph"])
    with pytest.raises(ValueError, match="--cuda_graph is for one process, and there are 2: leave it out"):
        build_training_step(args, build_pair_degradation(args), torch.device("cuda"))


def test_a_range_that_is_not_read_is_named(photographs: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = ("--epochs_encoder", "-1", "--epochs_sr", "1", "--degradation", "dasr", "--sig_min", "1", "--sig_max", "2")
    assert main.main(tiny(photographs, *words)) == 0
    assert named_as_unread(caplog) == ["--sig_max", "--sig_min"]


@pytest.mark.parametrize(
    ("words", "unread"),
    [
        ("--optimizer ADAM --momentum 0.5 --beta1 0.8 --epsilon 1e-7", ["--momentum"]),
        ("--optimizer SGD --momentum 0.5 --beta1 0.8 --epsilon 1e-7", ["--beta1", "--epsilon"]),
        ("--decay_type cosine --gamma_sr 0.2 --lr_decay_sr 3", ["--gamma_sr", "--lr_decay_sr"]),
        ("--decay_type step_1 --gamma_sr 0.2 --lr_decay_sr 3", ["--lr_decay_sr"]),
        ("--decay_type step --gamma_sr 0.2 --lr_decay_sr 3 --lr_encoder 1e-4", []),
        ("--epochs_encoder -1 --lr_encoder 1e-4 --batch_encoder 8", ["--batch_encoder", "--lr_encoder"]),
        ("--sync_bn", ["--sync_bn"]),
        ("--self_ensemble --protocol cdsr --theta 1 --tile 64", ["--protocol", "--self_ensemble", "--theta", "--tile"]),
    ],
)
def test_an_option_that_is_not_read_is_named(
    photographs: Path, caplog: pytest.LogCaptureFixture, words: str, unread: list[str]
) -> None:
    assert main.main(tiny(photographs, "--epochs_sr", "1", *words.split())) == 0
    assert named_as_unread(caplog) == unread


@pytest.mark.parametrize(
    ("words", "is_unread"),
    [
        ("--blur_type iso_gaussian --degradation real", True),
        ("--blur_type iso_gaussian --sv_mode 1", True),
        ("--blur_type iso_gaussian --degradation dasr", False),
        ("--context 64 --model CDSR_S_unconditional", True),
        ("--context 64 --model CDSR_S", False),
        ("--n_threads 2 --data_resident", True),
        ("--queue_size 64 --negatives batch", True),
        ("--queue_size 64 --negatives both", False),
        ("--compression --model CDSR_S", True),
        ("--compression --model CDSR_S --degradation real", False),
    ],
)
def test_an_option_that_nothing_here_reads_has_a_reason(words: str, is_unread: bool) -> None:
    args = parse_options(words.split())
    unread = main.unread_options(args, create_model(args.model, 2), build_degradation(args))
    assert (words.split()[0].removeprefix("--") in unread) == is_unread


def named_as_unread(caplog: pytest.LogCaptureFixture) -> list[str]:
    messages = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    return [message.split(" has no effect")[0] for message in messages if " has no effect" in message]


def test_training_goes_on_from_a_published_checkpoint(photographs: Path) -> None:
    assert main.main(tiny(photographs, "--epochs_sr", "1")) == 0
    model = next((RUN / "model").glob("model_2*"))
    assert main.main(tiny(photographs, "--save", "more", "--pre_train", str(model))) == 0
    assert main.main(tiny(photographs, "--save", "other", "--scale", "3", "--pre_train", str(model))) == 1


def test_weights_without_a_head_cannot_be_told(photographs: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_model(create_model("CDSR_S", 2, Variant(lpe="pixel", csc=True)), Path("w.pt"), {})
    for words in (("--d_weight", "1"), ("--epochs_teacher", "1")):
        caplog.clear()
        assert main.main(tiny(photographs, "--pre_train", "w.pt", *words)) == 1
        assert "the weights have no head" in caplog.text


def test_a_resume_does_not_need_the_weights_of_the_start(photographs: Path) -> None:
    save_model(create_model("CDSR_S", 2), Path("w.pt"), {})
    words = tiny(photographs, "--init_from", "w.pt", "--epochs_sr", "1")
    assert main.main(words) == 0
    Path("w.pt").unlink()
    assert main.main([*words, "--epochs_sr", "2", "--resume", "-1"]) == 0


def test_ctrl_c_before_the_first_step_is_no_traceback(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "open_images", Mock(side_effect=KeyboardInterrupt))
    assert main.main(tiny(photographs)) == 128 + signal.SIGINT


class Plain(Network):
    """A model that is added by a file with this, and a line: it has no encoder, and no published names."""

    def __init__(self, *, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.head = torch.nn.Conv2d(3, 3 * scale**2, 3, padding=1)

    def super_resolve(self, lr: Tensor, code: Tensor) -> Tensor:
        return torch.nn.functional.pixel_shuffle(self.head(lr), self.scale)


def test_a_model_without_an_encoder_trains_by_the_pixel_loss_and_is_tested(
    photographs: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(MODELS, "plain", partial(Plain))
    words = tiny(photographs, "--model", "plain", "--freeze_epoch", "1", "--ema", "0.9", "--queue_size", "64")
    with pytest.raises(SystemExit):
        main.main(words)
    assert "plain has no encoder to train first" in capsys.readouterr().err
    words += ["--epochs_encoder", "-1"]
    assert main.main(words) == 0
    assert "--queue_size has no effect: plain has no contrastive loss" in caplog.text
    expected = final_state()
    assert [row["phase"] for row in rows("phase")] == ["joint"] * 8
    assert (
        all("contrastive" not in row for row in rows("pixel"))
        and rows("pixel")[-1]["pixel"] < rows("pixel")[0]["pixel"]
    )
    assert main.main([*words, "--epochs_sr", "1", "--reset"]) == 0
    assert main.main([*words, "--resume", "-1"]) == 0
    assert_same(final_state(), expected)

    weights = max((RUN / "model").iterdir())
    assert load_weights(weights)[0].keys() == {"head.weight", "head.bias"}
    evaluate = (
        f"--cpu --pre_train {weights} --test_path {photographs.parent} --test_sets HR --sig1 2 --sig2 1 --profile"
    )
    assert test.main([*evaluate.split(), "--model", "plain"]) == 0
    assert len(list((RUN / "results").glob("HR_*_plain.csv"))) == 1
    assert test.main([*evaluate.split(), "--model", "plain", "--scale", "3"]) == 1
    assert "the model asked for takes weights of Plain (head.bias is (12,), not (27,))" in caplog.text
