"""Test protocols: their kernels by value, their noise, their file names."""

import json
import math

import numpy as np
import pytest
import torch

from data.degradation import DegradationConfig
from data.protocols import PROTOCOLS, get_protocol, protocol_of_kernel


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (60, 84, 3), dtype=np.uint8)


def widths(name: str, scale: int) -> list[float]:
    return [test_kernel.kernel["sig"] for test_kernel in get_protocol(name, scale).test_kernels]


def test_cdsr_has_nine_kernels_by_value():
    test_kernels = get_protocol("cdsr", 2).test_kernels
    diagonal = math.pi / 4
    assert [test_kernel.covariance for test_kernel in test_kernels] == [
        (1, 1, 0),
        (3, 1, 0),
        (3, 1, diagonal),
        (3, 3, 0),
        (5, 1, 0),
        (5, 1, diagonal),
        (5, 3, 0),
        (5, 3, diagonal),
        (5, 5, 0),
    ]
    assert [test_kernel.label for test_kernel in test_kernels[:3]] == ["1.0_1.0_0.0", "3.0_1.0_0.0", "3.0_1.0_0.8"]
    for scale, largest in ((3, (1, 4, 7)), (4, (1, 5, 9))):
        test_kernels = get_protocol("cdsr", scale).test_kernels
        assert len(test_kernels) == 9 and sorted({test_kernel.variance_1 for test_kernel in test_kernels}) == list(
            largest
        )


def test_cdsr_sv_has_modes_one_to_five():
    assert [test_kernel.sv_mode for test_kernel in get_protocol("cdsr-sv", 2).test_kernels] == [1, 2, 3, 4, 5]
    for name in ("cdsr", "cdsr-sv"):
        protocol = get_protocol(name, 2, sv_mode=6)
        assert protocol.name == "cdsr-sv" and [test_kernel.sv_mode for test_kernel in protocol.test_kernels] == [6]


def test_widths_of_dasr_iso_and_gaussian8():
    assert widths("dasr-iso", 2) == [0, 0.6, 1.2, 1.8]
    assert widths("dasr-iso", 3) == [0, 0.8, 1.6, 2.4]
    assert widths("dasr-iso", 4) == [0, 1.2, 2.4, 3.6]
    assert widths("gaussian8", 4) == pytest.approx([1.8, 2.0, 2.2, 2.4, 2.6, 2.8, 3.0, 3.2])
    assert widths("gaussian8", 3) == pytest.approx([1.35, 1.5, 1.65, 1.8, 1.95, 2.1, 2.25, 2.4])
    assert widths("gaussian8", 2)[:2] == pytest.approx([0.8, 0.8 + 0.8 / 7]) and widths("gaussian8", 2)[-1] == 1.6
    test_kernel = get_protocol("dasr-iso", 2).test_kernels[1]
    assert test_kernel.covariance == pytest.approx((0.36, 0.36, 0))


def test_dasr_aniso_has_the_nine_kernels_of_its_paper():
    test_kernels = get_protocol("dasr-aniso", 4, noise=5).test_kernels
    assert [tuple(test_kernel.kernel.values()) for test_kernel in test_kernels] == [
        (2, 0.2, 0),
        (2, 1, 10),
        (3.5, 1.5, 30),
        (3.5, 2, 45),
        (3.5, 2, 90),
        (4, 1.5, 120),
        (4, 2, 135),
        (4, 3, 165),
        (4, 4, 180),
    ]
    assert test_kernels[2].covariance == (12.25, 2.25, math.pi / 6)


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_labels_differ_and_descriptions_are_json(name, scale):
    noise = 0 if name == "real" else 15  # it draws its own
    protocol = get_protocol(name, scale, noise=noise)
    labels = [test_kernel.label for test_kernel in protocol.test_kernels]
    assert len(set(labels)) == len(labels)
    description = json.loads(json.dumps(protocol.describe()))
    assert description["protocol"] == name and description["noise"] == noise and description["noise_seed"] == 0
    degradation = PROTOCOLS[name].degradation
    assert description["degradation"] == degradation.name and name.startswith(("gaussian8", degradation.name))
    assert [test_kernel["label"] for test_kernel in description["test_kernels"]] == labels


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("manet", 2), "cdsr, cdsr-sv, cdsr-unblurred, dasr-iso"),
        (("cdsr", 8), "1, 2, 3, 4"),
        (("dasr-iso", 1), "2, 3, 4, not 1"),
        (("dasr-iso", 2, 0.0, 1), "no sv_mode 1"),
        (("cdsr", 2, -1.0), "noise"),
    ],
)
def test_what_does_not_exist_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        get_protocol(*arguments)


