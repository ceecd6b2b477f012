"""The evaluation: rows, means, resuming, sharing, and what bad input costs."""

import json
import math
import mmap
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import test as program
from data.build_testset import main as build_testsets
from evaluation.evaluate import evaluate
from evaluation.metrics import METRICS, Metric, describe_metrics, load_metrics, psnr_rgb, psnr_y, ssim_y
from evaluation.profiling import model_cost
from evaluation.results import Result, read_rows, summarize, table, write_results
from evaluation.rowlog import RowLog, remove_parts
from evaluation.shard import Shard
from inference.upscaler import Upscaler
from model import create_model, save_model
from tests.support.images import smooth_image
from utils.device import peak_memory, reset_peak_memory
from utils.environment import environment
from utils.files import sha256, write_json
from utils.image import write_image

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")


class Memory:
    """Samples held in memory; an image of None is corrupt."""

    def __init__(self, images: dict[str, np.ndarray | None], test_kernels: tuple[str, ...] = ("a", "b")) -> None:
        self.images = images
        self.keys = [(name, test_kernel) for name in images for test_kernel in test_kernels]
        self.num_read = 0

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> SimpleNamespace:
        self.num_read += 1
        name, test_kernel = self.keys[index]
        hr = self.images[name]
        if hr is None:
            raise ValueError(f"{name}.png is truncated")
        lr = hr[::2, ::2] if test_kernel == "a" else hr[1::2, 1::2]
        return SimpleNamespace(image=name, kernel=test_kernel, lr=lr, hr=hr, known_degradation=None)


@pytest.fixture
def samples() -> Memory:
    return Memory({"one": smooth_image(1), "broken": None, "two": smooth_image(2, 64, 40)})


def upscaler() -> Upscaler:
    return Upscaler(create_model("bicubic", 2))


@pytest.mark.parametrize("overlap", [True, False])
def test_rows_are_those_of_the_metrics_in_order(samples: Memory, overlap: bool) -> None:
    metrics = load_metrics(["psnr", "ssim", "rgb"], CPU)
    rows = evaluate(upscaler(), samples, device=CPU, name="x", metrics=metrics, overlap=overlap)
    assert [(row.image, row.kernel) for row in rows] == samples.keys
    sample = samples[5]
    lr = torch.from_numpy(sample.lr.copy()).permute(2, 0, 1)[None].float()
    sr = upscaler()(lr)[0].permute(1, 2, 0).round().byte().numpy()
    expected = {"psnr": psnr_y(sr, sample.hr, 2), "ssim": ssim_y(sr, sample.hr, 2), "rgb": psnr_rgb(sr, sample.hr, 2)}
    assert rows[5].values == pytest.approx(expected, rel=1e-9)
    assert rows[5].seconds > 0


def test_a_corrupt_or_tiny_image_fails_its_rows_alone(samples: Memory) -> None:
    samples.images["two"] = smooth_image(3, 12, 12)  # 8 pixels without its border: too few for SSIM
    rows = evaluate(upscaler(), samples, device=CPU, name="x")
    assert [bool(row.error) for row in rows] == [False, False, True, True, True, True]
    assert "broken.png is truncated" in rows[2].error
    assert "SSIM needs at least 11x11" in rows[4].error
    summary = summarize(rows)
    assert (summary.num_rows, summary.num_failed, summary.num_images) == (2, 4, 1)
    assert summary.psnr == pytest.approx(np.mean([row.psnr for row in rows[:2]]))


def test_an_image_that_memory_cannot_hold_fails_alone(samples: Memory) -> None:
    whole = upscaler()

    class Small:
        scale = 2

        def __call__(self, lr: torch.Tensor, known_degradation: None) -> torch.Tensor:
            if lr.shape[2] > 24:
                raise torch.OutOfMemoryError("no more")
            return whole(lr)

    rows = evaluate(Small(), samples, device=CPU, name="x")
    assert all("out of memory: try --tile auto" in row.error for row in rows if row.image == "two")
    assert not rows[0].error


