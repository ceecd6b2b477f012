"""DASR against the published one, and against identities; its size, its recipes and its files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

import main
import test
from inference.memory import LIVE_COPIES, bytes_per_pixel
from inference.upscaler import Upscaler
from model import create_model, init_model, load_model, save_model
from model.dasr import DASR
from model.dynamic_conv import DAConv
from model.published import TRAINING_ONLY, load_published, to_published
from recipes import RECIPES
from tests.assets.fill_weights import fill
from tests.support.runs import assert_same, tiny
from tests.support.weights import ASSETS, chw
from utils.checkpoint import StateStore, load_weights

CONSTANTS = ("G.sub_mean.", "G.add_mean.")


def published_file(scale: int, seed: int) -> dict[str, torch.Tensor]:
    """What a file of DASR's code holds, its MeanShift layers as they are made."""
    shapes = json.loads((ASSETS / f"dasr_keys_x{scale}.json").read_text())
    weights = {name: torch.from_numpy(value) for name, value in fill(shapes, seed, gain=0.3).items()}
    constants = to_published(DASR(scale=scale).state_dict())
    return weights | {name: tensor for name, tensor in constants.items() if name.startswith(CONSTANTS)}


@pytest.fixture(scope="module")
def filled_model() -> DASR:
    model = DASR(scale=2).eval()
    load_published(model, published_file(2, int(np.load(ASSETS / "dasr_forward_x2.npz")["seed"])), "fill")
    return model


@pytest.fixture(scope="module")
def small_model() -> DASR:
    torch.manual_seed(0)
    model = create_model("DASR_S", 2)
    assert isinstance(model, DASR)
    return model.eval()


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 255


def test_forward_equals_published(filled_model: DASR) -> None:
    case = np.load(ASSETS / "dasr_forward_x2.npz")
    lr = chw(case["lr0"])[None].float()
    with torch.inference_mode():
        code, sr = filled_model.encode(lr), filled_model(lr)
    np.testing.assert_allclose(code.numpy(), case["embedding0"], atol=1e-5)
    np.testing.assert_allclose(sr[0].movedim(0, -1).numpy(), case["sr0"], atol=0.01)


@pytest.mark.parametrize("scale", [2, 4])
def test_names_and_shapes_equal_published(scale: int) -> None:
    published = json.loads((ASSETS / f"dasr_keys_x{scale}.json").read_text())
    kept = {name: shape for name, shape in published.items() if not name.startswith(TRAINING_ONLY)}
    own = {name: list(tensor.shape) for name, tensor in to_published(DASR(scale=scale).state_dict()).items()}
    assert own == kept


@pytest.mark.parametrize(("scale", "stages"), [(1, []), (2, [2]), (3, [3]), (4, [2, 2])])
def test_the_tail_shuffles_pixels_in_stages(scale: int, stages: list[int]) -> None:
    model = create_model("DASR_S", scale).eval()
    factors = [layer.upscale_factor for layer in model.modules() if isinstance(layer, torch.nn.PixelShuffle)]
    assert factors == stages
    with torch.inference_mode():
        assert model(noise(1, 3, 5, 1)).shape == (1, 3, 5 * scale, scale)


def test_the_mean_colour_is_taken_off_and_put_back() -> None:
    """With a last convolution of zeros the result is DIV2K's mean colour, whatever the image."""
    model = create_model("DASR_S", 2).eval()
    torch.nn.init.zeros_(model.sr_network.last_conv.weight)
    torch.nn.init.zeros_(model.sr_network.last_conv.bias)
    mean = torch.tensor([114.444, 111.4605, 103.02])
    with torch.inference_mode():
        sr = model(noise(1, 3, 6, 7))
        shifted = model.sr_network.sub_mean(mean[None, :, None, None])
    torch.testing.assert_close(sr, mean[None, :, None, None].expand(1, 3, 12, 14))
    torch.testing.assert_close(shifted, torch.zeros(1, 3, 1, 1), atol=1e-4, rtol=0)
    assert not any("mean" in name for name, _ in model.named_parameters())  # no optimiser moves it


