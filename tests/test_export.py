"""Exports against PyTorch, at sizes that were not traced; and the examples that use them."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import test as command_line
from data.degradation import DegradationConfig, create_degradation
from examples import restore_one_image
from inference import export
from inference.export import ExportError, main
from inference.upscaler import Upscaler, grid_shift
from model import create_model, load_model, save_model
from tests.support.images import random_pixels, save_pil
from utils.image import read_image, to_tensor, to_uint8

ROOT = Path(__file__).parent.parent
needs_onnx = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("onnx", "onnxscript", "onnxruntime"))), reason="onnx is not installed"
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Weights that let the pooled feature and the code work, so that an export that froze them would show."""
    torch.manual_seed(0)
    model = create_model("CDSR_S", 2)
    for name, parameter in model.named_parameters():
        if name.endswith("gamma"):
            torch.nn.init.constant_(parameter, 0.5)
        if name.endswith("tail.bias"):
            torch.nn.init.constant_(parameter, 0.5)
    path = tmp_path_factory.mktemp("weights") / "cdsr_s_x2.safetensors"
    save_model(model, path, {})
    return path


@needs_onnx
def test_onnx_runs_without_torch_and_gives_the_same(tmp_path, weights, capfd):
    target = tmp_path / "cdsr.onnx"
    assert main(["--pre_train", str(weights), "--model", "CDSR_S", "--to", "onnx", "--out", str(target)]) == 0
    assert "differs from PyTorch by at most" in capfd.readouterr().out
    assert [file.name for file in tmp_path.iterdir()] == ["cdsr.onnx"]  # one file, no data beside it
    model = create_model("CDSR_S", 2).eval()
    load_model(model, weights)
    image = save_pil(tmp_path / "a.png", Image.fromarray(random_pixels(3, 8, 41, 30)))
    script = ROOT / "examples/upscale_with_onnxruntime.py"
    subprocess.run([sys.executable, script, target, image, tmp_path / "b.png"], check=True, timeout=60, cwd=tmp_path)
    assert grid_shift(model) == -1
    centred = Upscaler(model, centred=True)
    expected = to_uint8(centred(to_tensor(random_pixels(3, 8, 41, 30))[None])[0])
    assert np.abs(read_image(tmp_path / "b.png").pixels.astype(int) - expected).max() <= 1
    # An image under 12 pixels is padded by the example.
    tiny = save_pil(tmp_path / "tiny.png", Image.fromarray(random_pixels(3, 8, 5, 40)))
    subprocess.run([sys.executable, script, target, tiny, tmp_path / "c.png"], check=True, timeout=60, cwd=tmp_path)
    assert read_image(tmp_path / "c.png").pixels.shape == (10, 80, 3)
    deep = save_pil(tmp_path / "deep.png", Image.fromarray(random_pixels(1, 16)[:, :, 0]))
    refused = subprocess.run([sys.executable, script, target, deep, "d.png"], stderr=subprocess.PIPE, timeout=60)
    assert refused.returncode == 1 and b"grey of more than 8 bits" in refused.stderr


@pytest.mark.parametrize("name", ["CDSR_S", "CDSR"])
def test_torchscript_gives_the_same_at_other_sizes(tmp_path, name):
    torch.manual_seed(0)
    assert export.export(create_model(name, 3).eval(), tmp_path / "a.ts", to="torchscript") <= 0.05
    loaded = torch.jit.load(tmp_path / "a.ts")
    assert loaded(torch.rand(1, 3, 17, 90) * 255).shape == (1, 3, 51, 270)


def test_an_export_that_differs_is_not_written(tmp_path, monkeypatch):
    target = tmp_path / "a.ts"
    target.write_bytes(b"an earlier export")
    model = create_model("CDSR_S", 2).eval()
    torch.nn.init.constant_(model.sr_network.tail.bias, 0.5)
    run = export._run_torchscript
    monkeypatch.setattr(export, "_run_torchscript", lambda path: lambda lr: run(path)(lr) + 0.06)
    with pytest.raises(ExportError, match=r"differs from PyTorch by 0\.06"):
        export.export(model, target, to="torchscript")
    monkeypatch.setattr(export, "_run_torchscript", lambda path: lambda lr: run(path)(lr) * float("nan"))
    with pytest.raises(ExportError, match="nan"):
        export.export(model, target, to="torchscript")
    assert target.read_bytes() == b"an earlier export" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("degradation", ["cdsr", "real"])