def test_writing_goes_on_beside_the_network_and_its_failure_stops_the_run(samples: Memory) -> None:
    threads = set()

    def write(sample: SimpleNamespace, sr: np.ndarray) -> None:
        threads.add(threading.current_thread().name)
        assert sr.shape == sample.hr.shape

    evaluate(upscaler(), samples, device=CPU, name="x", on_result=write)
    assert threading.main_thread().name not in threads

    def fail(sample: SimpleNamespace, sr: np.ndarray) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        evaluate(upscaler(), samples, device=CPU, name="x", on_result=fail)


def test_the_memory_layout_changes_rounding_alone() -> None:
    model = create_model("CDSR_S", 2).eval()
    lr = torch.rand(1, 3, 20, 26, generator=torch.Generator().manual_seed(0)) * 255
    plain, other = (Upscaler(model, channels_last=channels_last)(lr) for channels_last in (False, True))
    torch.testing.assert_close(other, plain, atol=1e-2, rtol=0)
    assert torch.equal(Upscaler(model)(lr), other)  # on a CPU, the faster one
    assert next(model.parameters()).is_contiguous()


def test_pixels_stay_float32_in_low_precision() -> None:
    model = create_model("CDSR_S", 2).eval()
    seen: list[torch.dtype] = []
    for layer in (model.sr_network.head, model.sr_network.tail, model.sr_network.trunk_conv):
        layer.register_forward_hook(lambda layer, inputs, output: seen.extend((inputs[0].dtype, output.dtype)))
    sr = Upscaler(model, precision="bf16")(torch.full((1, 3, 16, 16), 100.0))
    assert seen == [torch.float32] * 2 + [torch.bfloat16] * 2 + [torch.float32] * 2
    assert sr.dtype == torch.float32


def test_a_grey_file_is_measured_as_rgb_on_y() -> None:
    """Y has the range 219 and not 255: 1.32 dB above the PSNR of the one plane, which MATLAB code measures."""
    grey = np.repeat(smooth_image(1)[:, :, :1], 3, axis=2)
    (row,) = evaluate(upscaler(), Memory({"bridge": grey}, ("a",)), device=CPU, name="x")
    lr = torch.from_numpy(grey[::2, ::2].copy()).permute(2, 0, 1)[None].float()
    sr = upscaler()(lr)[0].permute(1, 2, 0).round().double().numpy()
    error = (sr[2:-2, 2:-2, 0] - grey[2:-2, 2:-2, 0].astype(float)) ** 2
    of_one_plane = 10 * math.log10(255**2 / error.mean())
    assert row.values.keys() == {"psnr", "ssim"}
    assert row.psnr == pytest.approx(of_one_plane + 20 * math.log10(255 / 219), abs=1e-6)


def test_result_files_are_valid_json_whatever_the_figures(tmp_path: Path) -> None:
    rows = [Result("same", "a", {"psnr": math.inf, "ssim": 1.0}, 0.1), Result("bad", "a", error="truncated")]
    write_results(tmp_path / "x", rows, context={"set": "Set5", "worst": math.nan})
    text = (tmp_path / "x.json").read_text()
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert content["summary"]["psnr"] is None
    assert content["worst"] is None
    assert content["summary"]["num_failed"] == 1
    assert (tmp_path / "x.csv").read_text().splitlines()[0] == "image,kernel,psnr,ssim,seconds,error"
    write_json(tmp_path / "y.json", {"a": (1.5, -math.inf)})
    assert json.loads((tmp_path / "y.json").read_text()) == {"a": [1.5, None]}