def test_the_dynamic_convolution_by_value() -> None:
    torch.manual_seed(0)
    conv = DAConv(4, reduction=2)
    feat, code = torch.randn(1, 4, 5, 6), torch.randn(1, 4)
    kernels = (F.leaky_relu(code @ conv.kernel[0].weight.t(), 0.1) @ conv.kernel[2].weight.t()).view(4, 1, 3, 3)
    depthwise = F.leaky_relu(F.conv2d(feat, kernels, padding=1, groups=4), 0.1)
    attention = conv.channel_attention
    gate = F.leaky_relu(attention.squeeze.weight[:, :, 0, 0] @ code[0], 0.1)
    gate = (attention.excite.weight[:, :, 0, 0] @ gate).sigmoid()
    torch.testing.assert_close(conv(feat, code), conv.conv(depthwise) + feat * gate[:, None, None])


def test_a_batch_equals_its_singles(filled_model: DASR) -> None:
    lr = noise(3, 3, 20, 17)
    with torch.inference_mode():
        together = filled_model(lr)
        alone = torch.cat([filled_model(image[None]) for image in lr])
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (17, 90), (65, 50), (64, 48)])
def test_a_code_in_tiles_is_the_whole_images(filled_model: DASR, height: int, width: int) -> None:
    lr = noise(1, 3, height, width)
    with torch.inference_mode():
        torch.testing.assert_close(filled_model.encode(lr, tile=16), filled_model.encode(lr), atol=1e-5, rtol=1e-4)


def test_the_self_ensemble_turns_with_the_image(small_model: DASR) -> None:
    upscaler, lr = Upscaler(small_model, self_ensemble=True), noise(1, 3, 14, 19)
    turned = upscaler(torch.rot90(lr, 1, (2, 3)))
    torch.testing.assert_close(turned, torch.rot90(upscaler(lr), 1, (2, 3)), atol=1e-3, rtol=0)


@pytest.mark.parametrize("options", [{"precision": "bf16"}, {"tile": 64}])
def test_ways_of_inference_change_little(filled_model: DASR, options: dict) -> None:
    coarse = noise(1, 3, 12, 16)
    lr = F.interpolate(coarse, size=(96, 128), mode="bicubic").clamp(0, 255)
    plain, other = Upscaler(filled_model)(lr), Upscaler(filled_model, **options)(lr)
    assert (plain - other).abs().max() < 0.5
    assert not torch.equal(plain, other)


def test_the_estimate_of_memory_knows_what_comes_after_a_shuffle() -> None:
    # x4: the second convolution has 64 inputs and 256 outputs for each of 4 pixels; x2: the encoder's 256 and 256.
    assert bytes_per_pixel(DASR(scale=4)) == 4 * LIVE_COPIES * 4 * (64 + 256)
    assert bytes_per_pixel(DASR(scale=2)) == 4 * LIVE_COPIES * (256 + 256)


def multiply_adds(name: str, scale: int) -> float:
    """Of a 48x48 LR image, in thousands of millions."""
    model = create_model(name, scale).eval()
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad(), FlopCounterMode(display=False) as counter:
        lr = torch.empty(1, 3, 48, 48)
        model.super_resolve(lr, model.encode(lr))
    return counter.get_total_flops() / 2e9


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_small_model_costs_what_cdsr_s_does(scale: int) -> None:
    assert 0.9 < multiply_adds("DASR_S", scale) / multiply_adds("CDSR_S", scale) < 1.1


@pytest.mark.parametrize(
    ("name", "millions", "thousand_millions"), [("CDSR", 13.2, 19.7), ("CDSR_S", 1.6, 2.5), ("DASR", 5.8, 6.0)]
)
def test_the_readme_s_figures_of_cost(name: str, millions: float, thousand_millions: float) -> None:
    parameters = sum(parameter.numel() for parameter in create_model(name, 2).parameters())
    assert (round(parameters / 1e6, 1), round(multiply_adds(name, 2), 1)) == (millions, thousand_millions)


