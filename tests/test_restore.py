"""A person's images through the command line: kinds kept, bad ones named, results kept, and the seams of tiles."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image as PILImage

import test as command_line
from inference.upscaler import Upscaler
from model import create_model, save_model
from model.network import Network
from model.pretrained import pretrained_path, read_name, shipped
from option import parse_options
from restore.duration import tell_time, time_left
from restore.plan import OutputOptions, plan
from restore.restore import Outcome, restore_all, restore_image
from restore.sources import Source, find_images
from tests.support.images import SRGB, exif_of, random_pixels, save_pil
from utils.environment import ROOT
from utils.image import Image, read_image, write_image

CPU = torch.device("cpu")


@pytest.fixture
def bicubic() -> Upscaler:
    return Upscaler(create_model("bicubic", 2), tile="auto", centred=True)


def demo(*words: str | Path, results: Path) -> int:
    return command_line.main(["--model", "bicubic", "--cpu", "--dir_demo", *map(str, words), "--results", str(results)])


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
def test_every_kind_of_image_stays_what_it_is(bicubic, channels, bits):
    image = Image(random_pixels(channels, bits), icc_profile=SRGB, exif=exif_of())
    result = restore_image(image, bicubic, CPU)
    assert result.pixels.shape == (26, 44, channels) and result.pixels.dtype == image.pixels.dtype
    assert (result.icc_profile, result.exif) == (SRGB, image.exif)
    if channels in (1, 3):  # by value: the interpolation, to half a level of its depth
        lr = torch.from_numpy(image.pixels.astype(np.float32)).permute(2, 0, 1)[None]
        top = 2**bits - 1
        sr = F.interpolate(lr, scale_factor=2, mode="bicubic").clamp(0, top)[0].permute(1, 2, 0).numpy()
        assert np.abs(result.pixels - sr).max() < 0.51 + top * 1e-6


def test_depth_is_what_was_asked_for(bicubic):
    shallow, deep = Image(np.full((8, 8, 3), 100, np.uint8)), Image(np.full((8, 8, 3), 25_700, np.uint16))
    assert (restore_image(shallow, bicubic, CPU, bits="16").pixels == 25_700).all()
    assert (restore_image(deep, bicubic, CPU, bits="8").pixels == 100).all()
    fine = Image(np.full((8, 8, 1), 25_701, np.uint16))
    assert (restore_image(fine, bicubic, CPU).pixels == 25_701).all()


class Tinted(Network):
    """Upscales and adds a colour cast, as any network does a little."""

    scale = 2

    def encode(self, lr, known=None, *, tile=None):
        return lr.mean(dim=(2, 3))

    def super_resolve(self, lr, code):
        cast = torch.tensor([6.0, 0, -6]).view(1, 3, 1, 1)
        return F.interpolate(lr, scale_factor=2, mode="bicubic") + cast


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_stays_grey(channels):
    grey = random_pixels(1, 8).repeat(channels, axis=2)
    result = restore_image(Image(grey), Upscaler(Tinted()), CPU).pixels
    assert result.shape[2] == channels
    assert (result == result[:, :, :1]).all()


class Loud(Tinted):
    """Adds ten grey levels to interpolation."""

    def super_resolve(self, lr, code):
        return F.interpolate(lr, scale_factor=2, mode="bicubic", align_corners=False) + 10


@pytest.mark.parametrize("tile", [None, 24])
@pytest.mark.parametrize(("strength", "added"), [(0.0, 0.0), (0.25, 2.5), (1.0, 10.0)])
def test_strength_blends_with_interpolation(strength, added, tile):
    """Whole or in tiles, at any depth, and the alpha stays what it is."""
    pixels = random_pixels(4, 16, 40, 60) // 2 + 8000
    upscaler = Upscaler(Loud(), tile=tile, centred=True, strength=strength)
    result = restore_image(Image(pixels), upscaler, CPU).pixels
    plain = restore_image(Image(pixels), Upscaler(create_model("bicubic", 2), centred=True), CPU).pixels
    assert result.dtype == np.uint16 and np.array_equal(result[..., 3], plain[..., 3])
    change = result[..., :3].astype(int) - plain[..., :3]
    assert np.abs(change - added * 257).max() <= 2


def test_strength_of_0_is_bicubic_from_the_command_line(tmp_path):
    source = save_pil(tmp_path / "a.png", PILImage.fromarray(random_pixels(3, 8, 30, 40)))
    save_model(create_model("CDSR_S", 2), tmp_path / "weights.safetensors", {})
    words = ["--cpu", "--model", "CDSR_S", "--pre_train", str(tmp_path / "weights.safetensors")]
    words += ["--dir_demo", str(source)]
    assert command_line.main([*words, "--strength", "0", "--results", str(tmp_path / "none")]) == 0
    assert demo(source, results=tmp_path / "bicubic") == 0
    assert (tmp_path / "none/a_x2.png").read_bytes() == (tmp_path / "bicubic/a_x2.png").read_bytes()
    for words in (["--strength", "1.5", "--dir_demo", "a.png"], ["--strength", "0.5"], ["--quality", "3"]):
        with pytest.raises(SystemExit) as stop:
            parse_options(words)
        assert stop.value.code == 2


def test_a_name_too_long_for_a_result_does_not_stop_the_others(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for name in ("a", "n" * 251):
        save_pil(tmp_path / "in" / f"{name}.png", PILImage.new("RGB", (9, 9)))
    assert demo(tmp_path / "in", results=tmp_path / "out") == 1
    assert "1 upscaled, 0 kept, 1 failed" in capsys.readouterr().out


def test_edges_of_alpha_are_unharmed(bicubic):
    """An orange disc on transparent black: no dark rim in the colour, and no ripple in the solid parts of the alpha."""
    y, x = np.mgrid[:48, :48]
    disc = ((y - 24) ** 2 + (x - 24) ** 2) < 15**2
    pixels = np.zeros((48, 48, 4), np.uint8)
    pixels[disc] = (240, 140, 20, 255)
    result = restore_image(Image(pixels), bicubic, CPU).pixels
    seen = result[..., 3] > 0
    assert np.abs(result[seen][:, :3].astype(int) - (240, 140, 20)).max() <= 12
    inner, outer = ((y - 24) ** 2 + (x - 24) ** 2) < 11**2, ((y - 24) ** 2 + (x - 24) ** 2) > 20**2
    assert (result[..., 3][np.kron(inner, np.ones((2, 2), bool))] == 255).all()
    assert (result[..., 3][np.kron(outer, np.ones((2, 2), bool))] == 0).all()


def test_a_folder_keeps_its_tree_and_a_second_run_keeps_the_results(tmp_path, capsys):
    images = tmp_path / "images"
    for name in ("a.png", "b/写真.webp", "b/c/фото.jpg", "b/d.tif", "e.bmp", ".hidden.png"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        save_pil(images / name, PILImage.fromarray(random_pixels(3, 8)))
    (images / "notes.txt").write_text("no image")
    assert demo(images, results=tmp_path / "out") == 0
    expected = ["a_x2.png", "b/c/фото_x2.jpg", "b/d_x2.tif", "b/写真_x2.webp", "e_x2.bmp"]
    assert names(tmp_path / "out") == expected
    assert "5 upscaled, 0 kept, 0 failed" in capsys.readouterr().out
    assert all(read_image(tmp_path / "out" / name).pixels.shape == (26, 44, 3) for name in expected)
    before = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in expected}
    assert demo(images, results=tmp_path / "out") == 0
    assert "0 upscaled, 5 kept, 0 failed" in capsys.readouterr().out
    assert before == {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in expected}
    words = ["--model", "bicubic", "--cpu", "--dir_demo", str(images), "--results", str(tmp_path / "out")]
    assert command_line.main([*words, "--overwrite"]) == 0
    assert "5 upscaled, 0 kept, 0 failed" in capsys.readouterr().out
    assert command_line.main([*words, "--format", "png", "--suffix", ".big"]) == 0
    assert {"a.big.png", "b/d.tif.big.png", "e.bmp.big.png"} <= set(names(tmp_path / "out"))


def test_every_bad_file_is_named_and_the_others_done(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    good = save_pil(folder / "good.png", PILImage.fromarray(random_pixels(3, 8, 64, 64)))
    (folder / "empty.png").touch()
    (folder / "half.png").write_bytes(good.read_bytes()[:3000])
    (folder / "words.png").write_text("these are words\n" * 9)
    save_pil(folder / "bomb.png", PILImage.new("L", (300, 400)))
    save_pil(folder / "dot.png", PILImage.new("RGB", (1, 1), "red"))
    save_pil(
        folder / "moving.gif", PILImage.new("L", (9, 9)), save_all=True, append_images=[PILImage.new("L", (9, 9), 9)]
    )
    save_pil(folder / "long.webp", PILImage.new("RGB", (9000, 3)))
    words = ["--model", "bicubic", "--cpu", "--results", str(tmp_path / "out"), "--max_megapixels", "0.1"]
    assert command_line.main([*words, "--dir_demo", str(folder), str(tmp_path / "nowhere.png")]) == 1
    said = capsys.readouterr().out
    assert "3 upscaled, 0 kept, 6 failed" in said
    for name, cause in (
        ("empty.png", "the file is empty"),
        ("half.png", ""),
        ("words.png", "not an image"),
        ("bomb.png", "0.12 megapixels are more than the 0.1 allowed; --max_megapixels"),
        ("nowhere.png", "no such file or folder"),
        ("", "WEBP holds at most 16383 pixels a side, not 18000x6"),
    ):
        assert any(name in line and cause in line for line in said.splitlines() if line.startswith("failed: ")), name
    assert names(tmp_path / "out") == ["in/dot_x2.png", "in/good_x2.png", "in/moving.gif_x2.png"]
    assert read_image(tmp_path / "out/in/dot_x2.png").pixels.tolist() == [[[255, 0, 0]] * 2] * 2


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    for folder in ("open", "closed"):
        (tmp_path / folder).mkdir()
        save_pil(tmp_path / folder / "a.png", PILImage.new("L", (4, 4)))
    look = os.scandir

    def scandir(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return look(path)

    monkeypatch.setattr(os, "scandir", scandir)
    sources, problems = find_images([tmp_path])
    assert [source.relative.as_posix() for source in sources] == ["open/a.png"]
    assert problems == [f"cannot look into {tmp_path / 'closed'}: Permission denied"]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 20_000), (2000, 1), (5, 7)])
def test_odd_sizes(height, width):
    torch.manual_seed(0)
    upscaler = Upscaler(create_model("CDSR_S", 2).eval(), tile=64, centred=True)
    if height * width > 10_000:
        upscaler = Upscaler(create_model("bicubic", 2), tile=64)
    result = restore_image(Image(random_pixels(3, 8, height, width)), upscaler, CPU)
    assert result.pixels.shape == (2 * height, 2 * width, 3)


def test_files_folders_and_patterns(tmp_path):
    for name in ("a/1.png", "a/b/2.jpg", "a/b/10.jpg", "c/1.png", "c/d/e.JPEG", "c/f.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    tree = lambda *words, **more: [source.relative.as_posix() for source in find_images(words, **more)[0]]  # noqa: E731
    assert tree(tmp_path / "a") == ["1.png", "b/2.jpg", "b/10.jpg"]
    assert tree(tmp_path / "a", tmp_path / "c") == ["a/1.png", "a/b/2.jpg", "a/b/10.jpg", "c/1.png", "c/d/e.JPEG"]
    assert tree(f"{tmp_path}/*/b/*.jpg") == ["a/b/2.jpg", "a/b/10.jpg"]
    assert tree(f"{tmp_path}/**/*.*g") == ["a/1.png", "a/b/2.jpg", "a/b/10.jpg", "c/1.png", "c/d/e.JPEG"][:4]
    assert tree(tmp_path / "a/1.png", tmp_path / "a/1.png", tmp_path / "c/f.txt") == ["1.png", "f.txt"]
    assert tree(tmp_path / "a/1.png", tmp_path / "c/1.png", tmp_path / "a/b/2.jpg") == ["a/1.png", "c/1.png", "2.jpg"]
    assert tree(tmp_path, leave_out=tmp_path / "a") == ["c/1.png", "c/d/e.JPEG"]  # earlier results
    assert tree(tmp_path / "a/b", leave_out=tmp_path / "a") == ["2.jpg", "10.jpg"]  # unless they are what is asked for
    (tmp_path / "empty").mkdir()
    problems = find_images([tmp_path / "nowhere", tmp_path / "empty", f"{tmp_path}/*.xyz"])[1]
    assert len(problems) == 3 and all("no images in" in problem for problem in problems[1:])


def test_names_of_results_never_collide(tmp_path):
    sources = [Source(tmp_path / name, Path(name)) for name in ("a.png", "a.jpg", "a.jpg.webp", "sub/a.jpg")]
    for file_format, expected in (
        ("auto", ["a_x2.png", "a_x2.jpg", "a.jpg_x2.webp", "sub/a_x2.jpg"]),
        ("png", ["a_x2.png", "a.jpg_x2.png", "a.jpg.webp_x2.png", "sub/a.jpg_x2.png"]),
    ):
        planned = plan(sources, tmp_path, OutputOptions(file_format=file_format))
        assert [target.relative_to(tmp_path).as_posix() for _, target in planned] == expected
    again = [*sources, Source(tmp_path / "a_x2.png", Path("a_x2.png"))]
    assert [source for source, _ in plan(again, tmp_path, OutputOptions())] == sources


def test_an_image_that_is_added_does_not_count_another_s_result_as_its_own(tmp_path, capsys):
    images = tmp_path / "in"
    images.mkdir()
    save_pil(images / "a.png", PILImage.new("L", (9, 9)))
    assert demo(images, results=tmp_path / "out") == 0
    save_pil(images / "a.gif", PILImage.new("L", (5, 5)))
    assert demo(images, results=tmp_path / "out") == 0
    assert "1 upscaled, 1 kept, 0 failed" in capsys.readouterr().out
    assert read_image(tmp_path / "out/a.gif_x2.png").pixels.shape[:2] == (10, 10)


def test_files_of_one_name_do_not_count_each_other_s_results_as_their_own(tmp_path, capsys):
    for folder, side in (("one", 5), ("two", 9)):
        (tmp_path / folder).mkdir()
        save_pil(tmp_path / folder / "a.png", PILImage.new("L", (side, side)))
    one, two = (tmp_path / folder / "a.png" for folder in ("one", "two"))
    assert demo(two, results=tmp_path / "out") == 0
    assert demo(one, two, results=tmp_path / "out") == 0
    assert "2 upscaled, 0 kept, 0 failed" in capsys.readouterr().out
    assert names(tmp_path / "out") == ["a_x2.png", "one/a_x2.png", "two/a_x2.png"]


def test_every_suffix_of_jpeg_is_looked_for(tmp_path):
    (tmp_path / "in").mkdir()
    for suffix in ("jpg", "JPEG", "jfif", "jpe"):
        save_pil(tmp_path / f"in/{suffix}.{suffix}", PILImage.new("L", (9, 9)), format="JPEG")
    assert demo(tmp_path / "in", results=tmp_path / "out") == 0
    assert names(tmp_path / "out") == ["JPEG_x2.JPEG", "jfif_x2.jfif", "jpe_x2.jpe", "jpg_x2.jpg"]


@pytest.mark.parametrize("name", ["f/a.png", "n" * 251 + ".png"])
def test_a_result_that_cannot_be_written_is_found_before_the_work(tmp_path, bicubic, monkeypatch, name):
    (tmp_path / "f").write_text("a file where a folder should be")
    source = Source(save_pil(tmp_path / "a.png", PILImage.new("L", (9, 9))), Path(name))
    monkeypatch.setattr("restore.restore.restore_image", None)
    [(_, target)] = planned = plan([source], tmp_path, OutputOptions())
    [line] = restore_all(planned, bicubic, CPU, OutputOptions()).failed
    assert line.startswith(f"cannot write {target}: ")


def test_a_image_is_never_written_over(tmp_path, bicubic):
    path = save_pil(tmp_path / "a.png", PILImage.new("L", (4, 4)))
    options = OutputOptions(suffix="", overwrite=True)
    outcome = restore_all(plan([Source(path, Path("a.png"))], tmp_path, options), bicubic, CPU, options)
    assert "over its own image" in outcome.failed[0]
    assert read_image(path).pixels.shape == (4, 4, 1)


def test_running_out_of_memory_or_disk_fails_one_image_alone(tmp_path, bicubic, monkeypatch):
    paths = [save_pil(tmp_path / f"{name}.png", PILImage.new("L", (40, 40))) for name in "ab"]
    planned = plan([Source(path, Path(path.name)) for path in paths], tmp_path / "out", OutputOptions())
    calls = iter([MemoryError(), OSError(28, "No space left on device")])

    def fails(*args, **options):
        raise next(calls)

    monkeypatch.setattr("restore.restore.restore_image", fails)
    outcome = restore_all(planned, bicubic, CPU, OutputOptions())
    assert len(outcome.failed) == 2 and not outcome.done
    assert "not enough memory" in outcome.failed[0]
    assert outcome.failed[1] == f"cannot write {planned[1][1]}: No space left on device"


def test_an_interruption_between_images_costs_no_summary(tmp_path, bicubic, monkeypatch):
    planned = [(Source(save_pil(tmp_path / "a.png", PILImage.new("L", (9, 9))), Path("a.png")), tmp_path / "a_x2.png")]
    monkeypatch.setattr("restore.restore.tell_time", Mock(side_effect=KeyboardInterrupt))
    outcome = restore_all(planned, bicubic, CPU, OutputOptions())
    assert outcome.interruption is not None and not outcome.done


STOPPED = """
import signal, sys
import test
from utils.image.writer import PILImage

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start what runs behind it with SIGINT ignored
number, *words = sys.argv[1:]
numbers = iter([None, int(number)])
write = PILImage.Image.save