def test_an_interrupted_evaluation_goes_on_and_equals_an_uninterrupted_one(tmp_path: Path, samples: Memory) -> None:
    whole = evaluate(upscaler(), samples, device=CPU, name="x")
    settings = {"scale": 2, "noise": math.nan}

    class Stop(Exception):
        pass

    class StoppingLog(RowLog):
        count = 0

        def append(self, row: Result) -> None:
            self.count += 1
            if self.count > 2:
                raise Stop
            super().append(row)

    log = StoppingLog(tmp_path / "x", settings)
    with pytest.raises(Stop):
        evaluate(upscaler(), samples, device=CPU, name="x", row_log=log)
    with log.path.open("a") as file:
        file.write('{"image": "tw')  # cut off in the middle
    again = RowLog(tmp_path / "x", settings)
    assert len(again.rows) == 2
    samples.num_read = 0
    rows = evaluate(upscaler(), samples, device=CPU, name="x", row_log=again)
    assert samples.num_read == 4
    assert [(row.image, row.kernel, row.values) for row in rows] == [(r.image, r.kernel, r.values) for r in whole]
    assert len(RowLog(tmp_path / "x", settings, part=1).rows) == 4  # whoever did them; failed ones are tried again
    assert not RowLog(tmp_path / "x", {"scale": 3}).rows
    remove_parts(tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_shards_cover_every_sample_once_and_keep_images_together() -> None:
    keys = [(f"p{number}", test_kernel) for number in range(7) for test_kernel in "abc"]
    parts = [Shard(rank, 3).indices(keys) for rank in range(3)]
    assert sorted(index for part in parts for index in part) == list(range(21))
    assert not {keys[index][0] for index in parts[0]} & {keys[index][0] for index in parts[1]}
    assert Shard().merge([2, 0], ["c", "a"]) == ["a", "c"]


def test_costs_are_counted() -> None:
    model = create_model("CDSR_S", 2)
    cost = model_cost(model)
    assert cost.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert cost.lr_size == (360, 640)
    features = model.size.num_features
    assert cost.multiply_adds > 360 * 640 * 9 * features * (3 + features + 12)  # head, trunk and tail alone
    assert next(model.parameters()).device == CPU


def test_the_peak_of_memory_is_counted_anew() -> None:
    reset_peak_memory(CPU)
    low = peak_memory(CPU)
    with mmap.mmap(-1, 80 * 2**20) as block:  # malloc may give memory that the process already holds, and keep it
        block[:: mmap.PAGESIZE] = b"1" * (len(block) // mmap.PAGESIZE)
        high = peak_memory(CPU)
    assert high > low + 60 * 2**20
    reset_peak_memory(CPU)
    assert peak_memory(CPU) < high - 60 * 2**20


def test_lpips_that_is_not_at_hand_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(ValueError, match="pip install lpips torchvision, the latter from"):
        load_metrics(["lpips"], CPU)

    def offline(**options: object) -> None:
        raise OSError("no network")

    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=offline))
    with pytest.raises(ValueError, match=r"no network.*alexnet-owt-7be5be79\.pth.*checkpoints"):
        load_metrics(["lpips"], CPU)


def test_lpips_gets_images_in_its_range(monkeypatch: pytest.MonkeyPatch) -> None:
    class Distance(torch.nn.Module):
        def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
            assert first.shape == (1, 3, 16, 16)
            assert first.min() >= -1
            assert second.max() <= 1
            return (first - second).abs().mean()

    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=lambda **options: Distance()))
    lpips = load_metrics(["lpips"], CPU)["lpips"]
    black, white = np.zeros((20, 20, 3), np.uint8), np.full((20, 20, 3), 255, np.uint8)
    assert lpips(black, white, 2) == pytest.approx(2.0)
    with pytest.raises(ValueError, match="must be of one size"):
        lpips(black[1:], white, 2)


def test_unknown_metrics_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown metric 'niqe'; known: psnr, ssim, rgb, lpips"):
        load_metrics(["niqe"], CPU)