def test_files_of_both_codebases_load(tmp_path: Path) -> None:
    weights = published_file(4, 3)
    assert any(name.startswith(TRAINING_ONLY) for name in weights)
    model, again = DASR(scale=4), DASR(scale=4)
    load_published(model, weights, "published.pt")
    assert torch.equal(model.sr_network.first_conv.weight, weights["G.head.0.weight"])
    save_model(model, tmp_path / "own.pt", {})
    load_model(again, tmp_path / "own.pt")
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_a_file_of_the_other_method_or_scale_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match=r"holds DASR weights for scale 2 with 5 groups of 5 blocks of 64 features, .* "
        r"takes CDSR weights for scale 2",
    ):
        load_published(create_model("CDSR", 2), published_file(2, 1), "dasr.pt")
    with pytest.raises(ValueError, match=r"DASR weights for scale 4 .* DASR weights for scale 3"):
        load_published(DASR(scale=3), published_file(4, 1), "dasr.pt")
    with pytest.raises(ValueError, match="holds no weights of CDSR or DASR"):
        load_published(DASR(scale=3), {"weight": torch.zeros(1)}, "other.pt")


def test_another_scale_starts_from_all_but_the_tail(tmp_path: Path) -> None:
    source, target = create_model("DASR_S", 4), create_model("DASR_S", 3)
    tail = target.sr_network.last_conv.weight.clone()
    save_model(source, tmp_path / "x4.pt", {})
    init_model(target, tmp_path / "x4.pt")
    assert torch.equal(target.sr_network.first_conv.weight, source.sr_network.first_conv.weight)
    assert torch.equal(target.encoder.lpe.convs[5].conv.weight, source.encoder.lpe.convs[5].conv.weight)
    assert torch.equal(target.sr_network.last_conv.weight, tail)
    with pytest.raises(ValueError, match="holds DASR weights for scale 3 with 6 groups of 6 blocks of 32 features"):
        init_model(create_model("CDSR_S", 3), tmp_path / "x4.pt")


@pytest.mark.parametrize(
    ("recipe", "freeze_epoch", "run"),
    [("dasr_x2", 600, "tiny_x2_bicubic_iso"), ("paper_x2", 2, "tiny_x2_s-fold_aniso")],
)
def test_it_trains_and_is_tested_under_both_conventions(
    photographs: Path, caplog: pytest.LogCaptureFixture, recipe: str, freeze_epoch: int, run: str
) -> None:
    """By DASR's own recipe, never frozen, and by CDSR's, frozen at last; a resumed run equals an uninterrupted one."""
    options = f"--template {recipe} --test_every 2 --model DASR_S --freeze_epoch {freeze_epoch}"
    arguments = tiny(photographs, *options.split())
    folder = Path("experiment") / run
    assert main.main(arguments) == 0
    expected = StateStore(folder / "state").load()[0]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    last = "joint" if freeze_epoch == 600 else "frozen"
    assert [line["phase"] for line in lines if "phase" in line] == ["encoder"] * 2 + ["joint"] * 2 + [last] * 2
    assert expected["model"]["sr_network.sub_mean.bias"].tolist() == pytest.approx([-114.444, -111.4605, -103.02])
    assert main.main([*arguments, "--epochs_sr", "1", "--reset"]) == 0
    assert main.main([*arguments, "--resume", "-1"]) == 0
    assert_same(StateStore(folder / "state").load()[0], expected)

    model = max((folder / "model").iterdir())
    assert load_weights(model)[1]["degradation"] == RECIPES[recipe].options["degradation"]
    evaluate = f"--cpu --model DASR_S --pre_train {model} --test_path {photographs.parent} --test_sets HR".split()
    for convention in ("--degradation dasr --blur_type iso_gaussian --sig 1 --profile", "--sig1 1 --sig2 1"):
        assert test.main([*evaluate, *convention.split()]) == 0
    assert test.main([*evaluate, "--degradation", "dasr", "--protocol", "dasr-iso", "--embeddings"]) == 0
    assert len(list((folder / "results").glob("HR_x2_*_DASR_S.json"))) == 2
    assert np.load(next((folder / "results").glob("embeddings_*.npz")))["codes"].shape == (6 * 4, 256)
    assert test.main([*evaluate, "--model", "CDSR_S"]) == 1
    assert "it holds DASR weights for scale 2" in caplog.text