def stopped(*args, **options):
    write(*args, **options)
    if sent := next(numbers):
        signal.raise_signal(sent)

PILImage.Image.save = stopped
sys.exit(test.main(words))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_ends_with_the_summary(tmp_path, number, code):
    """Sent before the second result has its name; in a process of its own, where the signals are nobody else's."""
    paths = [save_pil(tmp_path / f"{name}.png", PILImage.new("L", (9, 9))) for name in "abc"]
    words = ["--model", "bicubic", "--cpu", "--dir_demo", *paths, "--results", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, str(int(number)), *words], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code
    assert "1 upscaled, 0 kept, 0 failed" in done.stdout
    assert names(tmp_path / "out") == ["a_x2.png"]


def test_names_that_are_no_text_do_not_cost_the_summary(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / os.fsdecode(b"in/\xff.png")).write_text("these are words")
    words = ["--model", "bicubic", "--cpu", "--dir_demo", tmp_path / "in", "--results", tmp_path / "out"]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(
        [sys.executable, "test.py", *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1 and "0 upscaled, 0 kept, 1 failed" in done.stdout
    assert "in/\\udcff.png: not an image" in done.stdout


def test_the_summary_counts():
    outcome = Outcome(done=[Path("a")], kept=[Path("b")], failed=["cannot read c: the file is empty"], seconds=130)
    lines = outcome.summary(Path("out")).splitlines()
    assert lines[0] == "1 upscaled, 1 kept, 1 failed, in 2 min"
    assert "--overwrite" in lines[1] and lines[2] == "failed: cannot read c: the file is empty"


def test_the_time_left_is_told_by_the_tiles_done():
    assert time_left(30, 3, 9) == "about 60 s left"
    assert time_left(600, 1, 3) == "about 20 min left"
    assert time_left(5, 0, 9) == time_left(5, 9, 9) == ""


def test_the_time_is_told_before_starting_where_it_is_long(tmp_path, caplog, monkeypatch):
    path = save_pil(tmp_path / "large.png", PILImage.new("L", (1000, 1000)))
    small = save_pil(tmp_path / "small.png", PILImage.new("L", (50, 50)))
    upscaler = Upscaler(create_model("CDSR_S", 2).eval())
    monkeypatch.setattr("restore.duration.seconds_per_pixel", lambda upscaler, device: 2e-4)
    with caplog.at_level("INFO", logger="cdsr"):
        assert tell_time([small], upscaler, CPU) == 0
        assert not caplog.records
        assert tell_time([path, small, tmp_path / "missing.png"], upscaler, CPU) == pytest.approx(200.5)
    assert "1.0 megapixels will take about 3 min" in caplog.text
    assert tell_time([path], upscaler, torch.device("cuda")) == 0


def test_options_of_tiles_and_results(capsys):
    assert parse_options([]).tile == 0
    assert parse_options(["--dir_demo", "a", "b"]).tile == "auto"
    assert parse_options(["--dir_demo", "a", "--tile", "0"]).tile == 0
    assert parse_options(["--tile", "192"]).tile == 192
    for line, message in (
        ("--tile 8", "too small for a tile"),
        ("--tile some", "'some' is no int"),
        ("--suffix a/b", "has a path in it"),
        ("--dir_demo a --suffix=", "give --results"),
        ("--quality 0", r"outside \[1, 100\]"),
    ):
        with pytest.raises(SystemExit):
            parse_options(line.split())
        assert message.replace("\\", "") in capsys.readouterr().err


def test_shipped_weights_are_chosen_by_name(tmp_path, monkeypatch, capsys, caplog):
    """Without --pre_train: those of the model and scale; and another model's where it has none, which is said."""
    shipped = tmp_path / "cdsr_s_x2.safetensors"
    save_model(create_model("CDSR_S", 2), shipped, {})
    monkeypatch.setattr("model.pretrained.FOLDER", tmp_path)
    image = save_pil(tmp_path / "a.png", PILImage.new("L", (20, 20), 90))
    words = ["--cpu", "--dir_demo", str(image), "--results", str(tmp_path / "out")]
    assert command_line.main(words) == 0
    assert "no weights are shipped for CDSR x2: taking CDSR_S" in caplog.text
    assert str(shipped) in caplog.text
    assert "noise" not in caplog.text
    assert command_line.main([*words, "--noise", "5", "--overwrite"]) == 0
    assert "no weights for noise of 5 are shipped for CDSR_S x2: taking cdsr_s_x2.safetensors" in caplog.text
    assert command_line.main([*words, "--scale", "4"]) == 1
    assert "no weights are shipped for CDSR x4" in caplog.text


def test_own_images_take_the_weights_for_real_images(tmp_path, monkeypatch, caplog):
    """Test sets take those for blur, unless the protocol is real, and so does a scale that has no others."""
    monkeypatch.setattr("model.pretrained.FOLDER", tmp_path)
    for name in ("cdsr_s_x2", "cdsr_s_x3", "cdsr_s_x3_real", "cdsr_s_x4", "cdsr_s_x4_real", "cdsr_s_x4_noise15"):
        save_model(create_model("CDSR_S", int(name[8])), tmp_path / f"{name}.safetensors", {})

    def taken(*words: str) -> str:
        args = parse_options(["--model", "CDSR_S", "--cpu", *words])
        return command_line.build_upscaler(args, CPU)[1]["file"]

    own = ["--dir_demo", "a.png", "--scale"]
    assert taken(*own, "4") == "cdsr_s_x4_real.safetensors"
    assert taken(*own, "4", "--blur_only") == "cdsr_s_x4.safetensors"
    assert taken(*own, "4", "--noise", "10") == "cdsr_s_x4_noise15.safetensors"
    assert "noise of 10" not in caplog.text
    assert taken(*own, "4", "--noise", "20") == "cdsr_s_x4_noise15.safetensors"
    assert taken(*own, "3", "--noise", "5") == "cdsr_s_x3_real.safetensors"  # which know noise, too
    for said in (
        "20 are shipped for CDSR_S x4: taking cdsr_s_x4_noise15",
        "5 are shipped for CDSR_S x3: taking cdsr_s",
    ):
        assert f"no weights for noise of {said}" in caplog.text
    assert taken(*own, "2") == "cdsr_s_x2.safetensors"
    assert taken("--scale", "4") == "cdsr_s_x4.safetensors"
    assert taken("--scale", "4", "--protocol", "real") == "cdsr_s_x4_real.safetensors"
    assert taken("--scale", "4", "--protocol", "real", "--blur_only") == "cdsr_s_x4.safetensors"
    centred = [
        command_line.build_upscaler(parse_options(["--model", "CDSR_S", "--cpu", *words]), CPU)[0].centred
        for words in (
            ["--protocol", "real"],
            ["--dir_demo", "a.png"],
            ["--protocol", "cdsr"],
            ["--protocol", "dasr-iso"],
        )
    ]
    assert centred == [True, True, False, False]
    args = parse_options(["--model", "CDSR", *own, "4", "--cpu"])
    assert command_line.build_upscaler(args, CPU)[1]["file"] == "cdsr_s_x4_real.safetensors"
    assert "no weights are shipped for CDSR x4: taking CDSR_S" in caplog.text
    with pytest.raises(SystemExit):
        parse_options(["--blur_only", "--pre_train", "x.pt", "--dir_demo", "a.png"])


def test_shipped_weights_are_chosen_by_noise(tmp_path, monkeypatch):
    """The weakest noise that covers what is asked; else the strongest; without noise, the weights for none."""
    monkeypatch.setattr("model.pretrained.FOLDER", tmp_path)
    assert pretrained_path("CDSR", 4, 15).name == "cdsr_x4.safetensors"
    for level in ("15", "5", "50"):
        (tmp_path / f"cdsr_x4_noise{level}.safetensors").touch()
    chosen = {noise: pretrained_path("CDSR", 4, noise).stem for noise in (0, 0.5, 5, 10, 15, 49.5, 80)}
    levels = {0.5: 5, 5: 5, 10: 15, 15: 15, 49.5: 50, 80: 50}
    assert chosen == {0: "cdsr_x4"} | {noise: f"cdsr_x4_noise{level}" for noise, level in levels.items()}
    assert pretrained_path("CDSR", 2, 15).name == "cdsr_x2.safetensors"
    assert pretrained_path("CDSR_S", 4, 15).name == "cdsr_s_x4.safetensors"


def test_what_ships_is_known_by_its_names(tmp_path, monkeypatch):
    monkeypatch.setattr("model.pretrained.FOLDER", tmp_path)
    for name in ("cdsr_x4_real", "cdsr_x4_noise50", "cdsr_x4", "cdsr_x4_noise7.5", "cdsr_x4_mine", "cdsr_s_x4"):
        (tmp_path / f"{name}.safetensors").touch()
    found = [(path.stem.partition("x4")[2], noise, real) for path, noise, real in shipped("CDSR", 4)]
    assert found == [("", 0, False), ("_noise7.5", 7.5, False), ("_noise50", 50, False), ("_real", 0, True)]
    with pytest.raises(ValueError, match=r"cdsr_x4_mine\.safetensors is not named NAME_xSCALE, "):
        read_name(tmp_path / "cdsr_x4_mine.safetensors")


def test_write_read_of_upscaled_metadata(tmp_path, bicubic):
    path = tmp_path / "a.jpg"
    write_image(path, Image(random_pixels(3, 8), icc_profile=SRGB, exif=exif_of()))
    assert demo(path, results=tmp_path / "out") == 0
    result = read_image(tmp_path / "out/a_x2.jpg")
    exif = PILImage.Exif()
    exif.load(result.exif)
    assert result.icc_profile == SRGB
    assert exif.get_ifd(0x8769)[0xA002] == 44  # the new width