def test_a_metric_is_added_by_a_line(monkeypatch: pytest.MonkeyPatch, samples: Memory) -> None:
    mae = Metric("MAE", 3, "mean absolute error of RGB", lambda device: lambda sr, hr, border: 1.5)
    monkeypatch.setitem(METRICS, "mae", mae)
    rows = evaluate(upscaler(), samples, device=CPU, name="x", metrics=load_metrics(["mae"], CPU))
    assert "| x | 1.500 |" in table({"x": summarize(rows)})
    assert describe_metrics(["mae"], 2)["mae"] == "mean absolute error of RGB"


# The command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    for number in range(3):
        write_image(tmp_path / "sets" / "Tiny" / f"p{number}.png", smooth_image(number, 50, 61))
    return tmp_path / "sets"


def run(*words: object) -> int:
    return program.main([str(word) for word in ("--cpu", "--model", "bicubic", "--scale", 2, *words)])


@pytest.mark.parametrize("protocol", ["cdsr", "cdsr-sv", "dasr-iso", "gaussian8"])
def test_prepared_and_plain_sets_give_the_same_figures(sets: Path, tmp_path: Path, protocol: str) -> None:
    noise = 10 if protocol in ("cdsr", "dasr-iso") else 0
    build = ["--hr_dir", sets, "--out", tmp_path / "prepared", "--sets", "Tiny", "--scales", 2, "--noise", noise]
    build_testsets([str(word) for word in (*build, "--protocol", protocol)])
    rows = []
    for root in (sets, tmp_path / "prepared"):
        out = tmp_path / "out" / root.name
        words = ("--test_path", root, "--test_sets", "Tiny", "--noise", noise, "--protocol", protocol, "--results", out)
        assert run(*words) == 0
        rows.append([line.split(",")[:4] for line in next(out.glob("*.csv")).read_text().splitlines()])
    assert rows[0] == rows[1]
    assert len(rows[0]) > 3 * 4


def test_a_result_file_says_what_was_measured(sets: Path, tmp_path: Path) -> None:
    assert run("--test_path", sets, "--test_sets", "Tiny", "--results", tmp_path / "out", "--noise", 15) == 0
    content = json.loads((tmp_path / "out" / "Tiny_x2_cdsr_noise15_bicubic.json").read_text())
    assert content["protocol"]["protocol"] == "cdsr"
    assert content["protocol"]["noise_seed"] == 0
    assert len(content["protocol"]["test_kernels"]) == 9
    assert content["metrics"]["border"] == 2
    assert {"commit", "command", "torch", "date"} <= content["environment"].keys()
    assert content["checkpoint"]["model"] == "bicubic"
    assert set(content["by_kernel"]) == {test_kernel["label"] for test_kernel in content["protocol"]["test_kernels"]}
    assert not list((tmp_path / "out").glob("*.jsonl"))


