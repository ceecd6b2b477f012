"""Images: found in natural order, read as 8-bit RGB whatever their kind, refused when broken, written whole."""

import logging
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, features

from tests.support.images import save_pil
from utils.image import ImageError, list_images, read_rgb, read_size, to_tensor, to_uint8, write_image


@pytest.fixture(autouse=True)
def nothing_warned(monkeypatch):
    monkeypatch.setattr("utils.image.reader._warned", set())


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (13, 22, 3), dtype=np.uint8)


@pytest.fixture
def deep() -> np.ndarray:
    """16-bit colour."""
    return np.random.default_rng(1).integers(0, 65536, (13, 22, 3), dtype=np.uint16)


def rounded(deep: np.ndarray) -> np.ndarray:
    return np.floor(deep / 257 + 0.5).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".webp", ".bmp", ".tif", ".tiff"])
def test_lossless_formats_give_back_every_pixel(tmp_path, image, suffix):
    path = tmp_path / f"image{suffix}"
    write_image(path, image)
    assert np.array_equal(read_rgb(path), image)
    assert read_size(path) == (13, 22)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]  # no temporary file stays


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".avif"])
def test_lossy_formats_are_close(tmp_path, suffix):
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None, None] * 3, (64, 48, 3)).copy()
    write_image(tmp_path / f"ramp{suffix}", ramp)
    assert np.abs(read_rgb(tmp_path / f"ramp{suffix}").astype(int) - ramp).max() <= 4
    assert read_size(tmp_path / f"ramp{suffix}") == (64, 48)


def test_paths_in_any_script(tmp_path, image, deep):
    for name in ("写真 été.png", "фото.webp", "صورة.tiff"):
        write_image(tmp_path / "مجلد" / name, image)
        assert np.array_equal(read_rgb(tmp_path / "مجلد" / name), image)
    (tmp_path / "深い.png").write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    assert np.array_equal(read_rgb(tmp_path / "深い.png"), rounded(deep)[..., ::-1])


def test_kinds_are_converted_with_one_warning_each(tmp_path, image, caplog):
    grey = image[..., 0]
    rgb = Image.fromarray(image)
    alpha = Image.fromarray(np.dstack([image, grey]))
    palette = rgb.quantize(16)
    test_kernels = [
        ("grey", Image.fromarray(grey), np.dstack([grey] * 3)),
        ("alpha", alpha, image),
        ("palette", palette, np.asarray(palette.convert("RGB"))),
    ]
    for kind, image, expected in test_kernels:
        for copy in (1, 2):
            path = save_pil(tmp_path / f"{kind}{copy}.png", image)
            assert np.array_equal(read_rgb(path), expected)
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 3
    assert all(
        kind in warning and f"{kind}1" in warning for (kind, *_), warning in zip(test_kernels, warnings, strict=True)
    )
    bilevel = save_pil(tmp_path / "bilevel.png", Image.fromarray(grey > 127))
    assert np.array_equal(read_rgb(bilevel), np.dstack([np.where(grey > 127, 255, 0)] * 3))
    both = save_pil(tmp_path / "both.png", Image.fromarray(np.dstack([grey, grey])))
    assert np.array_equal(read_rgb(both), np.dstack([grey] * 3))
    assert len(caplog.records) == 3


def test_a_bmp_of_16_bits_a_pixel_has_8_bits_a_sample(tmp_path, caplog):
    """Of 5, 6 and 5 bits for red, green and blue."""
    header = struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, 16, 3, 4, 0, 0, 0, 0) + struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    pixels = struct.pack("<HH", 0xF800, 0x7E0)
    (tmp_path / "a.bmp").write_bytes(struct.pack("<2sIHHI", b"BM", 70, 0, 0, 66) + header + pixels)
    assert read_rgb(tmp_path / "a.bmp").tolist() == [[[255, 0, 0], [0, 255, 0]]]
    assert not caplog.records


def test_cmyk_is_converted(tmp_path, caplog):
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[..., 0] = 255  # cyan alone
    path = save_pil(tmp_path / "ink.tif", Image.fromarray(ink, "CMYK"))
    assert np.array_equal(read_rgb(path)[0, 0], [0, 255, 255])
    assert "CMYK" in caplog.text


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bits_are_rounded_not_cut(tmp_path, deep, suffix, caplog):
    alpha = np.dstack([deep[..., ::-1], deep[..., :1]])
    for name, stored, expected in (
        ("colour", deep[..., ::-1], rounded(deep)),  # OpenCV stores BGR
        ("alpha", alpha, rounded(deep)),
        ("grey", deep[..., 0], np.dstack([rounded(deep[..., 0])] * 3)),
    ):
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(cv2.imencode(suffix, stored)[1].tobytes())
        assert np.array_equal(read_rgb(path), expected), name
        assert read_size(path) == (13, 22)
    assert caplog.text.count("16-bit") == 1


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:16, :16] = 255  # the first rows and columns of the file
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = save_pil(tmp_path / f"turned{suffix}", Image.fromarray(stored), exif=exif)
    # By the standard: where the first row and the first column of the file are seen.
    rows, columns = {
        1: ("top", "left"),
        2: ("top", "right"),
        3: ("bottom", "right"),
        4: ("bottom", "left"),
        5: ("left", "top"),
        6: ("right", "top"),
        7: ("right", "bottom"),
        8: ("left", "bottom"),
    }[orientation]
    seen = read_rgb(path)
    assert seen.shape[:2] == read_size(path) == ((48, 32) if orientation > 4 else (32, 48))
    corner_y = slice(0, 16) if "top" in (rows, columns) else slice(-16, None)
    corner_x = slice(0, 16) if "left" in (rows, columns) else slice(-16, None)
    assert seen[corner_y, corner_x].mean() > 250
    assert seen.mean() < 60


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_exif_orientation_of_16_bits(tmp_path, deep, suffix):
    content = cv2.imencode(suffix, deep[..., ::-1])[1].tobytes()
    path = tmp_path / f"deep{suffix}"
    if suffix == ".png":  # an eXIf chunk before the pixels, which begin at byte 33 or later
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6
        body = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        path.write_bytes(content[:33] + chunk + content[33:])
    else:
        tifffile = pytest.importorskip("tifffile")
        tifffile.imwrite(path, deep, photometric="rgb", extratags=[(274, "H", 1, 6, True)])
    assert np.array_equal(read_rgb(path), np.rot90(rounded(deep), -1))
    assert read_size(path) == (22, 13)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif", ".avif"])
