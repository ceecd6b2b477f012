"""The oracle: its kernels' components, its code, and the true kernel on the way from where it is known."""

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import main
import test as program
from data.build_testset import main as build_testsets
from data.degradation import CDSRDegradation, DegradationConfig, create_degradation
from data.degradation.gaussian import GaussianDegradation
from data.protocol import Protocol
from data.protocols import get_protocol
from data.sources import open_source
from data.test_sets import load_testset
from data.validation import ValidationSet
from evaluation.embeddings import collect_embeddings
from evaluation.metrics import psnr_y
from evaluation.profiling import model_cost
from evaluation.results import read_rows
from inference.export import main as export
from inference.upscaler import Upscaler
from model import create_model, init_model, load_model, save_model
from model.oracle import KernelPCA, Oracle
from tests.support.images import smooth_image
from tests.support.runs import RUN, assert_same, at_step, deliver, final_state, rows, tiny
from training.build import tell_kernels
from utils.image import write_image
from utils.known_degradation import KnownDegradation
from web.service import Service

CPU = torch.device("cpu")
SEED_OF_OTHERS = 12


def truths(config: DegradationConfig, count: int, seed: int = SEED_OF_OTHERS) -> KnownDegradation:
    """Random degradations of a convention, not those of the fit."""
    degradation = create_degradation(config)
    known_degradation = degradation.known_degradation(degradation.draw(count, torch.Generator().manual_seed(seed)))
    assert known_degradation is not None
    return known_degradation


def oracle(config: DegradationConfig | None = None) -> Oracle:
    """A small one with fitted components and fresh weights."""
    torch.manual_seed(0)
    model = create_model("CDSR_S_oracle", 2)
    assert isinstance(model, Oracle)
    tell_kernels(model, create_degradation(config or DegradationConfig()))
    return model.eval()


def reconstruct(pca: KernelPCA, kernels: torch.Tensor) -> torch.Tensor:
    return (pca.mean + pca.spread * pca(kernels) @ pca.basis).view_as(kernels)


# --- the components


@pytest.mark.parametrize(
    ("config", "mean_error"),  # of the norm of a kernel
    [
        (DegradationConfig(), 0.010),
        (DegradationConfig(scale=4), 0.013),
        (DegradationConfig(blur_type="iso_gaussian"), 1e-6),
        (DegradationConfig(degradation="dasr", blur_type="iso_gaussian"), 1e-6),
        (DegradationConfig(degradation="dasr", scale=4), 0.10),  # deltas to lines: standard deviations from 0.2 on
    ],
)
def test_components_rebuild_kernels_they_have_not_seen(config: DegradationConfig, mean_error: float) -> None:
    pca = oracle(config).encoder.pca
    kernels = truths(config, 500).kernels
    error = (reconstruct(pca, kernels) - kernels).flatten(1).norm(dim=1) / kernels.flatten(1).norm(dim=1)
    assert error.mean() < mean_error
    torch.testing.assert_close(pca.basis @ pca.basis.T, torch.eye(15), atol=1e-5, rtol=0)


def test_coefficients_are_those_of_a_singular_value_decomposition() -> None:
    kernels = truths(DegradationConfig(), 400).kernels
    pca = KernelPCA()
    pca.fit(kernels)
    flat = kernels.flatten(1).double()
    _, values, rows = torch.linalg.svd(flat - flat.mean(dim=0), full_matrices=False)
    expected = (flat - flat.mean(dim=0)) @ rows[:15].T
    scale = values[0] / 399**0.5  # standard deviation of the first
    torch.testing.assert_close(pca.spread.double(), scale, rtol=1e-5, atol=0)
    torch.testing.assert_close(pca(kernels).double().abs(), (expected / scale).abs(), atol=1e-4, rtol=0)


def test_the_fit_is_the_same_again_whatever_else_is_drawn_and_in_any_order() -> None:
    first = oracle().encoder.pca.state_dict()
    torch.rand(7)
    assert_same(oracle().encoder.pca.state_dict(), first)
    kernels = truths(DegradationConfig(), 400).kernels
    forward, backward = KernelPCA(), KernelPCA()
    forward.fit(kernels)
    backward.fit(kernels.flip(0))  # sums in another order: what another machine's rounding would do
    torch.testing.assert_close(backward.basis, forward.basis, atol=1e-5, rtol=0)