def test_results_of_other_settings_are_not_replaced_in_silence(
    sets: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = ("--test_path", sets, "--test_sets", "Tiny", "--results", tmp_path / "out", "--sig", 1.2)
    for flags, told in (
        ((), ""),
        ((), ""),
        (("--self_ensemble",), "self_ensemble"),
        (("--blur_kernel", 15), "protocol"),
        (("--blur_kernel", 15, "--tile", 16), "(tile)"),
        (("--blur_kernel", 15, "--tile", 16), "(images)"),
    ):
        if told == "(images)":
            next((sets / "Tiny").iterdir()).rename(sets / "Tiny" / "other.png")
        caplog.clear()
        assert run(*words, "--model", "CDSR_S", *flags) == 0
        assert ("is of other settings" in caplog.text) == bool(told) and told in caplog.text


def test_rows_are_gone_on_with_where_they_were_begun(
    sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Their seconds are of a processor and its threads, the rest of a kind of device."""
    words = ("--test_path", sets, "--test_sets", "Tiny", "--results", tmp_path / "out", "--sig", 1.2)
    monkeypatch.setattr("test.remove_parts", lambda stem: None)
    for flags, threads, goes_on in (
        ((), 1, False),
        ((), 2, True),
        (("--profile",), 2, False),
        (("--profile",), 2, True),
        (("--profile",), 1, False),
    ):
        facts = {**environment(), "threads": threads}
        monkeypatch.setattr("evaluation.sets.environment", lambda facts=facts: facts)
        caplog.clear()
        assert run(*words, *flags) == 0
        assert ("rows were done before" in caplog.text) == goes_on
    (path,) = (tmp_path / "out").glob("*.part0.jsonl")
    assert json.loads(path.read_text().splitlines()[0])["device"] == "cpu"


def test_codes_say_of_what_they_are(sets: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = ("--test_path", sets, "--test_sets", "Tiny", "--results", tmp_path / "out", "--sig", 1.2, "--embeddings")
    for weights, told in ((1, ""), (1, ""), (2, "(checkpoint)")):
        torch.manual_seed(weights)
        save_model(create_model("CDSR_S", 2), tmp_path / "weights.safetensors", {})
        caplog.clear()
        assert run(*words, "--model", "CDSR_S", "--pre_train", tmp_path / "weights.safetensors") == 0
        assert ("is of other settings" in caplog.text) == bool(told) and told in caplog.text
        assert "the network runs in" not in caplog.text
    (path,) = (tmp_path / "out").glob("embeddings_*.json")
    content = json.loads(path.read_text())
    assert content["sets"] == {"Tiny": ", ".join(sorted(file.stem for file in (sets / "Tiny").iterdir()))}
    assert content["protocol"]["protocol"] == "cdsr-kernel"
    assert content["checkpoint"]["sha256"] == sha256(tmp_path / "weights.safetensors")
    assert {"commit", "command"} <= content["environment"].keys()


def test_the_tile_of_a_result_file_is_the_one_that_was_used(
    sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--test_path", sets, "--test_sets", "Tiny", "--results", tmp_path / "out", "--sig", 1.2)

    def shrink(upscaler: Upscaler, *given: object, **more: object) -> list[Result]:
        upscaler.tile = 25
        return evaluate(upscaler, *given, **more)

    monkeypatch.setattr("evaluation.sets.evaluate", shrink)
    assert run(*words, "--model", "CDSR_S") == 0
    assert json.loads(next((tmp_path / "out").glob("*.json")).read_text())["tile"] == 25


def test_missing_sets_and_corrupt_images_cost_themselves_alone(
    sets: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (sets / "Tiny" / "p1.png").write_bytes((sets / "Tiny" / "p1.png").read_bytes()[:300])
    words = ("--test_path", sets, "--test_sets", "Nowhere", "Tiny", "--results", tmp_path / "out")
    assert run(*words) == 1
    assert "Nowhere/IMAGE.png" in caplog.text
    content = json.loads(next((tmp_path / "out").glob("*.json")).read_text())
    assert (content["summary"]["num_rows"], content["summary"]["num_failed"]) == (18, 9)
    rows = read_rows(next((tmp_path / "out").glob("*.csv")))
    assert "p1.png" in next(row.error for row in rows if row.image == "p1")


def test_profile_and_metrics_reach_the_table(sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--test_path", sets, "--test_sets", "Tiny", "--results", tmp_path / "out", "--sig", 1.2)
    assert run(*words, "--metrics", "psnr", "rgb", "--profile") == 0
    output = capsys.readouterr().out
    assert "single precision (float32)" in output
    head = output.splitlines()[0]
    for column in (
        "PSNR (dB)",
        "PSNR RGB (dB)",
        "s/image",
        "peak memory (MiB)",
        "parameters (M)",
        "multiply-adds (G)",
    ):
        assert column in head
    assert "SSIM" not in head
    profile = json.loads(next((tmp_path / "out").glob("*.json")).read_text())["profile"]
    assert profile["seconds_per_image"] > 0


def test_a_profile_that_was_interrupted_keeps_its_peak(
    sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows say it, whichever process they are of."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    words = ("--test_path", sets, "--test_sets", "Tiny", "--results", tmp_path / "out", "--sig", 1.2, "--profile")
    peaks = iter([100 * 2**20, 300 * 2**20])
    with monkeypatch.context() as patch:
        patch.setattr("evaluation.evaluate.peak_memory", lambda device: next(peaks, 200 * 2**20))
        patch.setattr("evaluation.sets.write_results", interrupt)
        assert run(*words) == 130
    assert run(*words) == 0
    profile = json.loads(next((tmp_path / "out").glob("*.json")).read_text())["profile"]
    assert profile["peak_memory_mib"] == 300


def test_a_set_is_named_without_a_slash(sets: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert run("--test_path", sets, "--test_sets", "Tiny/", "--results", tmp_path / "out") == 1
    assert f"test set Tiny/: give the name of a folder in {sets}, without a slash" in caplog.text


def test_bicubic_is_matlabs_under_the_protocols_of_dasr(sets: Path, tmp_path: Path) -> None:
    words = ("--test_path", sets, "--test_sets", "Tiny", "--results", tmp_path / "out", "--protocol", "dasr-iso")
    assert run(*words) == 0
    content = json.loads((tmp_path / "out" / "Tiny_x2_dasr-iso_noise0_bicubic_matlab.json").read_text())
    assert content["checkpoint"]["model"] == "bicubic_matlab"


@pytest.mark.slow
def test_two_processes_give_what_one_gives(sets: Path, tmp_path: Path) -> None:
    words = ["test.py", "--cpu", "--model", "bicubic", "--scale", "2", "--test_path", str(sets), "--test_sets", "Tiny"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    for name, start in (("one", [sys.executable]), ("two", launch)):
        subprocess.run([*start, *words, "--results", str(tmp_path / name)], cwd=ROOT, check=True, timeout=110)
    one, two = (next((tmp_path / name).glob("*.csv")).read_text().splitlines() for name in ("one", "two"))
    assert [line.split(",")[:4] for line in one] == [line.split(",")[:4] for line in two]


def test_rows_of_other_images_are_not_gone_on_with(sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    words = ("--test_path", sets, "--test_sets", "Tiny", "--sig", 1.2)
    with monkeypatch.context() as patch:
        patch.setattr("evaluation.sets.write_results", interrupt)
        assert run(*words, "--results", tmp_path / "out") == 130
    write_image(sets / "Tiny" / "p1.png", smooth_image(9, 50, 61))
    for name in ("out", "fresh"):
        assert run(*words, "--results", tmp_path / name) == 0
    gone_on, fresh = (read_rows(next((tmp_path / name).glob("*.csv"))) for name in ("out", "fresh"))
    assert [row.values for row in gone_on] == [row.values for row in fresh]


def test_the_self_ensemble_costs_eight_times_as_much(sets: Path, tmp_path: Path) -> None:
    counts = []
    for flag in ((), ("--self_ensemble",)):
        words = ("--test_path", sets, "--test_sets", "Tiny", "--results", tmp_path / "out", "--sig", 1.2, "--profile")
        assert run(*words, "--model", "CDSR_S", *flag) == 0
        counts.append(json.loads(next((tmp_path / "out").glob("*.json")).read_text())["profile"]["multiply_adds"])
    assert counts[1] == 8 * counts[0]


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        ("--sample_mode bicubic", "--sample_mode"),
        ("--blur_kernel 15", "--blur_kernel"),
        ("--protocol cdsr --degradation dasr", "--degradation"),
        ("--theta 0.785", "--theta"),
        ("--protocol dasr-iso", None),
        ("--sample_mode bicubic --blur_kernel 15 --sig 1.2", None),
    ],
)
def test_options_that_the_protocol_overrules_are_named(
    sets: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, words: str, flag: str | None
) -> None:
    assert run("--test_path", sets, "--test_sets", "Tiny", "--results", tmp_path / "out", *words.split()) == 0
    assert (f"{flag} has no effect" if flag else "") in caplog.text
    assert caplog.text.count("has no effect") == (flag is not None)
