"""Test sets: prepared and on the fly are the same pixels; what is missing, broken or unpaired is named."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import data.test_sets
from data.build_testset import build
from data.build_testset import main as build_main
from data.degradation import DegradationConfig
from data.protocols import PROTOCOLS, get_protocol, protocol_of_kernel
from data.samples import Sample, TestsetError
from data.test_sets import PlainTestset, PreparedTestset, load_testset
from utils.image import ImageError, read_rgb, write_image

IMAGES = {"b_10": (45, 62), "b_9": (51, 40), "é": (44, 44)}
IN_ORDER = ("b_9", "b_10", "é")


@pytest.fixture(scope="module")
def hr_dir(tmp_path_factory) -> Path:
    """Folder of one plain set, `Tiny`."""
    folder = tmp_path_factory.mktemp("hr")
    generator = np.random.default_rng(0)
    for name, size in IMAGES.items():
        write_image(folder / "Tiny" / f"{name}.png", generator.integers(0, 256, (*size, 3), dtype=np.uint8))
    return folder


@pytest.fixture
def prepared(hr_dir, tmp_path) -> Path:
    """Folder of Tiny_x2 prepared by protocol cdsr."""
    build(PlainTestset("Tiny", get_protocol("cdsr", 2), hr_dir / "Tiny"), tmp_path, progress=False)
    return tmp_path


def build_arguments(hr_dir: Path, out: Path, *more: str) -> list[str]:
    return ["--hr_dir", str(hr_dir), "--out", str(out), "--sets", "Tiny", *more]


def same(first: Sample, second: Sample) -> bool:
    return (
        (first.image, first.kernel) == (second.image, second.kernel)
        and np.array_equal(first.lr, second.lr)
        and np.array_equal(first.hr, second.hr)
    )


@pytest.mark.parametrize("noise", ["0", "15"])
@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("scale", [2, 3])
def test_prepared_and_on_the_fly_are_the_same(hr_dir, tmp_path, name, scale, noise):
    if name == "real" and noise != "0":
        pytest.skip("it draws its own noise")
    build_main(build_arguments(hr_dir, tmp_path, "--scales", str(scale), "--protocol", name, "--noise", noise))
    protocol = get_protocol(name, scale, float(noise))
    plain, prepared = load_testset(hr_dir, "Tiny", protocol), load_testset(tmp_path, "Tiny", protocol)
    assert isinstance(plain, PlainTestset) and isinstance(prepared, PreparedTestset)
    assert plain.images == prepared.images == IN_ORDER
    assert (
        plain.keys
        == prepared.keys
        == [(p, test_kernel.label) for p in IN_ORDER for test_kernel in protocol.test_kernels]
    )
    assert len(plain) == len(prepared) == len(plain.keys)
    assert all(same(a, b) for a, b in zip(plain, prepared, strict=True))
    for key, sample in zip(plain.keys, plain, strict=True):
        height, width = (length // scale for length in IMAGES[sample.image])
        assert (sample.image, sample.kernel) == key and sample.lr.shape == (height, width, 3)
        assert sample.hr.shape == (height * scale, width * scale, 3)


def test_the_published_layout(prepared):
    folder = prepared / "Tiny_x2"
    names = sorted(path.name for path in (folder / "LR_mode0_noise0").iterdir())
    assert len(names) == 27 and "b_9_3.0_1.0_0.8.png" in names
    assert sorted(path.name for path in (folder / "HR_si").iterdir()) == names
    assert sorted(path.name for path in folder.iterdir()) == ["HR_si", "LR_mode0_noise0", "manifest.json"]
    assert read_rgb(folder / "HR_si" / "b_10_5.0_5.0_0.0.png").shape == (44, 62, 3)


def test_spatially_variant_images_have_one_folder_a_mode(hr_dir, tmp_path):
    build_main(build_arguments(hr_dir, tmp_path, "--scales", "2", "--protocol", "cdsr-sv"))
    folders = {path.name for path in (tmp_path / "Tiny_x2").iterdir() if path.is_dir()}
    assert folders == {"HR_sv", *(f"LR_mode{mode}_noise0" for mode in range(1, 6))}
    assert {path.stem for path in (tmp_path / "Tiny_x2" / "LR_mode3_noise0").iterdir()} == set(IMAGES)
    build_main(build_arguments(hr_dir, tmp_path, "--scales", "2", "--sv_mode", "6"))
    assert len(load_testset(tmp_path, "Tiny", get_protocol("cdsr", 2, sv_mode=6))) == 3


def test_the_manifest_has_parameters_and_a_digest_of_every_file(hr_dir, prepared):
    build_main(build_arguments(hr_dir, prepared, "--scales", "2", "--noise", "15"))
    folder = prepared / "Tiny_x2"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["set"], manifest["scale"]) == ("Tiny", 2)
    assert [part["lr_folders"] for part in manifest["parts"]] == [["LR_mode0_noise0"], ["LR_mode0_noise15"]]
    assert manifest["parts"][1]["protocol"] == get_protocol("cdsr", 2, 15).describe()
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
    assert set(manifest["files"]) == files and len(files) == 3 * 27
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_a_kernel_of_a_prepared_set_can_be_read_alone(hr_dir, prepared, caplog):
    protocol = protocol_of_kernel(DegradationConfig(scale=2, sig1=5.0, sig2=3.0, theta=0.7854))
    alone = load_testset(prepared, "Tiny", protocol)
    assert isinstance(alone, PreparedTestset) and "24 of 27 files have other kernels" in caplog.text
    whole = load_testset(prepared, "Tiny", get_protocol("cdsr", 2))
    assert [same(a, b) for a, b in zip(alone, list(whole)[7::9], strict=True)] == [True] * 3


def test_hr_is_decoded_once_a_image(hr_dir, prepared, monkeypatch):
    decoded = []

    def read(path: Path) -> np.ndarray:
        decoded.append(path)
        return read_rgb(path)

    monkeypatch.setattr(data.test_sets, "read_rgb", read)
    for root, expected in ((hr_dir, 3), (prepared, 3 + 27)):
        decoded.clear()
        list(load_testset(root, "Tiny", get_protocol("cdsr", 2)))
        assert len(decoded) == expected


def test_indices_and_threads(hr_dir):
    testset = load_testset(hr_dir, "Tiny", get_protocol("cdsr", 2))
    assert same(testset[-1], testset[26])
    with pytest.raises(IndexError):
        testset[27]
    testset[0]
    alone = list(load_testset(hr_dir, "Tiny", get_protocol("cdsr", 2)))
    with ThreadPoolExecutor(4) as pool:
        assert all(map(same, pool.map(testset.__getitem__, range(27)), alone))


# What is wrong


def test_a_missing_root_or_set_is_told_with_the_tree_expected(hr_dir, tmp_path):
    protocol = get_protocol("cdsr", 2)
    with pytest.raises(TestsetError, match="no folder .*nowhere") as error:
        load_testset(tmp_path / "nowhere", "Set5", protocol)
    assert "Set5_x2/HR_si/IMAGE_1.0_1.0_0.0.png" in str(error.value)
    with pytest.raises(TestsetError, match="no test set Set5") as error:
        load_testset(hr_dir, "Set5", protocol)
    for part in ("Set5_x2/LR_mode0_noise0", "Set5_x2/HR_si", f"{hr_dir / 'Set5'}/IMAGE.png", "data.build_testset"):
        assert part in str(error.value)


def test_a_set_prepared_for_other_noise_is_not_taken(prepared):
    with pytest.raises(TestsetError, match="looked for .*LR_mode0_noise15"):
        load_testset(prepared, "Tiny", get_protocol("cdsr", 2, noise=15))


def test_an_empty_folder_and_two_images_of_one_name(hr_dir, tmp_path):
    (tmp_path / "Empty").mkdir()
    with pytest.raises(TestsetError, match="no images in .*Empty"):
        load_testset(tmp_path, "Empty", get_protocol("cdsr", 2))
    shutil.copytree(hr_dir / "Tiny", tmp_path / "Tiny")
    write_image(tmp_path / "Tiny" / "é.bmp", np.zeros((44, 44, 3), np.uint8))
    with pytest.raises(TestsetError, match="é.bmp and .*é.png have one name"):
        load_testset(tmp_path, "Tiny", get_protocol("cdsr", 2))


@pytest.mark.parametrize("missing", ["HR_si", "LR_mode0_noise0"])
@pytest.mark.parametrize("all_kernels", [False, True])
def test_hr_and_lr_that_do_not_pair_are_both_named(prepared, missing, all_kernels):
    for path in (prepared / "Tiny_x2" / missing).glob("é_*.png" if all_kernels else "é_3.0_1.0_0.8.png"):
        path.unlink()
    with pytest.raises(TestsetError, match="do not pair") as error:
        load_testset(prepared, "Tiny", get_protocol("cdsr", 2))
    label = "1.0_1.0_0.0" if all_kernels else "3.0_1.0_0.8"
    for folder in ("HR_si", "LR_mode0_noise0"):
        assert str(Path("Tiny_x2", folder, f"é_{label}.png")) in str(error.value)


def test_files_of_no_known_kernel_are_told(prepared):
    for folder in ("HR_si", "LR_mode0_noise0"):
        for path in (prepared / "Tiny_x2" / folder).iterdir():
            path.rename(path.with_name(path.name.replace(".0_", ".5_")))
    with pytest.raises(TestsetError, match="NAME_1.0_1.0_0.0.png"):
        load_testset(prepared, "Tiny", get_protocol("cdsr", 2))


def test_a_size_that_does_not_fit_the_scale_names_both_files_and_fails_its_row_alone(prepared):
    write_image(prepared / "Tiny_x2" / "LR_mode0_noise0" / "b_9_3.0_1.0_0.8.png", np.zeros((25, 21, 3), np.uint8))
    testset = load_testset(prepared, "Tiny", get_protocol("cdsr", 2))
    with pytest.raises(ImageError, match=r"HR_si.b_9_3.0_1.0_0.8.png has 40x50.*LR_mode0_noise0.b_9_3.0.* 21x25"):
        testset[2]
    assert testset[1].lr.shape == testset[3].lr.shape == (25, 20, 3)


def test_a_broken_image_fails_its_own_rows_alone(hr_dir, tmp_path, prepared):
    shutil.copytree(hr_dir / "Tiny", tmp_path / "Tiny")
    broken = tmp_path / "Tiny" / "b_10.png"
    broken.write_bytes(broken.read_bytes()[:500])
    testset = load_testset(tmp_path, "Tiny", get_protocol("dasr-iso", 2))
    for index in range(len(testset)):
        if testset.keys[index][0] == "b_10":
            with pytest.raises(ImageError, match="b_10.png"):
                testset[index]
        else:
            assert testset[index].image != "b_10"

    lr = prepared / "Tiny_x2" / "LR_mode0_noise0" / "b_9_3.0_1.0_0.0.png"
    lr.write_bytes(b"not an image")
    testset = load_testset(prepared, "Tiny", get_protocol("cdsr", 2))
    with pytest.raises(ImageError, match="b_9_3.0_1.0_0.0.png"):
        testset[1]
    assert testset[0].kernel == "1.0_1.0_0.0" and testset[2].kernel == "3.0_1.0_0.8"


@pytest.mark.parametrize(("name", "side", "enough"), [("cdsr", 1, 2), ("dasr-iso", 10, 12)])
def test_a_image_too_small_fails_its_own_rows_alone(tmp_path, name, side, enough):
    write_image(tmp_path / "Tiny" / "small.png", np.zeros((side, 30, 3), np.uint8))
    write_image(tmp_path / "Tiny" / "z.png", np.zeros((enough, 30, 3), np.uint8))
    testset = load_testset(tmp_path, "Tiny", get_protocol(name, 2))
    with pytest.raises(ImageError, match="small.png is too small"):
        testset[0]
    assert testset[len(testset) - 1].hr.shape == (enough, 30, 3)


# Building


def test_nothing_is_overwritten_without_reset(hr_dir, prepared, capsys):
    before = {path: path.read_bytes() for path in prepared.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as stop:
        build_main(build_arguments(hr_dir, prepared, "--scales", "3", "2"))
    assert stop.value.code == 2 and "LR_mode0_noise0 exists already" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in prepared.rglob("*") if path.is_file()} == before
    build_main(build_arguments(hr_dir, prepared, "--scales", "2", "--reset"))
    assert {path: path.read_bytes() for path in prepared.rglob("*") if path.is_file()} == before


def test_other_hr_images_are_not_overwritten_without_reset(hr_dir, prepared, capsys):
    other = prepared / "Tiny_x2" / "HR_si" / "b_9_1.0_1.0_0.0.png"
    write_image(other, np.zeros((50, 40, 3), np.uint8))
    with pytest.raises(SystemExit):
        build_main(build_arguments(hr_dir, prepared, "--scales", "2", "--noise", "15"))
    assert "b_9_1.0_1.0_0.0.png is another image already" in capsys.readouterr().err
    assert not (prepared / "Tiny_x2" / "LR_mode0_noise15").exists()
    build_main(build_arguments(hr_dir, prepared, "--scales", "2", "--reset"))
    assert read_rgb(other).any()


def test_hr_that_other_lr_images_were_made_of_is_not_replaced(hr_dir, prepared, tmp_path, capsys):
    shutil.copytree(hr_dir / "Tiny", tmp_path / "Tiny")
    write_image(tmp_path / "Tiny" / "b_9.png", np.zeros((51, 40, 3), np.uint8))
    with pytest.raises(SystemExit):
        build_main(build_arguments(tmp_path, prepared, "--scales", "2", "--noise", "15", "--reset"))
    assert "Tiny_x2, whose LR images were made of it" in capsys.readouterr().err
    assert read_rgb(prepared / "Tiny_x2" / "HR_si" / "b_9_1.0_1.0_0.0.png").any()


@pytest.mark.parametrize("content", ['{"parts": [{}], "files": {"a": "b"}}', "[]", "{}", "none"])
def test_another_manifest_is_told_before_anything_is_written(hr_dir, tmp_path, content, capsys):
    (tmp_path / "Tiny_x3").mkdir()
    (tmp_path / "Tiny_x3" / "manifest.json").write_text(content)
    with pytest.raises(SystemExit):
        build_main(build_arguments(hr_dir, tmp_path, "--scales", "2", "3"))
    assert "manifest.json is not a manifest of ours" in capsys.readouterr().err
    assert not (tmp_path / "Tiny_x2").exists()


def test_a_failure_leaves_no_folder_that_looks_whole(hr_dir, tmp_path, capsys):
    shutil.copytree(hr_dir / "Tiny", tmp_path / "Tiny")
    (tmp_path / "Tiny" / "é.png").write_bytes(b"")
    with pytest.raises(SystemExit) as stop:
        build_main(build_arguments(tmp_path, tmp_path / "out", "--scales", "2"))
    assert stop.value.code == 2 and "é.png" in capsys.readouterr().err
    assert not list((tmp_path / "out" / "Tiny_x2").iterdir())


def test_a_reset_that_fails_leaves_hr_and_lr_that_belong_together(hr_dir, prepared, tmp_path):
    before = {path: path.read_bytes() for path in (prepared / "Tiny_x2").rglob("*.png")}
    shutil.copytree(hr_dir / "Tiny", tmp_path / "Tiny")
    write_image(tmp_path / "Tiny" / "b_9.png", np.zeros((51, 40, 3), np.uint8))
    (tmp_path / "Tiny" / "é.png").write_bytes(b"")
    with pytest.raises(SystemExit):
        build_main(build_arguments(tmp_path, prepared, "--scales", "2", "--reset"))
    assert {path: path.read_bytes() for path in (prepared / "Tiny_x2").rglob("*.png")} == before


def test_a_file_system_without_links_gets_copies(hr_dir, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    build(PlainTestset("Tiny", get_protocol("cdsr", 2), hr_dir / "Tiny"), tmp_path, progress=False)
    assert len(load_testset(tmp_path, "Tiny", get_protocol("cdsr", 2))) == 27


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sets", "Nowhere"], "no folder .*Nowhere"),
        (["--sets", "Tiny/"], "without a slash"),
        (["--scales", "5"], "invalid choice: 5"),
        (["--protocol", "dasr-iso", "--scales", "1"], "2, 3, 4, not 1"),
        (["--protocol", "dasr-iso", "--sv_mode", "1"], "no sv_mode 1"),
        (["--noise", "300"], "--noise 300"),
    ],
    ids=str,
)
def test_errors_of_the_command_line_are_clear_and_write_nothing(hr_dir, tmp_path, arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        build_main([*build_arguments(hr_dir, tmp_path / "out"), *arguments])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()[-1]) < 400 and re.search(message, error)
    assert not (tmp_path / "out").exists()


def test_the_command_runs(hr_dir, tmp_path):
    command = [sys.executable, "-m", "data.build_testset", *build_arguments(hr_dir, tmp_path, "--scales", "4")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent)
    assert done.stdout.strip() == str(tmp_path / "Tiny_x4" / "manifest.json")


@pytest.mark.parametrize("more", [("--reset",), ("--noise", "15")])
def test_hr_images_that_are_gone_are_told_before_anything_is_written(hr_dir, prepared, tmp_path, capsys, more):
    fewer = tmp_path / "fewer"
    shutil.copytree(hr_dir / "Tiny", fewer / "Tiny")
    (fewer / "Tiny" / "é.png").unlink()
    before = {path: path.read_bytes() for path in prepared.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit):
        build_main(build_arguments(fewer, prepared, "--scales", "2", *more))
    assert "é_1.0_1.0_0.0.png is of no image of" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in prepared.rglob("*") if path.is_file()} == before