def test_an_export_has_the_centre_of_its_image(tmp_path, weights, degradation):
    """As the command line gives it: weights for s-fold subsampling have another grid, which their file tells."""
    model = create_model("CDSR_S", 2).eval()
    load_model(model, weights)
    model.trained_for = create_degradation(DegradationConfig(degradation=degradation, scale=2)).describe()
    assert export.export(model, tmp_path / "a.ts", to="torchscript") <= 0.05
    lr = to_tensor(random_pixels(3, 8, 41, 30))[None]
    centred = Upscaler(model, centred=True)
    with torch.inference_mode():
        assert torch.jit.load(tmp_path / "a.ts")(lr).sub(centred(lr)).abs().max() <= 0.05


def test_weights_are_called_by_their_format(tmp_path, weights, capsys):
    for to, name in (("safetensors", "a.bin"), ("pt", "a.safetensors")):
        words = ["--pre_train", str(weights), "--model", "CDSR_S", "--to", to, "--out", str(tmp_path / name)]
        assert main(words) == 1
        assert f"{name} is not called .{to}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_export_does_not_replace_its_own_weights(tmp_path, capsys):
    path = tmp_path / "a.safetensors"
    save_model(create_model("CDSR_S", 2), path, {})
    before = path.read_bytes()
    assert main(["--pre_train", str(path), "--model", "CDSR_S", "--to", "safetensors"]) == 1
    assert "give --out" in capsys.readouterr().err and path.read_bytes() == before


def test_missing_weights_and_libraries_are_one_line(tmp_path, weights, monkeypatch, capsys):
    assert main(["--pre_train", str(tmp_path / "no.pt"), "--to", "onnx"]) == 1
    assert "error: no checkpoint at" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert (
        main(["--pre_train", str(weights), "--model", "CDSR_S", "--to", "onnx", "--out", str(tmp_path / "a.onnx")]) == 1
    )
    assert "pip install -r requirements-export.txt" in capsys.readouterr().err


def test_the_example_in_python(tmp_path, weights, capsys):
    source = save_pil(tmp_path / "a.png", Image.fromarray(random_pixels(4, 8, 20, 30)))
    restore_one_image.restore(source, tmp_path / "b.png", weights=weights)
    assert read_image(tmp_path / "b.png").pixels.shape == (40, 60, 4)
    assert "60x40, 8 bits" in capsys.readouterr().out


def test_the_example_in_python_does_what_the_command_does(tmp_path):
    source = save_pil(tmp_path / "a.png", Image.fromarray(random_pixels(3, 8, 20, 30)))
    restore_one_image.restore(source, tmp_path / "b.png")
    words = ["--cpu", "--model", "CDSR_S", "--precision", "single", "--backend", "torch", "--dir_demo", str(source)]
    assert command_line.main([*words, "--results", str(tmp_path)]) == 0
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "a_x2.png").read_bytes()


@pytest.mark.parametrize(("to", "tolerance"), [("safetensors", 0.5), ("pt", 0.0)])
def test_weights_convert_and_read_back(tmp_path, weights, capsys, to, tolerance):
    target = tmp_path / f"converted.{to}"
    assert main(["--pre_train", str(weights), "--model", "CDSR_S", "--to", to, "--out", str(target)]) == 0
    before, after = create_model("CDSR_S", 2).eval(), create_model("CDSR_S", 2).eval()
    load_model(before, weights)
    load_model(after, target)
    lr = torch.rand(1, 3, 24, 30, generator=torch.Generator().manual_seed(0)) * 255
    with torch.inference_mode():
        assert (before(lr) - after(lr)).abs().max() <= tolerance
    assert (target.stat().st_size < 0.6 * weights.stat().st_size) == (to == "safetensors")
