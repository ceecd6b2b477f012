"""OpenVINO against PyTorch, at sizes that were not traced; which backend and precision are taken."""

import contextlib
import importlib.util
import os
import sys
import threading
import time

import pytest
import torch
import torch.nn.functional as F

from inference.backend import CompiledNetwork, choose_backend
from inference.upscaler import Upscaler
from main import resolve_arithmetic
from model import create_model
from option import parse_options
from tests.support.refusals import refusal
from utils.device import resolve_precision

CPU = torch.device("cpu")
needs_openvino = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed")


def working_model(name: str, scale: int = 2) -> torch.nn.Module:
    """A network whose code and pooled features count, so that a trace that froze them would show."""
    torch.manual_seed(0)
    model = create_model(name, scale).eval()
    for parameter_name, parameter in model.named_parameters():
        if parameter_name.endswith("gamma"):
            torch.nn.init.constant_(parameter, 0.5)
        if parameter_name.endswith("tail.bias"):
            torch.nn.init.constant_(parameter, 0.5)
    return model


def photograph(height: int, width: int, *, batch: int = 1) -> torch.Tensor:
    coarse = torch.rand(batch, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(height)) * 255
    return F.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 255)


@needs_openvino
@pytest.mark.parametrize(("name", "scale"), [("CDSR_S", 2), ("CDSR_S", 4), ("DASR_S", 3)])
def test_float32_is_the_same_at_every_size(name, scale):
    model = working_model(name, scale)
    compiled = CompiledNetwork(model, precision="single")
    for height, width in ((20, 52), (67, 45)):
        lr = photograph(height, width, batch=2)
        with torch.inference_mode():
            code = model.encode(lr).roll(1, 0)  # each image under the other's code
            torch.testing.assert_close(compiled(lr, code), model.super_resolve(lr, code), atol=0.01, rtol=0)
            if model.is_pooling:
                pooled = model.sr_network.pool(lr, code)
                torch.testing.assert_close(compiled.pool(lr, code), pooled, atol=1e-4, rtol=1e-4)
                tile = lr[:, :, :18, 5:]
                expected = model.sr_network(tile, code, pooled)
                torch.testing.assert_close(compiled(tile, code, pooled), expected, atol=0.01, rtol=0)


@needs_openvino
@pytest.mark.slow
@pytest.mark.parametrize("name", ["CDSR", "DASR"])
def test_published_networks_are_the_same(name):
    model = working_model(name)
    lr = photograph(40, 28)
    with torch.inference_mode():
        code = model.encode(lr)
        sr = CompiledNetwork(model, precision="single")(lr, code)
        torch.testing.assert_close(sr, model.super_resolve(lr, code), atol=0.01, rtol=0)


@needs_openvino
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not tell a process's cores")
def test_no_core_is_chosen_for_a_thread_that_computes():
    """The system spreads several processes over the cores; each would choose the first."""
    model, lr = working_model("CDSR_S"), photograph(128, 128)
    with torch.inference_mode():
        compiled, code = CompiledNetwork(model, precision="single"), model.encode(lr)
        worker = threading.Thread(target=lambda: [compiled(lr, code) for _ in range(4)])
        worker.start()
        while worker.is_alive():
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                assert os.sched_getaffinity(worker.native_id) == os.sched_getaffinity(0)
            time.sleep(0.01)


@needs_openvino
def test_bf16_keeps_the_first_and_the_last_convolution_in_float32():
    """With all between them silent, nothing is rounded."""
    model = working_model("CDSR_S")
    for weights in (model.sr_network.trunk_conv.weight, model.sr_network.trunk_conv.bias):
        torch.nn.init.zeros_(weights)
    lr = photograph(48, 36)
    with torch.inference_mode():
        code = model.encode(lr)
        exact = model.super_resolve(lr, code)
        rounded = CompiledNetwork(model, precision="bf16")(lr, code)
    shallow = model.sr_network.head(lr / 255)
    with torch.inference_mode():  # but the feature itself, once
        sr = model.sr_network.tail(shallow.bfloat16().float()) + (lr / 255).repeat_interleave(4, dim=1)
    torch.testing.assert_close(rounded, F.pixel_shuffle(sr, 2) * 255, atol=0.01, rtol=0)
    assert 0 < (rounded - exact).abs().max() < 0.5


@needs_openvino
def test_tiles_and_views_run_in_openvino_as_in_pytorch():
    model = working_model("CDSR_S")
    lr = photograph(52, 84)
    options = {"tile": 40, "self_ensemble": True, "centred": True}
    assert Upscaler(model).shift == -1
    expected = Upscaler(model, **options)(lr)
    torch.testing.assert_close(Upscaler(model, backend="openvino", **options)(lr), expected, atol=0.01, rtol=0)


def test_the_backend_taken_follows_from_model_device_and_precision(monkeypatch):
    cdsr, bicubic, oracle = (create_model(name, 2) for name in ("CDSR_S", "bicubic", "CDSR_S_oracle"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert choose_backend(None, cdsr, CPU, "bf16") == choose_backend("openvino", cdsr, CPU, "single") == "openvino"
    assert choose_backend("torch", cdsr, CPU, "bf16") == "torch"
    gpu = torch.device("cuda")
    for model, device, precision in (
        (bicubic, CPU, "single"),
        (oracle, CPU, "single"),
        (cdsr, gpu, "bf16"),
        (cdsr, CPU, "half"),
    ):
        assert choose_backend(None, model, device, precision) == "torch"
        with pytest.raises(ValueError, match="for CDSR and DASR on CPUs"):
            choose_backend("openvino", model, device, precision)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert choose_backend(None, cdsr, CPU, "bf16") == "torch"
    with pytest.raises(ValueError, match=r"pip install -r requirements-openvino\.txt"):
        choose_backend("openvino", cdsr, CPU, "single")
    monkeypatch.setitem(sys.modules, "openvino", None)  # found, and broken
    with pytest.raises(ValueError, match="needs OpenVINO"):
        CompiledNetwork(cdsr, precision="single")


@pytest.mark.parametrize("units", ["amx_bf16", "avx512_bf16"])
def test_auto_is_bf16_where_the_processor_has_units_for_it(monkeypatch, units):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx2": True, units: True})
    assert resolve_precision("auto", CPU) == "bf16"
    assert resolve_precision("single", CPU) == "single"
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx2": True, units: False})
    assert resolve_precision("auto", CPU) == "single"


def test_an_unknown_backend_is_refused(capsys):
    assert "invalid choice: 'onnx'" in refusal(capsys, "--backend onnx")


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_small_recipes_take_bf16_only_where_it_is_fast(monkeypatch, scale):
    """On a processor without units for it, bf16 takes ten times as long as float32."""
    options = parse_options(["--template", f"small_x{scale}"])
    for units, precision in ((True, "bf16"), (False, "single")):
        monkeypatch.setattr("torch.cpu.get_capabilities", lambda units=units: {"amx_bf16": units})
        assert resolve_arithmetic(options, CPU).precision == precision
