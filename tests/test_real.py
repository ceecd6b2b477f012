"""The degradation of real images: operations by hand, draws, what a model is told, workers, and a small training."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import main
import test as command_line
from data import build_batches, build_pair_degradation, build_testset, open_images
from data.degradation import DegradationConfig, RealDegradation, create_degradation
from data.degradation.downsample import bicubic_downsample
from data.degradation.operations import ANTIALIASED, Blur, GaussianNoise, Jpeg, Noise, PoissonNoise, Resize, run
from data.degradation.real_draws import draw_kernel, draw_operations
from data.pairs import PairDegradation, Pairs
from data.protocols import get_protocol
from model import build_model, create_model, init_model, save_model, variant_in
from model.degradation_head import DegradationHead, kernel_covariance
from model.variant import Variant
from option import parse_options
from tests.support.crops import loader_of, make_args
from training.build import build_schedule
from training.schedule import Phase
from utils.image import write_image
from utils.known_degradation import KnownDegradation

ROOT = Path(__file__).parent.parent
SMALL = Variant(lpe="autocorrelation", csc=False, head=True)


def real(scale: int = 2) -> RealDegradation:
    degradation = create_degradation(DegradationConfig(degradation="real", scale=scale))
    assert isinstance(degradation, RealDegradation)
    return degradation


def smooth(side: int, seed: int = 0) -> np.ndarray:
    """A smooth random image (side, side, 3) float32."""
    coarse = np.random.default_rng(seed).uniform(30, 220, (6, 6, 3)).astype(np.float32)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)


def hr_of(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- the operations


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_clean_image_is_matlab_s_bicubic(scale: int) -> None:
    image = generator().uniform(0, 255, (24, 36, 3)).astype(np.float32)
    expected = bicubic_downsample(hr_of(image), scale)
    lr = Resize(scale, ANTIALIASED)(image, image.shape[:2], generator())
    torch.testing.assert_close(hr_of(lr), expected, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("method", ["area", "bilinear", "bicubic", ANTIALIASED])
@pytest.mark.parametrize("between", [0.7, 1.3, 3.1])
def test_resizing_keeps_the_grid_of_interpolation(method: str, between: float) -> None:
    """A ramp stays a ramp at the pixel centres, whatever the size in between."""
    ramp = np.broadcast_to(np.arange(96, dtype=np.float32)[None, :, None], (96, 96, 3)).copy()
    steps = [Resize(between, "bilinear")] if method != ANTIALIASED else []
    lr = run([*steps, Resize(3, method)], ramp, generator())
    centres = np.arange(32) * 3 + 1
    assert np.abs(lr[16, 5:-5, 0] - centres[5:-5]).max() < 0.5 * between + 0.2


@pytest.mark.parametrize(("is_grey", "correlation"), [(True, 1.0), (False, 0.0)])
def test_noise_has_its_strength_and_its_colours(is_grey: bool, correlation: float) -> None:
    flat = np.full((200, 200, 3), 100, np.float32)
    for noise, deviation in ((GaussianNoise(7, is_grey), 7), (PoissonNoise(0.5, is_grey), 0.5 * 10)):
        change = noise(flat, flat.shape[:2], generator()) - flat
        assert change.std() == pytest.approx(deviation, rel=0.02) and abs(change.mean()) < 0.1
        assert np.corrcoef(change[..., 0].ravel(), change[..., 2].ravel())[0, 1] == pytest.approx(correlation, abs=0.02)


def test_poisson_noise_grows_with_the_light() -> None:
    image = np.full((100, 100, 3), 25, np.float32)
    image[50:] = 225
    change = PoissonNoise(1, False)(image, image.shape[:2], generator()) - image
    assert change[50:].std() / change[:50].std() == pytest.approx(3, rel=0.05)


def test_jpeg_is_opencv_s_and_its_grid_moves() -> None:
    image = smooth(64).round()
    _, encoded = cv2.imencode(".jpg", image.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 40])
    plain, moved = (Jpeg(40, shift)(image, image.shape[:2], generator()) for shift in ((0, 0), (3, 5)))
    assert np.array_equal(plain, cv2.imdecode(encoded, cv2.IMREAD_COLOR).astype(np.float32))
    steps = np.abs(np.diff(plain.mean(axis=2), axis=1)).mean(axis=0)
    moved_steps = np.abs(np.diff(moved.mean(axis=2), axis=1)).mean(axis=0)
    assert np.argmax(steps[:16]) % 8 == 7 and np.argmax(moved_steps[:16]) % 8 == 2  # 5 columns earlier


# --- the draws


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_draws_stay_in_the_ranges_of_the_papers(scale: int) -> None:
    lists = [draw_operations(generator(plan), scale, 21) for plan in range(600)]
    clean = [operations for operations in lists if operations == [Resize(scale, ANTIALIASED)]]
    assert 0.06 < len(clean) / 600 < 0.14
    resizes = [[one.shrink for one in operations if isinstance(one, Resize)] for operations in lists]
    assert all(shrinks[-1] == scale and len(shrinks) <= 2 for shrinks in resizes)
    first = [shrinks[0] for shrinks in resizes if len(shrinks) == 2]
    assert min(first) >= 1 / 1.5 and max(first) <= scale / 0.6 and max(first) > scale
    qualities = [one.quality for operations in lists for one in operations if isinstance(one, Jpeg)]
    assert min(qualities) == 30 and max(qualities) == 95
    twice = [sum(isinstance(one, Jpeg) for one in operations) == 2 for operations in lists]
    assert 0.4 < np.mean(twice) < 0.6  # 0.9 * 0.75^2
    kernels = [one.kernel for operations in lists for one in operations if isinstance(one, Blur)]
    assert {len(kernel) for kernel in kernels} == set(range(3, 22, 2))
    assert all(kernel.sum() == pytest.approx(1, abs=1e-5) and kernel.min() >= 0 for kernel in kernels)
    levels = [one.strength for operations in lists for one in operations if isinstance(one, GaussianNoise)]
    assert min(levels) >= 1 and max(levels) <= 30


def test_a_margin_of_kernels_that_weighs_nothing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It changes no pixel by a tenth of a grey level, and spares many kernels the slow way beyond 11 pixels."""
    image = generator().uniform(0, 255, (40, 40, 3)).astype(np.float32)
    trimmed = [draw_kernel(generator(seed), (0.1, 2.8), 21) for seed in range(100)]
    monkeypatch.setattr("data.degradation.real_draws.NEGLIGIBLE", 0.0)
    whole = [draw_kernel(generator(seed), (0.1, 2.8), 21) for seed in range(100)]
    assert np.mean([len(kernel) > 11 for kernel in trimmed]) < 0.8 * np.mean([len(kernel) > 11 for kernel in whole])
    for small, large in zip(trimmed, whole, strict=True):
        blurred = [Blur(kernel)(image, (40, 40), generator()) for kernel in (small, large)]
        assert len(small) <= len(large) and np.abs(blurred[0] - blurred[1]).max() < 0.1