def test_empty_truncated_and_fake_files_name_themselves(tmp_path, suffix):
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    noise = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    write_image(tmp_path / f"good{suffix}", noise)
    content = (tmp_path / f"good{suffix}").read_bytes()
    for name, broken, cause in (
        ("empty", b"", "the file is empty"),
        ("half", content[: len(content) // 2], "."),
        ("header", content[:40], "."),
        ("fake", b"<html>404 Not Found</html>" * 20, "not an image"),
    ):
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(broken)
        with pytest.raises(ImageError, match=f"cannot read .*{name}{suffix}: {cause}") as error:
            read_rgb(path)
        assert isinstance(error.value, ValueError)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_truncated_16_bits_are_refused(tmp_path, deep, suffix):
    """OpenCV alone would return the part that is there."""
    content = cv2.imencode(suffix, np.tile(deep, (9, 9, 1)))[1].tobytes()
    for part in (0.3, 0.6, 0.9):
        path = tmp_path / f"{part}{suffix}"
        path.write_bytes(content[: int(len(content) * part)])
        with pytest.raises(ImageError, match=path.name):
            read_rgb(path)


def test_missing_file_folder_and_floats_are_refused(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.png: no such file"):
        read_rgb(tmp_path / "gone.png")
    with pytest.raises(ImageError, match=str(tmp_path)):
        read_rgb(tmp_path)
    save_pil(tmp_path / "float.tif", Image.fromarray(np.ones((8, 8), np.float32)))
    with pytest.raises(ImageError, match="neither 8 nor 16 bits"):
        read_rgb(tmp_path / "float.tif")


def test_decompression_bomb_is_refused_before_decoding(tmp_path):
    size = 30_000

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(content)
    for reader in (read_rgb, read_size):
        with pytest.raises(ImageError, match=r"bomb\.png: 30000x30000 pixels are more"):
            reader(tmp_path / "bomb.png")


def test_listing_is_natural_and_leaves_out_the_rest(tmp_path):
    for name in ("img10.png", "img2.PNG", "Img1.jpg", ".hidden.png", "notes.txt", "b/x.webp", ".cache/y.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    os.symlink(tmp_path, tmp_path / "b" / "loop")
    assert [path.name for path in list_images(tmp_path)] == ["Img1.jpg", "img2.PNG", "img10.png"]
    everything = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path, recursive=True)]
    assert everything == ["b/x.webp", "Img1.jpg", "img2.PNG", "img10.png"]
    with pytest.raises(ValueError, match="missing"):
        list_images(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="a file"):
        list_images(tmp_path / "notes.txt")


def test_linked_folders_are_looked_into(tmp_path, image):
    write_image(tmp_path / "elsewhere" / "a.png", image)
    (tmp_path / "set").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "set" / "HR")
    assert list_images(tmp_path / "set", recursive=True) == [tmp_path / "set" / "HR" / "a.png"]


def test_writing_refuses_what_is_no_image(tmp_path, image):
    for bad in (image.astype(np.float32), image[..., 0], image[None]):
        with pytest.raises(ValueError, match=r"expected \(H, W, 3\) uint8"):
            write_image(tmp_path / "a.png", bad)
    with pytest.raises(ValueError, match="suffix"):
        write_image(tmp_path / "a.gif", image)
    assert not list(tmp_path.iterdir())


def test_failed_write_keeps_the_old_file(tmp_path, image, monkeypatch):
    write_image(tmp_path / "a.png", image)

    def full(self, file, **options):
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space"):
        write_image(tmp_path / "a.png", 255 - image)
    assert np.array_equal(read_rgb(tmp_path / "a.png"), image)
    assert len(list(tmp_path.iterdir())) == 1


def test_tensors_and_back(image):
    tensor = to_tensor(image)
    assert tensor.shape == (3, 13, 22) and tensor.dtype == torch.float32
    assert tensor[2, 5, 7] == image[5, 7, 2]
    assert np.array_equal(to_uint8(tensor), image)
    odd = torch.tensor([-3.0, 0.49, 0.51, 254.6, 300.0]).expand(3, 1, 5)
    assert np.array_equal(to_uint8(odd)[0, :, 0], [0, 0, 1, 255, 255])
    assert to_uint8(tensor.to(torch.bfloat16)).shape == (13, 22, 3)


def test_messages_go_to_the_log_of_the_project(tmp_path, image, caplog):
    with caplog.at_level(logging.WARNING, logger="cdsr"):
        read_rgb(save_pil(tmp_path / "grey.png", Image.fromarray(image[..., 0])))
    assert caplog.records[0].name == "cdsr"


def test_a_name_may_be_as_long_as_the_file_system_has_it(tmp_path):
    path = tmp_path / ("n" * 251 + ".png")
    write_image(path, np.zeros((9, 9, 3), np.uint8))
    assert read_rgb(path).shape == (9, 9, 3)
