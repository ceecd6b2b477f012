"""Codes, and what a linear probe reads from them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from data.degradation.kernels import gaussian_kernels, kernels_of_covariance
from data.samples import Sample, Samples
from evaluation.embeddings import Embeddings, collect_embeddings, write_embeddings
from evaluation.estimates import collect_estimates, draw_estimates
from evaluation.probe import confidence_margin, probe, standardise
from evaluation.strengths import NAMES, regress, strengths_of
from model import create_model
from model.degradation_head import kernel_covariance
from utils.known_degradation import KnownDegradation

KERNELS, IMAGES = 4, 6


def embeddings(kernel_weight: float, image_weight: float) -> Embeddings:
    """Codes in which kernel and image each have a direction per class, with a little noise."""
    generator = np.random.default_rng(0)
    rows = [(kernel, number) for number in range(IMAGES) for kernel in range(KERNELS)]
    codes = np.zeros((len(rows), KERNELS + IMAGES))
    for index, (kernel, number) in enumerate(rows):
        codes[index, kernel] = kernel_weight
        codes[index, KERNELS + number] = image_weight
    codes += 0.01 * generator.standard_normal(codes.shape)
    names = tuple(f"k{kernel}" for kernel, _ in rows), tuple(f"Set/p{number}" for _, number in rows)
    return Embeddings(codes.astype(np.float32), *names)


def test_the_probes_tell_kernel_from_content() -> None:
    for weights, expected in (((1.0, 0.0), (1.0, None)), ((0.0, 1.0), (None, 1.0)), ((1.0, 1.0), (1.0, 1.0))):
        own = embeddings(*weights)
        kernel = probe(own.codes.astype(float), own.kernels, own.images, "images")
        content = probe(own.codes.astype(float), own.images, own.kernels, "kernels")
        for found, wanted, classes in ((kernel, expected[0], KERNELS), (content, expected[1], IMAGES)):
            assert found.num_classes == classes
            assert found.chance == pytest.approx(1 / classes)
            assert found.accuracy == 1.0 if wanted else found.accuracy < 0.6


def test_dimensions_are_standardised_and_those_at_rest_left_out() -> None:
    codes = np.random.default_rng(0).standard_normal((50, 4)) * [100.0, 1.0, 1e-6, 0.0] + [5.0, 6.0, 7.0, 8.0]
    found = standardise(codes)
    assert found.shape == (50, 2)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(found.std(axis=0), 1)
    assert not standardise(np.ones((5, 3))).any()


def test_the_margin_is_students() -> None:
    """2, 3 and 4 have deviation 1, and t = 4.303 for two degrees of freedom."""
    assert confidence_margin([2.0, 3.0, 4.0]) == pytest.approx(4.303 / np.sqrt(3), rel=1e-4)


def test_files_of_the_embeddings(tmp_path: Path) -> None:
    words = write_embeddings(tmp_path / "codes", embeddings(1.0, 1.0))
    assert "linear probe for the kernel: 100.0 ± 0.0 % of 4 classes (guessing: 25.0 %)" in words
    content = json.loads((tmp_path / "codes.json").read_text())
    assert content["probes"]["image"]["accuracy"] == 1.0
    assert not content["collapsed"]
    assert (tmp_path / "codes.png").stat().st_size > 10_000
    assert np.load(tmp_path / "codes.npz")["codes"].shape == (KERNELS * IMAGES, KERNELS + IMAGES)


def test_codes_that_are_all_equal_are_called_so(tmp_path: Path) -> None:
    own = embeddings(1.0, 1.0)
    equal = Embeddings(np.ones_like(own.codes) + np.float32(1e-6) * own.codes, own.kernels, own.images)
    assert "collapsed" in write_embeddings(tmp_path / "codes", equal)
    assert json.loads((tmp_path / "codes.json").read_text())["collapsed"]


def test_one_code_alone_has_not_collapsed() -> None:
    own = embeddings(1.0, 1.0)
    assert not Embeddings(own.codes[:1], own.kernels[:1], own.images[:1]).collapsed


def test_collecting_leaves_out_what_cannot_be_read() -> None:
    model = create_model("CDSR_S", 2).eval()

    class Grey(Samples):
        keys = [(f"p{index}", "k") for index in range(3)]  # noqa: RUF012

        def read(self, index: int) -> Sample:
            if index == 1:
                raise ValueError("truncated")
            lr = np.full((16, 20, 3), 50 * index, np.uint8)
            return Sample(f"p{index}", "k", lr, lr)

    samples = Grey()
    own = collect_embeddings(model, {"Set": samples}, device=torch.device("cpu"))
    assert own.images == ("Set/p0", "Set/p2")
    expected = model.encode(torch.full((1, 3, 16, 20), 100.0))[0].detach().numpy()
    np.testing.assert_allclose(own.codes[1], expected, rtol=1e-5)
    with pytest.raises(ValueError, match="give a model with an encoder"):
        collect_embeddings(create_model("bicubic", 2), {"Set": samples}, device=torch.device("cpu"))


class Blurred(Samples):
    """Two images under two kernels, whose variances are 4 and 1 along the columns and 1 along the rows."""

    keys = [(image, label) for image in ("a", "b") for label in ("wide", "narrow")]  # noqa: RUF012

    def read(self, index: int) -> Sample:
        image, label = self.keys[index]
        variances = torch.tensor([4.0 if label == "wide" else 1.0]), torch.tensor([1.0]), torch.tensor([0.0])
        known = KnownDegradation(gaussian_kernels(*variances, size=21), torch.tensor([3.0]))
        lr = np.random.default_rng(index).integers(0, 256, (20, 24, 3), np.uint8)
        return Sample(image, label, lr, lr.repeat(2, axis=0).repeat(2, axis=1), known)


def test_estimates_stand_beside_the_truth(tmp_path: Path) -> None:
    model = create_model("CDSR_S", 2).eval()
    torch.nn.init.zeros_(model.encoder.head.read[1].weight)
    model.encoder.head.read[1].bias.data = torch.tensor([1.2, 0.4, 0.1, 0.0, 0.0, 0.2])  # 3, 1, 0.25; noise 5
    estimates = collect_estimates(model, {"Set": Blurred()}, device=torch.device("cpu"))
    assert estimates is not None
    errors = estimates.summary()
    # xx is off by 1 for the wide kernel and by 2 for the narrow one
    assert errors["covariance_error"] == pytest.approx({"xx": 1.5, "yy": 0.0, "xy": 0.25}, abs=0.01)
    assert errors["noise_error"] == pytest.approx(2.0, abs=1e-3)
    draw_estimates(estimates, tmp_path / "kernels.png")
    assert (tmp_path / "kernels.png").stat().st_size > 5_000
    words = write_embeddings(tmp_path / "codes", embeddings(1.0, 1.0), estimates)
    assert "mean error of the covariance 0.583 squared HR pixels" in words
    assert json.loads((tmp_path / "codes.json").read_text())["mean_covariance_error"] == pytest.approx(0.583, abs=0.01)


def test_a_model_without_a_head_estimates_nothing() -> None:
    assert collect_estimates(create_model("bicubic", 2), {"Set": Blurred()}, device=torch.device("cpu")) is None


def test_a_drawn_kernel_has_the_covariance_asked_for() -> None:
    covariance = torch.tensor([[4.0, 2.0, 1.0], [1.0, 3.0, -0.5], [2.0, 2.0, 0.0]])
    drawn = kernels_of_covariance(covariance, size=31)
    torch.testing.assert_close(kernel_covariance(drawn), covariance, atol=0.01, rtol=0)


def strengths_and_codes(noise: float) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Ten kernels under six images; the code is a linear function of their strengths and of the image."""
    generator = np.random.default_rng(0)
    true = np.column_stack([generator.uniform(0, 3, 10), generator.uniform(0, 25, 10), generator.uniform(30, 100, 10)])
    strengths = true.repeat(6, axis=0)
    mixed = strengths / [1, 8, 25] @ generator.standard_normal((3, 12))
    return strengths, mixed + noise * generator.standard_normal(mixed.shape), [f"k{index // 6}" for index in range(60)]