def test_noise_comes_before_blur_too() -> None:
    """As in cameras and enlargements, which leave it correlated."""
    orders = [[type(one) for one in real().operations(plan)] for plan in range(300)]
    after = [Blur in order and any(issubclass(kind, Noise) for kind in order[: order.index(Blur)]) for order in orders]
    assert 0.05 < np.mean(after) < 0.5


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_patches_of_a_row_share_operations_but_not_noise(scale: int) -> None:
    degradation = real(scale)
    image = hr_of(smooth(24 * scale))
    parameters = degradation.draw(12, torch.Generator().manual_seed(1))
    lr = degradation.apply(image.expand(12, 2, -1, -1, -1), parameters)
    assert lr.shape == (12, 2, 3, 24, 24) and torch.equal(lr, lr.clamp(0, 255).round())
    is_noisy = [
        any(isinstance(one, Noise) for one in degradation.operations(plan)) for plan in parameters.plan.tolist()
    ]
    assert [bool((a != b).any()) for a, b in lr] == is_noisy and len(set(is_noisy)) == 2
    again = degradation.apply(image.expand(12, 2, -1, -1, -1), parameters)
    assert torch.equal(again, lr)
    single = degradation.apply(image.expand(1, 2, -1, -1, -1), parameters[3:4])
    assert torch.equal(single[0], lr[3])