def test_names_of_prepared_files():
    protocol = get_protocol("cdsr", 2)
    test_kernel = protocol.test_kernels[2]
    assert (protocol.layout.hr_folder, protocol.lr_folder(test_kernel)) == ("HR_si", "LR_mode0_noise0")
    assert protocol.hr_stem("baby", test_kernel) == protocol.lr_stem("baby", test_kernel) == "baby_3.0_1.0_0.8"
    assert get_protocol("cdsr", 4, noise=15).lr_folder(test_kernel) == "LR_mode0_noise15"
    assert get_protocol("cdsr", 4, noise=2.5).lr_folder(test_kernel) == "LR_mode0_noise2.5"

    protocol = get_protocol("cdsr-sv", 2)
    test_kernel = protocol.test_kernels[4]
    assert (protocol.layout.hr_folder, protocol.lr_folder(test_kernel)) == ("HR_sv", "LR_mode5_noise0")
    assert protocol.hr_stem("101085", test_kernel) == protocol.lr_stem("101085", test_kernel) == "101085"

    protocol = get_protocol("dasr-aniso", 4, noise=10)
    test_kernel = protocol.test_kernels[1]
    assert (protocol.layout.hr_folder, protocol.lr_folder(test_kernel)) == ("HR", "LR_dasr-aniso_noise10")
    assert (protocol.hr_stem("baby", test_kernel), protocol.lr_stem("baby", test_kernel)) == (
        "baby",
        "baby_2.0_1.0_10.0",
    )


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_image_is_found_in_its_file_names(name):
    protocol = get_protocol(name, 2)
    for test_kernel in protocol.test_kernels:
        assert protocol.image_of(protocol.lr_stem("my_pic_1.0", test_kernel), test_kernel) == "my_pic_1.0"
        assert protocol.image_of(protocol.hr_stem("my_pic_1.0", test_kernel), test_kernel, hr=True) == "my_pic_1.0"
    assert get_protocol("cdsr", 2).image_of("baby_9.0_9.0_0.0", get_protocol("cdsr", 2).test_kernels[0]) is None


def test_noise_is_exactly_the_level_and_decided_by_image_and_case():
    clean, noisy = get_protocol("dasr-iso", 2), get_protocol("dasr-iso", 2, noise=10)
    grey = np.full((96, 96, 3), 128, dtype=np.uint8)
    assert all((lr == 128).all() for lr in clean.degrade("a", grey))
    lr = np.stack(noisy.degrade("a", grey)).astype(float)
    np.testing.assert_allclose(lr.std(axis=(1, 2, 3)), 10, rtol=0.04)
    assert abs(np.corrcoef(lr.reshape(4, -1)) - np.eye(4)).max() < 0.05
    np.testing.assert_array_equal(lr, noisy.degrade("a", grey))
    assert (lr != noisy.degrade("b", grey)).mean() > 0.9
    assert noisy.seed("a", noisy.test_kernels[0]) == 130689126039024  # the same on every machine


@pytest.mark.parametrize("name", PROTOCOLS)
def test_cases_one_at_a_time_are_the_same(name, image, monkeypatch):
    protocol = get_protocol(name, 3, noise=0 if name == "real" else 5)
    together = protocol.degrade("a", image)
    monkeypatch.setattr("data.protocol.KERNELS_TOGETHER", 1)
    for lr, alone in zip(together, protocol.degrade("a", image), strict=True):
        assert lr.shape == (20, 28, 3) and lr.dtype == np.uint8
        difference = np.abs(lr.astype(int) - alone)
        assert difference.max() <= 1 and (difference > 0).mean() < 1e-3