def test_one_kernel_alone_is_no_division_by_zero() -> None:
    pca = KernelPCA()
    pca.fit(truths(DegradationConfig(sig_min=2, sig_max=2, blur_type="iso_gaussian"), 9).kernels)
    assert pca(truths(DegradationConfig(), 5).kernels).isfinite().all()


def test_kernels_of_another_side() -> None:
    config = DegradationConfig(blur_kernel=15)
    pca = KernelPCA(15)
    pca.fit(truths(config, 400).kernels)
    assert pca.basis.shape == (15, 225)
    with pytest.raises(ValueError, match="kernels are of side 21 and the oracle's of side 15"):
        pca(truths(DegradationConfig(), 1).kernels)
    with pytest.raises(ValueError, match="--blur_kernel 3 is too small"):
        KernelPCA(3)


# --- the code


def test_the_code_follows_the_degradation_and_not_the_image() -> None:
    model = oracle()
    known_degradation, lr = truths(DegradationConfig(noise=15), 4), torch.zeros(4, 3, 8, 8)
    codes = model.encode(lr, known_degradation)
    assert codes.shape == (4, 128)
    turned_round = KnownDegradation(known_degradation.kernels.flip(0), known_degradation.noise.flip(0))
    torch.testing.assert_close(model.encode(lr, turned_round).flip(0), codes)
    other_kernels = model.encode(lr, KnownDegradation(known_degradation.kernels.roll(1, 0), known_degradation.noise))
    other_noise = model.encode(lr, KnownDegradation(known_degradation.kernels, known_degradation.noise + 5))
    assert ((other_kernels - codes).abs().amax(dim=1) > 1e-3).all()
    torch.testing.assert_close(other_noise - codes, (model.encoder.linear.weight[:, 15] / 5).expand(4, -1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model.encode(lr, known_degradation), codes)


def test_an_upscaler_tells_the_model_and_tiles_share_the_code() -> None:
    model = oracle()
    lr = torch.rand(1, 3, 40, 44, generator=torch.Generator().manual_seed(0)) * 255
    first, second = (truths(DegradationConfig(), 1, seed) for seed in (1, 2))
    with torch.inference_mode():
        expected = model.super_resolve(lr, model.encode(lr, first)).clamp(0, 255)
    torch.testing.assert_close(Upscaler(model)(lr, first), expected, atol=1e-3, rtol=0)
    assert (Upscaler(model)(lr, second) - expected).abs().max() > 1e-3
    model.super_resolve = lambda lr, code: (100 + code.sum()).expand(1, 3, *(2 * side for side in lr.shape[2:]))  # type: ignore[method-assign]
    model.is_pooling = False
    torch.testing.assert_close(Upscaler(model, tile=32)(lr, first), Upscaler(model)(lr, first))


def test_what_is_not_known_is_refused() -> None:
    lr = torch.zeros(1, 3, 16, 16)
    for upscaler in (Upscaler(oracle()), Upscaler(oracle(), self_ensemble=True)):
        with pytest.raises(ValueError, match="nobody knows them here"):
            upscaler(lr)
    with pytest.raises(ValueError, match="nobody knows them here"):  # turned views would need turned kernels
        Upscaler(oracle(), self_ensemble=True)(lr, truths(DegradationConfig(), 1))


# --- where the truth comes from


@pytest.mark.parametrize(("name", "scale"), [("cdsr", 1), ("dasr-iso", 2), ("dasr-aniso", 4)])
def test_the_truth_of_a_case_is_the_response_to_a_point(name: str, scale: int) -> None:
    protocol = get_protocol(name, scale, noise=10)
    hr = torch.zeros(1, 1, 63, 63)
    hr[..., 31, 31] = 255
    for test_kernel in protocol.test_kernels:
        known_degradation = protocol.known_degradation(test_kernel)
        assert (
            known_degradation is not None
            and known_degradation.noise.tolist() == [10]
            and known_degradation.kernels.shape == (1, 21, 21)
        )
        blur_alone = create_degradation(replace(protocol.config, scale=1, sample_mode="s-fold"))
        assert isinstance(blur_alone, GaussianDegradation)
        parameters = blur_alone.parameters_of([test_kernel], noise=0, seeds=[0])
        response = blur_alone.blur_and_downsample(hr, parameters)[0, 0, 21:42, 21:42] / 255
        torch.testing.assert_close(response.flip(0, 1), known_degradation.kernels[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_truth_has_the_s_fold_grid_of_its_protocol(scale: int) -> None:
    protocol = get_protocol("cdsr", scale)
    for test_kernel in protocol.test_kernels:
        known_degradation = protocol.known_degradation(test_kernel)
        assert known_degradation is not None
        grid = torch.arange(21.0)
        centre = [(known_degradation.kernels[0].sum(dim=dim) * grid).sum().item() for dim in (0, 1)]
        assert centre == pytest.approx([10 - (scale - 1) / 2] * 2, abs=1e-3)


def test_bicubic_alone_is_a_delta() -> None:
    protocol = get_protocol("dasr-iso", 2)
    assert protocol.test_kernels[0].label == "0.00"
    delta = torch.zeros(1, 21, 21)
    delta[0, 10, 10] = 1
    assert torch.equal(protocol.known_degradation(protocol.test_kernels[0]).kernels, delta)


def test_variant_blur_has_no_one_kernel() -> None:
    protocol = get_protocol("cdsr-sv", 2)
    assert all(protocol.known_degradation(test_kernel) is None for test_kernel in protocol.test_kernels)
    with pytest.raises(ValueError, match="leave out .*--sv_mode for a non-blind model"):
        oracle(DegradationConfig(sv_mode=1))


def test_validation_tells_what_was_drawn(tmp_path: Path) -> None:
    for index in range(2):
        write_image(tmp_path / f"{index}.png", smooth_image(index))
    degradation = create_degradation(DegradationConfig(noise=20))
    samples = ValidationSet(open_source(tmp_path), degradation)
    for index in range(2):
        drawn = degradation.draw(1, torch.Generator().manual_seed(index))
        assert_same(vars(samples[index].known_degradation), vars(degradation.known_degradation(drawn)))


# --- programs


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a small oracle whose result shows its code: the image enlarged, as much brighter as the code says."""

    def super_resolve(self: Oracle, lr: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(lr, scale_factor=2, mode="bicubic") + 40 * code[:, :1, None, None]

    monkeypatch.setattr(Oracle, "super_resolve", super_resolve)
    model = oracle()
    save_model(
        model, tmp_path / "oracle.pt", {"model": "CDSR_S_oracle", **create_degradation(DegradationConfig()).describe()}
    )
    return tmp_path / "oracle.pt"


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "sets" / "Tiny" / "a.png", smooth_image(1))
    return tmp_path / "sets"


def evaluate(sets: Path, weights: Path, folder: str, *more: str) -> dict[str, float]:
    words = (
        f"--cpu --model CDSR_S_oracle --scale 2 --pre_train {weights} --test_path {sets} --test_sets Tiny "
        f"--results {folder}"
    )
    assert program.main([*words.split(), *more]) == 0
    (path,) = Path(folder).glob("Tiny_*.csv")
    return {row.kernel: row.psnr for row in read_rows(path)}


def test_a_test_tells_the_kernel_of_each_row(sets: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = evaluate(sets, weights, "plain", "--profile", "--report")
    model = create_model("CDSR_S_oracle", 2).eval()
    load_model(model, weights)
    protocol = get_protocol("cdsr", 2)
    assert isinstance(model, Oracle) and figures.keys() == {test_kernel.label for test_kernel in protocol.test_kernels}
    hr = smooth_image(1)
    for test_kernel, lr in zip(protocol.test_kernels, protocol.degrade("a", hr), strict=True):
        known_degradation = protocol.known_degradation(test_kernel)
        assert known_degradation is not None
        with torch.inference_mode():
            image_lr = torch.from_numpy(lr).permute(2, 0, 1)[None].float()
            sr = model.super_resolve(image_lr, model.encode(image_lr, known_degradation))
        sr_image = sr[0].clamp(0, 255).round().byte().permute(1, 2, 0).numpy()
        assert figures[test_kernel.label] == pytest.approx(psnr_y(sr_image, hr, 2), abs=1e-4)

    with monkeypatch.context() as patch:  # the code of the wrong kernel
        first = protocol.known_degradation(protocol.test_kernels[0])
        patch.setattr(Protocol, "known_degradation", lambda self, test_kernel: first)
        wrong = evaluate(sets, weights, "wrong", "--metrics", "psnr")
    labels = [test_kernel.label for test_kernel in protocol.test_kernels]
    assert wrong[labels[0]] == figures[labels[0]]
    assert all(abs(wrong[label] - figures[label]) > 0.005 for label in labels[1:])


def test_prepared_sets_tell_the_same(sets: Path, weights: Path) -> None:
    plain = evaluate(sets, weights, "plain")
    arguments = ["--hr_dir", str(sets), "--out", "prepared", "--sets", "Tiny", "--scales", "2"]
    build_testsets(arguments)
    assert evaluate(Path("prepared"), weights, "again") == plain


def test_kernels_of_the_command_line_and_other_sides(sets: Path, tmp_path: Path) -> None:
    model = create_model("CDSR_S_oracle", 2, kernel_size=15)
    assert isinstance(model, Oracle)
    tell_kernels(model, create_degradation(DegradationConfig(blur_kernel=15)))
    save_model(model, tmp_path / "small.pt", {})
    kernel = ["--sig1", "3", "--sig2", "2", "--theta", "0.5", "--blur_kernel", "15"]
    assert evaluate(sets, tmp_path / "small.pt", "own", *kernel).keys() == {"3.0_2.0_0.5"}
    words = f"--cpu --model CDSR_S_oracle --pre_train {tmp_path / 'small.pt'} --test_path {sets} --test_sets Tiny"
    assert program.main([*words.split(), "--blur_kernel", "15"]) == 1  # protocol cdsr has kernels of side 21


def test_its_codes_tell_the_kernel_alone(tmp_path: Path) -> None:
    protocol = get_protocol("cdsr", 2)
    write_image(tmp_path / "Set" / "a.png", smooth_image(0))
    write_image(tmp_path / "Set" / "b.png", smooth_image(1))
    codes = collect_embeddings(oracle(), {"Set": load_testset(tmp_path, "Set", protocol)}, device=CPU).codes
    assert np.array_equal(codes[:9], codes[9:]) and len(np.unique(codes, axis=0)) == 9


def num_weights(network: Any) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_costs_are_those_of_the_sr_network() -> None:
    protocol = get_protocol("cdsr", 2)
    cost = model_cost(oracle(), protocol.known_degradation(protocol.test_kernels[0]))
    plain = create_model("CDSR_S", 2)
    assert cost.parameters == num_weights(oracle().encoder) + num_weights(plain.sr_network)
    assert 0.5 * model_cost(plain).multiply_adds < cost.multiply_adds < model_cost(plain).multiply_adds


# --- weights


def test_weights_of_an_oracle_are_named_and_not_confused(weights: Path, tmp_path: Path) -> None:
    names = set(torch.load(weights, weights_only=True))
    assert {name for name in names if name.startswith("E.")} == {
        *(f"E.pca.{name}" for name in ("mean", "basis", "spread")),
        *(f"E.linear.{name}" for name in ("weight", "bias")),
    }
    with pytest.raises(ValueError, match="holds oracle weights for scale 2 .* takes CDSR weights for scale 2"):
        load_model(create_model("CDSR_S", 2), weights)
    save_model(create_model("CDSR_S", 2), tmp_path / "blind.pt", {})
    with pytest.raises(ValueError, match="holds CDSR weights for scale 2 .* takes oracle weights for scale 2"):
        load_model(oracle(), tmp_path / "blind.pt")


def test_loading_overwrites_the_fit_and_another_scale_keeps_its_own(weights: Path) -> None:
    stored = torch.load(weights, weights_only=True)["E.pca.basis"]
    model = oracle(DegradationConfig(scale=4))
    own = model.encoder.pca.basis.clone()
    load_model(model, weights)
    assert torch.equal(model.encoder.pca.basis, stored) and not torch.equal(stored, own)
    other = create_model("CDSR_S_oracle", 4)
    assert isinstance(other, Oracle)
    tell_kernels(other, create_degradation(DegradationConfig(scale=4)))
    init_model(other, weights)
    assert torch.equal(other.encoder.pca.basis, own)
    assert torch.equal(other.encoder.linear.weight, model.encoder.linear.weight)


def test_programs_for_own_images_refuse(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--pre_train", str(weights), "--model", "CDSR_S_oracle"]
    assert export([*words, "--to", "torchscript"]) == 1
    assert "nobody knows them here" in capsys.readouterr().err
    with pytest.raises(ValueError, match="nobody knows them here"):
        Service(CPU, tmp_path, weights={("CDSR_S_oracle", 2): weights})


# --- training


def command(photographs: Path, *more: str) -> list[str]:
    return tiny(photographs, "--model", "CDSR_S_oracle", "--epochs_encoder", "-1", "--freeze_epoch", "1", *more)


def test_a_run_trains_l1_alone_and_never_freezes(photographs: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert main.main(command(photographs, "--epochs_sr", "1")) == 0
    before = final_state()["model"]["encoder.linear.weight"]
    assert main.main(command(photographs, "--resume", "-1", "--positive", "d")) == 0
    state = final_state()
    assert not torch.equal(state["model"]["encoder.linear.weight"], before) and state["moco"] is None
    assert [row["phase"] for row in rows("phase")] == ["joint"] * 8
    assert all("contrastive" not in row for row in rows("pixel"))
    assert "--positive has no effect: CDSR_S_oracle has no contrastive loss" in caplog.text
    model = create_model("CDSR_S_oracle", 2)
    load_model(model, max((RUN / "model").iterdir()))
    assert torch.equal(model.encoder.pca.basis, oracle().encoder.pca.basis)


@pytest.mark.parametrize("more", [["--ema", "0.9"], ["--precision", "bf16", "--split_batch", "2"]])
def test_a_resumed_run_equals_an_uninterrupted_one(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    assert main.main(command(photographs, *more)) == 0
    expected = final_state()
    with monkeypatch.context() as patch:
        at_step(patch, 2, lambda: deliver(signal.SIGTERM))
        assert main.main(command(photographs, *more, "--reset")) == 128 + signal.SIGTERM
    assert main.main(command(photographs, *more, "--resume", "-1")) == 0
    assert_same(final_state(), expected)


def test_a_context_that_nothing_looks_at_changes_nothing(photographs: Path) -> None:
    assert main.main(command(photographs, "--epochs_sr", "1")) == 0
    expected = final_state()["model"]
    assert main.main(command(photographs, "--epochs_sr", "1", "--reset", "--context", "30")) == 0
    assert_same(final_state()["model"], expected)


def test_splitting_the_batch_changes_nothing(photographs: Path) -> None:
    assert main.main(command(photographs, "--optimizer", "SGD")) == 0
    whole: dict[str, Any] = final_state()["model"]
    assert main.main(command(photographs, "--optimizer", "SGD", "--reset", "--split_batch", "3")) == 0
    for name, value in final_state()["model"].items():
        torch.testing.assert_close(value, whole[name], atol=1e-5, rtol=1e-5)


def test_the_truth_told_in_training_is_that_of_the_step(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[KnownDegradation] = []
    original = Oracle.encode

    def listen(self: Oracle, lr: torch.Tensor, known: KnownDegradation, **how: Any) -> torch.Tensor:
        told.append(known)
        return original(self, lr, known, **how)

    monkeypatch.setattr(Oracle, "encode", listen)
    applied: list[tuple[torch.Size, Any]] = []
    apply = CDSRDegradation.apply

    def watch(self: CDSRDegradation, hr: torch.Tensor, parameters: Any, *rest: Any) -> torch.Tensor:
        applied.append((hr.shape, parameters))
        return apply(self, hr, parameters, *rest)

    monkeypatch.setattr(CDSRDegradation, "apply", watch)
    assert main.main(command(photographs, "--epochs_sr", "1")) == 0
    degradation = create_degradation(DegradationConfig(noise=10))
    for known_degradation, (shape, parameters) in zip(told[:4], applied[:4], strict=True):
        assert shape == (4, 1, 3, 24, 24)  # the first patches alone
        assert_same(vars(known_degradation), vars(degradation.known_degradation(parameters)))