def test_a_regression_reads_the_strengths_of_kernels_it_has_not_seen() -> None:
    strengths, codes, kernels = strengths_and_codes(0.01)
    told = {name: regression.summary() for name, regression in regress(codes, strengths, kernels).items()}
    assert list(told) == list(NAMES)
    for numbers, true in zip(told.values(), strengths.T, strict=True):
        assert numbers["correlation"] > 0.99 and numbers["error"] < 0.1 * numbers["error_of_guessing"]
        assert numbers["error_of_guessing"] == pytest.approx(np.abs(true - np.median(true)).mean(), abs=1e-4)
    noise = np.random.default_rng(1).standard_normal(codes.shape)
    blind = [regression.summary() for regression in regress(noise, strengths, kernels).values()]
    assert all(
        numbers["correlation"] < 0.5 and numbers["error"] > 0.6 * numbers["error_of_guessing"] for numbers in blind
    )
    assert regress(codes[:6], strengths[:6], kernels[:6]) == {}


def test_strengths_are_those_of_the_degradation() -> None:
    two = torch.tensor([4.0], dtype=torch.float64)
    kernels = gaussian_kernels(two, two, torch.zeros(1, dtype=torch.float64), size=21)
    known = KnownDegradation(kernels, torch.tensor([3.0]), torch.tensor([60.0]))
    assert strengths_of(known) == pytest.approx((2.0, 3.0, 60.0), abs=1e-3)
    assert strengths_of(KnownDegradation(kernels, torch.tensor([3.0]))) is None


def test_strengths_are_written_where_they_are_known(tmp_path: Path) -> None:
    strengths, codes, kernels = strengths_and_codes(0.01)
    images = tuple(f"Set/p{index % 6}" for index in range(60))
    own = Embeddings(codes.astype(np.float32), tuple(kernels), images, strengths)
    assert "linear regression for the JPEG quality" in write_embeddings(tmp_path / "told", own)
    assert set(json.loads((tmp_path / "told.json").read_text())["regressions"]) == set(NAMES)
    assert (tmp_path / "told_strengths.png").stat().st_size > 10_000
    write_embeddings(tmp_path / "untold", embeddings(1.0, 1.0))
    assert "regressions" not in json.loads((tmp_path / "untold.json").read_text())
    assert not (tmp_path / "untold_strengths.png").exists()