def test_colours_stay_where_they_are() -> None:
    red = torch.zeros(3, 32, 32)
    red[0] = 200
    plan = next(plan for plan in range(80) if len(real().operations(plan)) == 1)
    parameters = replace(real().draw(1, torch.Generator()), plan=torch.tensor([plan]))
    assert torch.equal(real().apply(red[None], parameters)[0], red[:, ::2, ::2])


def test_sides_that_the_scale_does_not_divide_are_rounded_up() -> None:
    parameters = real(3).draw(8, torch.Generator().manual_seed(0))
    assert real(3).apply(torch.zeros(8, 3, 31, 44), parameters).shape == (8, 3, 11, 15)


@pytest.mark.parametrize(
    "options", [{"noise": 5.0}, {"sig": 1.0}, {"sig_max": 3.0}, {"sv_mode": 1}, {"sample_mode": "s-fold"}]
)
def test_flags_of_other_degradations_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match="real"):
        create_degradation(DegradationConfig(degradation="real", **options))


# --- what a model is told


def effect_of(monkeypatch: pytest.MonkeyPatch, operations: list, scale: int):
    monkeypatch.setattr("data.degradation.real.draw_operations", lambda *_: operations)
    real(scale).effect.__globals__["_effect"].cache_clear()
    return real(scale).effect(0)