@pytest.mark.parametrize("name", ["cdsr", "cdsr-sv", "cdsr-unblurred", "dasr-iso"])
def test_under_the_autocast_of_a_network_lr_is_the_same(name, image):
    protocol = get_protocol(name, 2)
    plain = protocol.degrade("image", image)
    with torch.autocast("cpu", torch.bfloat16):
        for lr, expected in zip(protocol.degrade("image", image), plain, strict=True):
            np.testing.assert_array_equal(lr, expected)


def test_crop_keeps_the_upper_left():
    image = np.arange(7 * 8 * 3, dtype=np.uint8).reshape(7, 8, 3)
    np.testing.assert_array_equal(get_protocol("cdsr", 3).crop(image), image[:6, :6])


# One kernel from flags


def test_a_kernel_of_the_protocol_is_the_protocol_cut_down(image):
    whole = get_protocol("cdsr", 2, noise=15)
    alone = protocol_of_kernel(DegradationConfig(scale=2, sig1=3.0, sig2=1.0, theta=0.785, noise=15))
    assert alone.name == "cdsr" and alone.slug == "cdsr_3.0_1.0_0.8_noise15"
    difference = np.abs(alone.degrade("a", image)[0].astype(int) - whole.degrade("a", image)[2])
    assert difference.max() <= 1
    assert protocol_of_kernel(DegradationConfig(scale=2, sv_mode=3)).slug == "cdsr-sv_mode3_noise0"


@pytest.mark.parametrize(
    ("options", "name", "label", "covariance"),
    [
        ({"sig1": 2.5, "sig2": 0.35, "theta": 1.0}, "cdsr-kernel", "2.5_0.35_1.0", (2.5, 0.35, 1)),
        ({"sig1": 2.5, "sig2": 2.5}, "cdsr-kernel", "2.5_2.5_0.0", (2.5, 2.5, 0)),
        ({"sig": 1.203}, "cdsr-kernel", "1.203", (pytest.approx(1.447209), pytest.approx(1.447209), 0)),
        ({"sig": 1.6}, "cdsr-kernel", "1.60", (pytest.approx(2.56), pytest.approx(2.56), 0)),
        ({"sig": 1.0}, "cdsr", "1.0_1.0_0.0", (1, 1, 0)),
        ({"sig1": 1.0, "sig2": 1.0, "blur_kernel": 15}, "cdsr-kernel", "1.0_1.0_0.0", (1, 1, 0)),
        ({"sv_mode": 2, "blur_kernel": 15}, "cdsr-kernel", "mode2", (0, 0, 0)),
        ({"degradation": "dasr", "sig": 0.0}, "dasr-kernel", "0.00", (0, 0, 0)),
        (
            {"degradation": "dasr", "lambda_1": 3.0, "lambda_2": 0.5, "theta": 90.0},
            "dasr-kernel",
            "3.0_0.5_90.0",
            (9, 0.25, math.pi / 2),
        ),
    ],
    ids=str,
)
def test_any_kernel_can_be_a_protocol(options, name, label, covariance, image):
    protocol = protocol_of_kernel(DegradationConfig(scale=2, **options))
    assert (protocol.name, protocol.test_kernels[0].label, protocol.test_kernels[0].covariance) == (
        name,
        label,
        covariance,
    )
    assert protocol.degrade("a", image)[0].shape == (30, 42, 3)


@pytest.mark.parametrize(("degradation", "names"), [("cdsr", "sig1"), ("dasr", "lambda_1")])
def test_without_a_kernel_the_flags_are_named(degradation, names):
    with pytest.raises(ValueError, match=names):
        protocol_of_kernel(DegradationConfig(degradation=degradation))
