"""spandrel both ways: our weights in its loader, to the pixel of test.py; other people's networks in our tests."""

import csv
import math
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import test as program
from benchmarks import peers as compare_peers
from data.protocols import get_protocol
from data.test_sets import load_testset
from evaluation.metrics import psnr_y
from evaluation.profiling import model_cost
from evaluation.results import read_rows
from inference.upscaler import Upscaler
from model import create_model, open_model, save_model
from model.pretrained import pretrained_path
from model.published import to_published
from model.spandrel import check_image_network
from model.variant import Variant
from tests.conftest import torchvision_problem
from tests.support.weights import Bomb, filled_weights
from utils.checkpoint import save_weights
from utils.image import read_rgb, to_tensor, to_uint8, write_image

SHIPPED = [scale for scale in (2, 3, 4) if pretrained_path("CDSR_S", scale).is_file()]
CPU = torch.device("cpu")


def photograph(height: int, width: int) -> np.ndarray:
    """Smooth noise, (height, width, 3) uint8."""
    coarse = torch.rand(1, 3, 7, 7, generator=torch.Generator().manual_seed(3)) * 255
    return to_uint8(nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")[0].clamp(0, 255))


def test_the_real_torchvision_serves_spandrel(spandrel: ModuleType) -> None:
    problem = torchvision_problem()
    if problem:
        pytest.skip(f"{problem}: the other tests of spandrel run with stand-ins for what it takes of it")
    assert "torchvision.transforms.functional" in sys.modules


# Ours in its loader.


@pytest.fixture(scope="module")
def loader(spandrel: ModuleType) -> Any:
    """spandrel's, on a copy of its registry that knows our networks too."""
    from integrations.spandrel import register

    registry = spandrel.MAIN_REGISTRY.copy()
    register(registry)
    return spandrel.ModelLoader(registry=registry)


def facts_of(descriptor: Any) -> tuple[str, list[str], int, str]:
    return descriptor.architecture.name, descriptor.tags, descriptor.scale, descriptor.purpose


def same_as_own_images(descriptor: Any, words: list[str], folder: Path) -> bool:
    """Whether the descriptor gives the pixels of --dir_demo in float32 and PyTorch; its own choice rounds elsewhere."""
    write_image(folder / "own.png", photograph(27, 35))
    words = [*words, "--cpu", "--dir_demo", str(folder / "own.png"), "--precision", "single", "--backend", "torch"]
    assert program.main([*words, "--results", str(folder)]) == 0
    sr = descriptor(to_tensor(read_rgb(folder / "own.png"))[None] / 255)[0] * 255
    return np.array_equal(to_uint8(sr), read_rgb(folder / f"own_x{descriptor.scale}.png"))


def same_as_test_sets(descriptor: Any, words: list[str], folder: Path) -> bool:
    """Whether its network gives the pixels of a test set."""
    write_image(folder / "sets" / "One" / "a.png", photograph(31 * descriptor.scale, 24 * descriptor.scale))
    words = [*words, "--cpu", "--test_path", str(folder / "sets"), "--test_sets", "One", "--save_results"]
    assert program.main([*words, "--metrics", "psnr", "--results", str(folder)]) == 0
    [saved] = [path for path in folder.glob("One_*") if path.is_dir()]
    samples = list(load_testset(folder / "sets", "One", get_protocol("cdsr", descriptor.scale)))
    lay_out = {"memory_format": torch.channels_last}  # as the upscaler does on a CPU; sums differ in the last bits
    with torch.inference_mode():
        srs = [descriptor.model(to_tensor(sample.lr)[None].contiguous(**lay_out))[0] for sample in samples]
    return len(samples) == 9 and all(
        np.array_equal(to_uint8(sr.clamp(0, 255)), read_rgb(saved / f"a_{sample.kernel}.png"))
        for sr, sample in zip(srs, samples, strict=True)
    )


@pytest.mark.parametrize("scale", SHIPPED)
def test_shipped_weights_give_the_pixels_of_test_py(loader: Any, tmp_path: Path, scale: int) -> None:
    weights = pretrained_path("CDSR_S", scale)
    descriptor = loader.load_from_file(weights)
    assert facts_of(descriptor) == ("CDSR", ["CDSR_S"], scale, "SR")
    words = ["--model", "CDSR_S", "--scale", str(scale), "--pre_train", str(weights)]
    assert same_as_own_images(descriptor, words, tmp_path)
    assert same_as_test_sets(descriptor, words, tmp_path)


@pytest.mark.parametrize("scale", [scale for scale in SHIPPED if pretrained_path("CDSR_S", scale, real=True).is_file()])
def test_shipped_weights_for_real_images_lie_on_the_grid_of_interpolation(
    loader: Any, tmp_path: Path, scale: int
) -> None:
    weights = pretrained_path("CDSR_S", scale, real=True)
    words = ["--model", "CDSR_S", "--scale", str(scale), "--pre_train", str(weights)]
    assert same_as_own_images(loader.load_from_file(weights), words, tmp_path)


def test_a_published_file_gives_the_pixels_of_test_py(loader: Any, tmp_path: Path) -> None:
    torch.save(filled_weights("released_keys_x3.json", 5), tmp_path / "model_492.pt")  # a plain state dict
    descriptor = loader.load_from_file(tmp_path / "model_492.pt")
    assert facts_of(descriptor) == ("CDSR", ["CDSR"], 3, "SR")
    words = ["--model", "CDSR", "--scale", "3", "--pre_train", str(tmp_path / "model_492.pt")]
    assert same_as_own_images(descriptor, words, tmp_path)


def test_a_training_file_of_the_published_code_loads(loader: Any, tmp_path: Path) -> None:
    weights = filled_weights("training_keys_x2.json", 3)
    assert "E.queue" in weights
    torch.save(weights, tmp_path / "last.pt")
    descriptor = loader.load_from_file(tmp_path / "last.pt")
    assert facts_of(descriptor) == ("CDSR", ["CDSR"], 2, "SR")
    assert torch.equal(descriptor.model.sr_network.head.weight, weights["G.conv_first.weight"])


@pytest.mark.parametrize(
    ("name", "scale", "variant", "tags"),
    [
        ("CDSR_S", 1, Variant(lpe="patch", dqa=False), ["CDSR_S", "lpe patch", "csc", "no-dqa", "no-head"]),
        ("CDSR", 4, Variant(lpe="naive", csc=False), ["CDSR", "lpe naive", "no-csc"]),
        ("DASR", 4, None, ["DASR"]),
        ("DASR_S", 3, None, ["DASR_S"]),
    ],
)
def test_network_size_scale_and_variant_are_found(
    loader: Any, tmp_path: Path, name: str, scale: int, variant: Variant | None, tags: list[str]
) -> None:
    model = create_model(name, scale, variant).eval()
    save_model(model, tmp_path / "weights.pt", {"scale": scale})
    descriptor = loader.load_from_file(tmp_path / "weights.pt")
    purpose = "Restoration" if scale == 1 else "SR"
    assert facts_of(descriptor) == (name.removesuffix("_S"), tags, scale, purpose)
    lr = to_tensor(photograph(12, 13))[None]
    with torch.inference_mode():
        assert torch.equal(descriptor.model(lr), model(lr))


def test_what_is_not_ours_to_the_last_tensor_is_refused(loader: Any, spandrel: ModuleType, tmp_path: Path) -> None:
    whole = to_published(create_model("CDSR_S", 2).state_dict())
    spoilt = {
        "a tensor less": {name: value for name, value in whole.items() if name != "G.trunk_conv.bias"},
        "a tensor more": whole | {"G.more": torch.zeros(1)},
        "another width": whole | {"G.trunk_conv.bias": torch.zeros(63)},
    }
    for state in spoilt.values():
        with pytest.raises(ValueError, match="the file holds CDSR weights for scale 2 with 2 blocks of 64 features"):
            loader.load_from_state_dict(state)
    with pytest.raises(spandrel.UnsupportedModelError):  # an oracle is told what no program knows
        loader.load_from_state_dict(to_published(create_model("CDSR_S_oracle", 2).state_dict()))


def test_registering_twice_is_an_error(loader: Any, spandrel: ModuleType) -> None:
    from integrations.spandrel import register

    with pytest.raises(spandrel.DuplicateArchitectureError, match="CDSR"):
        register(loader.registry)
    assert "CDSR" not in spandrel.MAIN_REGISTRY


# Theirs in our tests.


@pytest.fixture(scope="module")
def peers(spandrel: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of small networks that were never trained: one that pads to 8, grey and alpha ones, scales 2 and 4."""
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact
    from spandrel.architectures.SAFMN import SAFMN

    folder = tmp_path_factory.mktemp("peers")
    torch.manual_seed(0)
    networks = {
        "safmn_x2.pth": SAFMN(dim=8, n_blocks=1, upscaling_factor=2),
        "compact_x4.pth": SRVGGNetCompact(num_feat=8, num_conv=1, upscale=4),
        "grey.pth": SRVGGNetCompact(num_in_ch=1, num_out_ch=1, num_feat=8, num_conv=1, upscale=2),
        "alpha.pth": SRVGGNetCompact(num_in_ch=4, num_out_ch=4, num_feat=8, num_conv=1, upscale=2),
    }
    for name, network in networks.items():
        torch.save({"params": network.state_dict()}, folder / name)
    save_weights(folder / "safmn_x2.safetensors", networks["safmn_x2.pth"].state_dict(), {})
    return folder


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_peer_upscales_as_in_spandrel_at_any_size(spandrel: ModuleType, peers: Path, suffix: str) -> None:
    path = peers / f"safmn_x2{suffix}"
    model = open_model("spandrel", 2, path)
    descriptor = spandrel.ModelLoader().load_from_file(path)
    assert descriptor.size_requirements.multiple_of == 8 and not model.trained_for
    lr = to_tensor(photograph(27, 37))[None]
    expected = descriptor(lr / 255) * 255
    assert expected.std() > 1 and expected.shape == (1, 3, 54, 74)
    with torch.inference_mode():
        torch.testing.assert_close(model.eval()(lr), expected, rtol=0, atol=1e-3)
        both = model(torch.cat([lr, lr.flip(3)]))  # one by one: padding is at the right and below
        torch.testing.assert_close(both[1:], descriptor(lr.flip(3) / 255) * 255, rtol=0, atol=1e-3)
    tiled = Upscaler(model, tile=24)(lr)  # of 24 and 32: no padding inside, and a field of view within the overlap
    assert (tiled - expected.clamp(0, 255)).abs().median() < 1
    assert model_cost(model).parameters == sum(value.numel() for value in descriptor.model.parameters())
    assert model_cost(model).multiply_adds > 0


def test_a_peer_is_evaluated_and_reported_as_ours_are(
    peers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "Two" / "a.png", photograph(61, 45))
    write_image(tmp_path / "Two" / "b.png", photograph(40, 52))
    words = ["--model", "spandrel", "--pre_train", str(peers / "safmn_x2.pth"), "--scale", "2", "--cpu"]
    sets = ["--test_path", str(tmp_path), "--test_sets", "Two", "--report", "--profile", "--results", str(tmp_path)]
    assert program.main([*words, *sets, "--protocol", "dasr-iso", "--tile", "16"]) == 0
    assert re.search(r"\| Two \| \d+\.\d\d \| \d\.\d{4} \| 2 \| 8 \| 0 \|", capsys.readouterr().out)
    rows = read_rows(tmp_path / "Two_x2_dasr-iso_noise0_spandrel-safmn_x2.csv")
    assert len(rows) == 8 and all(5 < row.psnr < 60 for row in rows)
    assert "spandrel (safmn_x2, tiles of 16)" in (tmp_path / "report.html").read_text(encoding="utf-8")
    write_image(tmp_path / "own.png", photograph(19, 21))
    assert program.main([*words, "--dir_demo", str(tmp_path / "own.png"), "--results", str(tmp_path)]) == 0
    expected = open_model("spandrel", 2, peers / "safmn_x2.pth").eval()
    with torch.inference_mode():
        sr = to_uint8(expected(to_tensor(photograph(19, 21))[None])[0].clamp(0, 255))
    assert np.abs(read_rgb(tmp_path / "own_x2.png").astype(int) - sr).max() <= 1


def refusal(path: Path, capsys: pytest.CaptureFixture[str], scale: int = 2) -> str:
    """The one line that test.py says of a file."""
    words = ["--model", "spandrel", "--cpu", "--pre_train", str(path), "--scale", str(scale), "--test_path", "nowhere"]
    assert program.main(words) == 1
    said = capsys.readouterr()
    [line] = (said.out + said.err).splitlines()
    return line


def test_what_does_not_fit_is_refused_in_a_line(peers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is a RealESRGAN Compact for scale 4, not 2: give --scale 4" in refusal(peers / "compact_x4.pth", capsys)
    assert "from 1 to 1 channels (grey alone)" in refusal(peers / "grey.pth", capsys)
    assert "from 4 to 4 channels (with alpha)" in refusal(peers / "alpha.pth", capsys)
    assert "give an existing .pt or .safetensors file" in refusal(peers / "absent.pth", capsys)


@pytest.mark.parametrize(("purpose", "message"), [("FaceSR", "aligned faces alone"), ("Inpainting", "under a mask")])
def test_faces_and_masks_are_refused(purpose: str, message: str) -> None:
    descriptor = SimpleNamespace(
        purpose=purpose, architecture=SimpleNamespace(name="Net"), input_channels=3, output_channels=3
    )
    with pytest.raises(ValueError, match=message):
        check_image_network(descriptor, Path("a.pth"))


def test_what_is_no_network_of_images_is_refused_in_a_line(
    peers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = torch.load(peers / "safmn_x2.pth", weights_only=True)["params"]
    contents: dict[str, tuple[Any, str]] = {
        "video": ({"spynet.basic_module.0.basic_module.0.weight": torch.ones(1)}, "and none of video"),
        "numbers": ([1, 2], "is no state dict"),
        "ours": (to_published(create_model("CDSR_S", 2).state_dict()), "it holds CDSR weights for scale 2"),
        "spoilt": ({"body.0.weight": torch.ones(1), "body.1.weight": torch.ones(1)}, "spandrel"),
        "diverged": (whole | {"to_img.0.bias": torch.full((12,), torch.nan)}, "to_img.0.bias that are not finite"),
        "cut": (dict(list(whole.items())[:-1]), 'for SAFMN: Missing key(s) in state_dict: "to_img.0.bias"'),
    }
    for name, (content, message) in contents.items():
        torch.save(content, tmp_path / f"{name}.pth")
        assert message in refusal(tmp_path / f"{name}.pth", capsys)
    (tmp_path / "words.pth").write_text("no checkpoint")
    assert "truncated or no PyTorch file" in refusal(tmp_path / "words.pth", capsys)


def test_pickled_code_is_refused_by_both_loaders(
    loader: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"G.conv_first.weight": Bomb(tmp_path / "ran")}, tmp_path / "bomb.pth")
    assert "it holds pickled code" in refusal(tmp_path / "bomb.pth", capsys)
    with pytest.raises(Exception, match="forbidden"):
        loader.load_from_file(tmp_path / "bomb.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [("import no_such_library", "No module named 'no_such_library'"), ("raise RuntimeError('operator')", "operator")],
)
def test_a_missing_library_is_named(
    peers: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str,
    reason: str,
) -> None:
    (tmp_path / "spandrel.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "spandrel", raising=False)
    line = refusal(peers / "safmn_x2.pth", capsys)
    assert f"--model spandrel needs more ({reason}): pip install -r requirements-spandrel.txt" in line


def test_a_peer_is_not_trained(peers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import main

    write_image(tmp_path / "HR" / "a.png", photograph(120, 120))
    words = f"--model spandrel --pre_train {peers / 'safmn_x2.pth'} --dir_data {tmp_path / 'HR'} --data_range 1-1/1-1"
    assert main.main([*words.split(), "--cpu", "--save", "x"]) == 1
    assert "--model spandrel has nothing to train" in capsys.readouterr().err


def test_peers_stand_in_one_table_with_ours(peers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "sets" / "Two" / "a.png", photograph(61, 45))
    write_image(tmp_path / "sets" / "Two" / "b.png", photograph(40, 52))
    words = f"--weights {peers} --test_path {tmp_path / 'sets'} --test_sets Two --scales 2 --out {tmp_path / 'out'}"
    assert compare_peers.main(words.split()) == 1  # the grey file and the one with alpha
    said = capsys.readouterr()
    assert "(grey alone)" in said.err and "(with alpha)" in said.err
    page = (tmp_path / "out" / "peers.md").read_text(encoding="utf-8")
    for head in ("| Two ×2, cdsr_noise0 |", "| Two ×2, dasr-iso_0.00_noise0 |"):
        assert head in page
    names = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| ")]
    counted = ("bicubic", "CDSR_S", "CDSR_S, real", "safmn_x2")
    assert [names.count(f"| {name}") for name in counted] == [2, 2, 2, 4]  # in two formats
    rows = list(csv.DictReader((tmp_path / "out" / "peers.csv").open(encoding="utf-8")))
    assert len(rows) == 2 * (9 + 1) * 5  # images, kernels, methods
    measured = {(row["protocol"], row["method"]): row for row in rows if row["image"] == "a"}
    for (protocol, method), row in measured.items():
        is_at_home = (protocol.startswith("cdsr")) == (method == "CDSR_S")
        assert (row["psnr"] == row["aligned_psnr"]) == is_at_home
    assert {method for _, method in measured} == set(counted)
    assert (tmp_path / "out" / "peers.png").stat().st_size > 5000
    assert compare_peers.main(["--weights", str(tmp_path / "none"), "--test_path", "x"]) == 1
    assert "no files of weights in" in capsys.readouterr().err


def test_peers_are_run_at_their_scales_even_without_ours(
    spandrel: ModuleType,
    peers: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact

    write_image(tmp_path / "sets" / "One" / "a.png", photograph(60, 48))
    folder = tmp_path / "peers"
    folder.mkdir()
    shutil.copy(peers / "compact_x4.pth", folder)
    torch.save(SRVGGNetCompact(num_feat=8, num_conv=1, upscale=8).state_dict(), folder / "compact_x8.pth")
    monkeypatch.setattr("model.pretrained.FOLDER", tmp_path)
    words = f"--weights {folder} --test_path {tmp_path / 'sets'} --test_sets One --out {tmp_path / 'out'}"
    assert compare_peers.main(words.split()) == 1
    assert "compact_x8.pth is for scale 8: protocols are for 1, 2, 3, 4" in capsys.readouterr().err
    page = (tmp_path / "out" / "peers.md").read_text(encoding="utf-8")
    lines = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    assert [line[0] for line in lines if "×" not in line[0]] == ["| bicubic", "| compact_x4"] * 2
    assert all(line[-1] == "– |" for line in lines if "×" not in line[0])  # no time of ours to divide by


@pytest.mark.parametrize("move", [-3, -1, 0, 2])
def test_an_aligned_figure_is_of_the_moved_result(move: int) -> None:
    hr = photograph(40, 50)
    sr = np.roll(hr, (-move, -move), axis=(0, 1))  # as far up and left as it is to be moved back
    assert compare_peers.aligned(psnr_y, move, sr, hr, 2) == math.inf
    assert (psnr_y(sr, hr, 2) == math.inf) == (move == 0)