@pytest.mark.parametrize("scale", [2, 4])
def test_variances_of_blur_and_resizing_add_up(scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.arange(21) - 10
    kernel = np.exp(-0.5 * ((x[None] / 2.0) ** 2 + (x[:, None] / 1.0) ** 2))
    blur = Blur((kernel / kernel.sum()).astype(np.float32))
    area = (scale**2 - 1) / 12  # of the mean over scale pixels
    effect = effect_of(monkeypatch, [blur, Resize(scale, "area")], scale)
    assert effect.covariance == pytest.approx((4 + area, 1 + area, 0), abs=0.02)
    late = effect_of(monkeypatch, [Resize(scale, "area"), blur, Jpeg(50, (0, 0))], scale)
    assert late.covariance == pytest.approx((4 * scale**2 + area, scale**2 + area, 0), rel=0.03, abs=0.01)
    assert (effect.quality, late.quality, effect.noise) == (100, 50, 0)


def test_noise_is_what_is_left_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    early = effect_of(monkeypatch, [GaussianNoise(20, False), Resize(4, "area")], 4)
    late = effect_of(monkeypatch, [Resize(4, "area"), GaussianNoise(20, False), Jpeg(90, (0, 0))], 4)
    assert early.noise == pytest.approx(20 / 4, rel=0.1) and late.noise == pytest.approx(20, rel=0.1)


def test_a_head_with_compression_reads_seven_numbers() -> None:
    parameters = real().draw(16, torch.Generator().manual_seed(2))
    known = real().known_degradation(parameters)
    six, seven = (DegradationHead(8, 8, scale=2, compression=compression) for compression in (False, True))
    numbers = seven.numbers_of(known)
    assert torch.equal(numbers[:, :6], six.numbers_of(known)) and numbers.shape == (16, 7)
    qualities = [real().effect(plan).quality for plan in parameters.plan.tolist()]
    torch.testing.assert_close(100 - 70 * numbers[:, 6], torch.tensor(qualities).float())
    untold = seven.numbers_of(KnownDegradation(known.kernels, known.noise))
    assert (untold[:, 6] == 0).all()
    seven.read[1].weight.data.zero_()
    seven.read[1].bias.data = numbers[0]
    estimate = seven.estimate(torch.randn(1, 8))
    torch.testing.assert_close(estimate.quality, torch.tensor(qualities[:1]).float(), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(estimate.covariance, kernel_covariance(known.kernels)[:1])
    assert six.estimate(torch.randn(1, 8)).quality is None


def test_a_head_of_six_numbers_starts_one_of_seven(tmp_path: Path) -> None:
    old, new = create_model("CDSR_S", 2, SMALL), create_model("CDSR_S", 2, SMALL._replace(compression=True))
    save_model(old, tmp_path / "six.safetensors", {})
    fresh = [new.encoder.head.embed[0].weight[:, 6].clone(), new.sr_network.tail.weight.clone()]
    init_model(new, tmp_path / "six.safetensors")
    assert torch.equal(new.encoder.head.embed[0].weight[:, :6], old.encoder.head.embed[0].weight)
    assert torch.equal(new.encoder.head.read[1].bias[:6], old.encoder.head.read[1].bias)
    assert torch.equal(new.encoder.head.embed[0].weight[:, 6], fresh[0])
    assert torch.equal(new.sr_network.tail.weight, fresh[1])
    assert torch.equal(new.sr_network.head.weight, old.sr_network.head.weight)


# --- training


@pytest.mark.parametrize("positive", ["d", "c"])
def test_workers_make_what_a_step_makes(tmp_path: Path, positive: str) -> None:
    for index in range(4):
        write_image(tmp_path / "HR" / f"{index}.png", smooth(60, index).round().astype(np.uint8))
    given = {"degradation": "real", "sample_mode": "bicubic", "positive": positive, "data_range": "1-3/4-4"}
    batches = []
    for n_threads in (0, 2):
        batches.append(list(loader_of(make_args(tmp_path / "HR", n_threads=n_threads, **given), range(3, 7))))
    own = PairDegradation(real(), seed=3, same_degradation=positive != "c")
    for step, (alone, worked) in enumerate(zip(*batches, strict=True), start=3):
        assert isinstance(alone, Pairs) and alone.lr.dtype == torch.uint8
        assert torch.equal(alone.hr, worked.hr) and torch.equal(alone.lr, worked.lr)
        assert torch.equal(own.degrade(alone.hr.float(), step), alone.lr.float())
        told = own.degradation.require_known(own.draw(len(alone.hr), step))  # the truth travels with them
        for known in (alone.known, worked.known):
            assert known is not None and known.quality is not None and told.quality is not None
            for mine, theirs in (
                (known.kernels, told.kernels),
                (known.noise, told.noise),
                (known.quality, told.quality),
            ):
                assert torch.equal(mine, theirs)


def test_resident_images_are_refused_which_no_worker_would_degrade(tmp_path: Path) -> None:
    for index in range(2):
        write_image(tmp_path / "HR" / f"{index}.png", smooth(60, index).round().astype(np.uint8))
    args = make_args(tmp_path / "HR", degradation="real", sample_mode="bicubic", data_resident=True)
    with pytest.raises(ValueError, match="workers make the LR images of degradation real; leave it out"):
        build_batches(args, open_images(args)[0], build_pair_degradation(args), torch.device("cpu"))


def test_ranks_share_out_what_is_drawn() -> None:
    hr = torch.stack([hr_of(smooth(32, seed)) for seed in range(8)]).reshape(4, 2, 3, 32, 32)
    whole = PairDegradation(real(), seed=3).degrade(hr, 5)
    ranks = [PairDegradation(real(), seed=3, rank=rank, world_size=2) for rank in range(2)]
    parts = [own.degrade(share, 5) for own, share in zip(ranks, hr.chunk(2), strict=True)]
    assert torch.equal(torch.cat(parts), whole)


def test_the_recipe_trains_from_the_weights_for_blur_and_resumes(photographs: Path) -> None:
    save_model(create_model("CDSR_S", 2, SMALL), Path("blur.safetensors"), {})
    words = (
        f"--template small_x2_real --dir_data {photographs} --cpu --precision single --patch_size 12 --context 16 "
        "--batch_size 2 --test_every 2 --epochs_sr 2 --data_range 1-4/5-6 --no-use_tb_logger --ema 0.5 "
        "--init_from blur.safetensors --print_every 1"
    ).split()
    assert main.main([*words, "--n_threads", "0", "--save", "straight"]) == 0
    folder = Path("experiment/straight_x2_bicubic_aniso")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [row for row in lines if "pixel" in row]
    assert all(row["degradation"] > 0 and row["phase"] == "joint" for row in steps) and len(steps) == 4
    assert main.main([*words, "--n_threads", "1", "--save", "pieces", "--time_limit", "1s"]) == 0
    assert main.main([*words, "--n_threads", "1", "--save", "pieces", "--resume", "-1"]) == 0
    again = (Path("experiment/pieces_x2_bicubic_aniso") / "metrics.jsonl").read_text().splitlines()
    assert [row["pixel"] for row in map(json.loads, again) if "pixel" in row] == [row["pixel"] for row in steps]


def test_the_user_s_weights_replace_the_recipe_s_start() -> None:
    assert parse_options(["--template", "small_x4_real"]).init_from.name == "cdsr_s_x4.safetensors"
    args = parse_options(["--template", "small_x4_real", "--pre_train", "own.pt"])
    assert args.init_from is None and args.pre_train == Path("own.pt")


def test_the_user_s_weights_may_read_no_compression_where_the_recipe_does() -> None:
    weights = ROOT / "experiment/pretrained/cdsr_s_x2.safetensors"
    words = ["--template", "small_x2_real", "--pre_train", str(weights)]
    held = variant_in(weights, "CDSR_S")
    with pytest.raises(ValueError, match="are for --no-compression: give --no-compression, or other weights"):
        build_model(parse_options(words), torch.device("cpu"), held)
    assert build_model(parse_options([*words, "--no-compression"]), torch.device("cpu"), held).variant == SMALL


@pytest.mark.parametrize("template", ["small_x2", "small_x4", "small_x2_real", "small_x4_real"])
def test_the_encoder_learns_however_long_the_user_trains(template: str) -> None:
    args = parse_options(["--template", template, "--epochs_sr", "500"])
    assert build_schedule(args).phase(args.epochs_encoder + 500) is Phase.JOINT


# --- the protocol


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_twenty_draws_have_the_severity_of_the_rule(scale: int) -> None:
    protocol = get_protocol("real", scale)
    assert len(protocol.test_kernels) == 20 and set(protocol.severities.values()) == {"light", "medium", "heavy"}
    for label, severity in protocol.severities.items():
        plan = int(label[-2:])
        effect = real(scale).effect(plan)
        variance = (effect.covariance[0] + effect.covariance[1]) / 2
        num_strong = (variance >= scale**2) + (effect.noise >= 5) + (effect.quality < 70)
        assert label == f"{severity}{plan:02}" and severity == ("light", "medium", "heavy", "heavy")[num_strong]


def test_a_prepared_set_is_measured_by_severity(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "HR/tiny/a.png", smooth(64).round().astype(np.uint8))
    build_testset.main(f"--protocol real --hr_dir {tmp_path}/HR --out {tmp_path}/SR --sets tiny --scales 2".split())
    manifest = json.loads((tmp_path / "SR/tiny_x2/manifest.json").read_text())
    told = manifest["parts"][0]["protocol"]["test_kernels"]
    assert sorted(kernel["plan"] for kernel in told) == list(range(20)) and len(manifest["files"]) == 21
    assert manifest["parts"][0]["versions"]["opencv"] == cv2.__version__  # its JPEG and resizing
    capsys.readouterr()
    tables = []
    for folder in ("HR", "SR"):
        words = f"--protocol real --scale 2 --model bicubic --test_sets tiny --cpu --results {tmp_path}/out{folder}"
        assert command_line.main([*words.split(), "--test_path", str(tmp_path / folder)]) == 0
        tables.append([line for line in capsys.readouterr().out.splitlines() if line.startswith("| tiny")])
    assert tables[0] == tables[1]
    assert [line.split("|")[1].strip() for line in tables[0]] == ["tiny", "tiny, light", "tiny, medium", "tiny, heavy"]
    content = json.loads((tmp_path / "outHR/tiny_x2_real_noise0_bicubic.json").read_text())
    for severity, means in content["by_severity"].items():
        own = [values["psnr"] for label, values in content["by_kernel"].items() if label.startswith(severity)]
        assert means["psnr"] == pytest.approx(np.mean(own))
