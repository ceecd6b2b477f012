"""Whether a checkpoint is tested on what it was trained for."""

import pytest

from data.degradation import DegradationConfig, create_degradation
from data.mismatch import UNKNOWN, mismatches
from data.protocols import get_protocol


def trained(**options: object) -> dict[str, object]:
    return {"model": "CDSR", **create_degradation(DegradationConfig(**options)).describe()}


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_papers_training_fits_its_protocol(scale: int) -> None:
    own = trained(degradation="cdsr", scale=scale, sig_min=0.175 * scale, sig_max=2.5 * scale)
    assert mismatches(own, get_protocol("cdsr", scale)) == []
    assert mismatches(own, get_protocol("cdsr-sv", scale)) == [
        "trained with one kernel for a whole image, tested on spatially variant blur"
    ]


def test_dasrs_trainings_fit_dasrs_protocols() -> None:
    isotropic = trained(degradation="dasr", scale=4, blur_type="iso_gaussian", sig_min=0.2, sig_max=4.0)
    assert mismatches(isotropic, get_protocol("dasr-iso", 4)) == []  # width 0 is no blur, as 0.2 is almost
    assert mismatches(isotropic, get_protocol("gaussian8", 4)) == []
    (message,) = mismatches(isotropic, get_protocol("dasr-aniso", 4))
    assert message == "trained with isotropic kernels, tested on 8 anisotropic ones"
    anisotropic = trained(degradation="dasr", scale=4, blur_type="aniso_gaussian", noise=25.0)
    assert mismatches(anisotropic, get_protocol("dasr-aniso", 4, noise=10)) == []


@pytest.mark.parametrize(
    ("options", "protocol", "message"),
    [
        ({"degradation": "dasr"}, ("cdsr", 2), "trained for degradation dasr, tested on cdsr"),
        ({"degradation": "dasr"}, ("cdsr", 2), "trained for sample_mode bicubic, tested on s-fold"),
        ({"scale": 3}, ("cdsr", 2), "trained for scale 3, tested on 2"),
        ({"noise": 5.0}, ("cdsr", 2, 15), "trained with noise up to 5, tested on 15"),
        (
            {"sig_max": 3.0},
            ("cdsr", 2),
            "trained on widths (variances) of 0.35 to 3, tested on wider kernels: 5.0_1.0_0.0",
        ),
        ({"sig_min": 2.0}, ("cdsr", 2), "tested on narrower kernels: 1.0_1.0_0.0"),
        ({}, ("cdsr-unblurred", 2), "tested on narrower kernels: bicubic"),
        ({"sv_mode": 3}, ("cdsr", 2), "trained with spatially variant blur"),
        ({"blur_kernel": 15}, ("cdsr", 2), "trained for kernels of side 15, tested on 21"),
    ],
)
def test_what_leaves_the_training_is_named(options: dict, protocol: tuple, message: str) -> None:
    name, scale, *noise = protocol
    found = mismatches(trained(**{"scale": 2, **options}), get_protocol(name, scale, *noise))
    assert any(message in line for line in found), found


def test_a_share_of_unblurred_images_is_training_for_them() -> None:
    assert mismatches(trained(scale=2, unblurred=0.1), get_protocol("cdsr-unblurred", 2)) == []


def test_kernels_that_are_no_gaussians_are_neither_wide_nor_narrow() -> None:
    found = mismatches(trained(scale=2, sig_min=0.35, sig_max=5.0), get_protocol("real", 2))
    assert not [line for line in found if "kernels: " in line]


def test_weights_for_real_images_are_not_said_to_know_no_noise() -> None:
    found = mismatches(trained(degradation="real", scale=4), get_protocol("cdsr", 4, 15))
    assert found and not any("noise" in line for line in found)


def test_a_published_file_says_nothing_of_its_training() -> None:
    assert mismatches({}, get_protocol("cdsr", 2)) == [UNKNOWN]
    assert "cannot be read" in mismatches({"degradation": "jpeg"}, get_protocol("cdsr", 2))[0]
