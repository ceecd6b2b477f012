"""Images with all they have: read, written, read again; broken ones refused; thousands of damaged ones survived."""

import io
import itertools
import struct
import time
import tracemalloc
import warnings
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, features
from PIL import Image as PILImage
from PIL.PngImagePlugin import putchunk

from option import FORMATS
from restore.plan import losses, suffix_for
from restore.transparency import bleed, enlarge_alpha
from tests.support.images import SRGB, exif_of, random_pixels, save_pil
from utils.image import (
    FILE_FORMATS,
    Image,
    ImageError,
    count_pixels,
    format_of,
    read_image,
    read_rgb,
    read_size,
    write_image,
    writer,
)

LOSSLESS = ("PNG", "TIFF")
FORMATS_BY_NAME = {file_format.name: file_format for file_format in FILE_FORMATS}


@pytest.mark.parametrize(
    ("bits", "channels", "file_format"), list(itertools.product((8, 16), (1, 2, 3, 4), (*LOSSLESS, "BMP", "WEBP")))
)
def test_lossless_formats_keep_pixels_and_kind(tmp_path, bits, channels, file_format):
    holds = FORMATS_BY_NAME[file_format]
    if (channels in (2, 4) and not holds.alpha) or (bits == 16 and not holds.deep):
        pytest.skip("the format has no such kind")
    image = Image(random_pixels(channels, bits))
    if channels in (2, 4):
        image.pixels[:3, :, -1] = 0  # under which colour stays, too
    path = tmp_path / f"a{holds.suffixes[0]}"
    write_image(path, image, quality=100)
    again = read_image(path)
    expected = image.pixels
    if (channels < 3 and file_format == "WEBP") or (channels == 2 and bits == 16 and file_format == "TIFF"):
        expected = expected[:, :, [0, 0, 0, 1][: channels + 2]]  # these know no grey
    assert np.array_equal(again.pixels, expected) and again.pixels.dtype == expected.dtype
    assert count_pixels(path) == 13 * 22
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("file_format", [name for name, holds in FORMATS_BY_NAME.items() if holds.metadata])
def test_profile_and_metadata_are_kept(tmp_path, file_format, bits):
    if file_format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    image = Image(
        random_pixels(3, bits),
        icc_profile=SRGB,
        exif=exif_of(),
        xmp=b"<x:xmpmeta/>",
        text={"Title": "été"},
        dpi=(300, 72),
    )
    path = tmp_path / f"a{FORMATS_BY_NAME[file_format].suffixes[0]}"
    write_image(path, image)
    again = read_image(path)
    assert again.icc_profile == SRGB
    assert again.xmp.startswith(b"<x:xmpmeta/>")
    exif = PILImage.Exif()
    exif.load(again.exif)
    assert exif[ExifTags.Base.Make] == "Maker"
    if not (file_format == "TIFF" and bits == 16):  # its camera tags are lost, as the documentation says
        assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] == 400
        assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExifImageWidth] == 22
    if file_format == "PNG":
        assert again.text == {"Title": "été"}
    if file_format in ("PNG", "JPEG", "TIFF"):
        assert again.dpi == pytest.approx((300, 72), abs=0.1)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(tmp_path, orientation, suffix):
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:8, :24] = 255
    path = save_pil(tmp_path / f"turned{suffix}", PILImage.fromarray(stored), exif=exif_of(orientation))
    image = read_image(path)
    assert np.array_equal(image.pixels, read_rgb(path))
    write_image(tmp_path / "again.png", image)
    assert np.array_equal(read_image(tmp_path / "again.png").pixels, image.pixels)


def test_kinds_of_files(tmp_path):
    rgb = random_pixels(3, 8)
    grey = rgb[:, :, 0]
    palette = PILImage.fromarray(rgb).quantize(8)
    transparent = palette.copy()
    transparent.info["transparency"] = 3
    for name, image, expected in (
        ("grey", PILImage.fromarray(grey), grey[:, :, None]),
        ("bilevel", PILImage.fromarray(grey > 127), np.where(grey > 127, 255, 0)[:, :, None]),
        ("palette", palette, np.asarray(palette.convert("RGB"))),
        ("transparent", transparent, np.asarray(transparent.convert("RGBA"))),
    ):
        pixels = read_image(save_pil(tmp_path / f"{name}.png", image)).pixels
        assert np.array_equal(pixels, expected), name
    frames = [PILImage.fromarray(rgb[:, :, 0]), PILImage.fromarray(255 - rgb[:, :, 0])]
    path = tmp_path / "moving.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert read_image(path).pixels.shape[:2] == (13, 22)
    big_endian = tmp_path / "be.png"
    big_endian.write_bytes(cv2.imencode(".png", random_pixels(1, 16))[1].tobytes())
    assert np.array_equal(read_image(big_endian).pixels, random_pixels(1, 16))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_rgb_is_a_view_of_the_whole_image(tmp_path, channels, bits):
    write_image(tmp_path / "a.png", Image(random_pixels(channels, bits)))
    colour = random_pixels(channels, bits)[:, :, : 1 if channels < 3 else 3]
    expected = np.broadcast_to(np.floor(colour / (1 if bits == 8 else 257) + 0.5), (13, 22, 3))
    assert np.array_equal(read_image(tmp_path / "a.png").rgb, expected)
    assert np.array_equal(read_rgb(tmp_path / "a.png"), expected)


def test_an_animation_gives_its_first_frame_and_a_warning(tmp_path, caplog):
    frames = [PILImage.new("RGB", (20, 10), colour) for colour in ("red", "green", "blue")]
    path = tmp_path / "moving.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert np.array_equal(read_image(path).pixels[3, 3], [255, 0, 0])
    assert "3 frames, the first is taken" in caplog.text


def test_cmyk_becomes_srgb_and_drops_its_profile(tmp_path):
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[..., 0] = 255
    path = save_pil(tmp_path / "ink.jpg", PILImage.fromarray(ink, "CMYK"), icc_profile=b"no profile at all")
    image = read_image(path)
    assert image.pixels.shape == (16, 16, 3) and image.icc_profile == b""
    assert image.pixels[0, 0, 0] < 20 < image.pixels[0, 0, 2]


def test_opencv_s_lack_of_memory_says_nothing_of_the_file(tmp_path, monkeypatch):
    write_image(tmp_path / "a.png", Image(random_pixels(3, 16)))
    lack = cv2.error("(-4:Insufficient memory) Failed to allocate 4000000000 bytes in function 'OutOfMemoryError'")
    lack.code = cv2.Error.StsNoMem
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: (_ for _ in ()).throw(lack))
    with pytest.raises(MemoryError):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("written", [b'tiff:Orientation="6"', b"tiff:Orientation='6'", b"<tiff:Orientation>6<"])
def test_orientation_in_xmp_is_that_of_the_turned_pixels(tmp_path, written):
    write_image(tmp_path / "a.png", Image(random_pixels(3, 8), xmp=b"<x " + written + b"/>"))
    assert read_image(tmp_path / "a.png").xmp == b"<x " + written.replace(b"6", b"1") + b"/>"


def test_alpha_goes_where_it_fits_and_else_onto_white(tmp_path):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, 4:, 3] = 255
    image = Image(pixels)
    assert losses(image, FORMATS_BY_NAME["JPEG"], height=8, width=8, num_bits=8) == ["no alpha: laid on white"]
    assert losses(image, FORMATS_BY_NAME["WEBP"], height=8, width=8, num_bits=16) == ["8 bits alone: rounded"]
    write_image(tmp_path / "a.bmp", image)
    assert np.array_equal(read_image(tmp_path / "a.bmp").pixels[0, :, 0], [255] * 4 + [0] * 4)
    for name, height, width, message in (
        ("WEBP", 16_384, 3, "WEBP holds at most 16383 pixels a side, not 3x16384; give --format png"),
        ("AVIF", 32_769, 16, "AVIF holds at most 32768 pixels a side and 268 megapixels, not 16x32769"),
        ("AVIF", 16_385, 16_384, "AVIF holds at most 32768 pixels a side and 268 megapixels, not 16384x16385"),
    ):
        with pytest.raises(ValueError, match=message):
            losses(image, FORMATS_BY_NAME[name], height=height, width=width, num_bits=8)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_that_could_outgrow_32_bit_offsets_has_64(tmp_path, monkeypatch, bits):
    """Of a few bytes here, as if they were 4 GiB."""
    image = Image(random_pixels(4, bits), exif=exif_of())
    for limit, version in ((2**32 - 2**25, 42), (0, 43)):
        monkeypatch.setattr(writer, "_TIFF_BYTES", limit)
        write_image(tmp_path / "a.tif", image)
        assert (tmp_path / "a.tif").read_bytes()[2] == version
        assert np.array_equal(read_image(tmp_path / "a.tif").pixels, image.pixels)


def test_formats_by_name():
    own = [suffix_for("auto", Path(name)) for name in ("a.gif", "a.JPEG", "a.tiff", "a", "a.b")]
    assert own == [".png", ".JPEG", ".tiff", ".png", ".png"]
    assert [suffix_for(name, Path("a.gif")) for name in FORMATS[1:]] == [f".{name}" for name in FORMATS[1:]]
    names = [format_of(Path(f"a.{name}")).name for name in (*FORMATS[1:], "JPEG", "tiff")]
    assert names == ["PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "JPEG", "TIFF"]


def test_metadata_that_does_not_fit_costs_the_metadata_alone(tmp_path, caplog):
    whole = Image(random_pixels(3, 8), SRGB, exif_of(), b"<x/>", dpi=(300, 300))
    long, broken = b"<x>" + b" " * 70_000, b"Exif\0\0 this is no EXIF"
    for given, lost in (
        ({"xmp": long}, ["XMP"]),
        ({"exif": broken}, ["EXIF"]),
        ({"xmp": long, "exif": broken}, ["XMP", "EXIF"]),
    ):
        write_image(tmp_path / "a.jpg", replace(whole, **given))
        assert f"left out, as JPEG cannot take them: {', '.join(lost)} (" in caplog.text
        again = read_image(tmp_path / "a.jpg")
        kept = [bool(part) for part in (again.xmp, again.exif, again.icc_profile)]
        assert kept == [name not in lost for name in ("XMP", "EXIF", "colour profile")]
        caplog.clear()


def test_a_profile_that_is_refused_costs_no_pixels(tmp_path, caplog, monkeypatch):
    def refuse(path: Path, image: Image, *others: object) -> None:
        if image.icc_profile:
            raise ValueError("an odd profile")
        write(path, image, *others)

    write = writer._write
    monkeypatch.setattr(writer, "_write", refuse)
    write_image(tmp_path / "a.png", Image(random_pixels(3, 8), SRGB, exif_of()))
    assert "left out, as PNG cannot take them: EXIF, colour profile (an odd profile)" in caplog.text
    assert np.array_equal(read_image(tmp_path / "a.png").pixels, random_pixels(3, 8))
    monkeypatch.setattr(writer, "_write", lambda *_: write_image("a", Image(random_pixels(3, 8))))
    with pytest.raises(ValueError, match=r"cannot write .*a\.png: "):
        write_image(tmp_path / "a.png", Image(random_pixels(3, 8)))


@pytest.mark.parametrize(("suffix", "bits"), [(".webp", 8), (".avif", 8), (".tif", 16), (".png", 16), (".tif", 8)])
def test_a_profile_of_grey_goes_where_grey_is_stored_as_rgb(tmp_path, caplog, suffix, bits):
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    profile = SRGB[:16] + b"GRAY" + SRGB[20:]
    write_image(tmp_path / f"a{suffix}", Image(random_pixels(2, bits), profile))
    again = read_image(tmp_path / f"a{suffix}")
    is_rgb = again.pixels.shape[2] == 4
    assert is_rgb == (suffix != ".png" and (suffix, bits) != (".tif", 8))
    assert again.icc_profile == (b"" if is_rgb else profile)
    assert ("its colour profile is of grey and left out" in caplog.text) == is_rgb


def test_colour_bleeds_under_what_is_transparent():
    colour = np.zeros((40, 60, 3), np.uint8)
    alpha = np.zeros((40, 60), np.uint8)
    colour[10:20, 10:20] = (200, 100, 50)
    alpha[10:20, 10:20] = 255
    colour[12, 12] = (1, 2, 3)
    filled = bleed(colour, alpha)
    assert np.array_equal(filled[alpha > 0], colour[alpha > 0])
    np.testing.assert_allclose(filled[15:20, 20:30], np.broadcast_to([200.0, 100, 50], (5, 10, 3)), atol=8)
    assert filled[alpha == 0].min() > 40  # no black is left to grow into the edges
    assert np.array_equal(bleed(colour, np.zeros_like(alpha)), colour)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [2, 4])
def test_what_lies_on_a_background_is_the_same_and_takes_little_memory(channels, bits):
    image = Image(random_pixels(channels, bits, 500, 300))
    opacity = image.pixels[:, :, -1:].astype(np.float32) / image.top
    expected = (image.colour * opacity + 0.9 * image.top * (1 - opacity)).round()
    tracemalloc.start()
    flat = image.flatten(0.9).pixels
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.array_equal(flat, expected) and flat.dtype == image.pixels.dtype
    assert peak < 3.5 * image.pixels.nbytes


@pytest.mark.parametrize("channels", [1, 4])
def test_16_bit_png_is_written_in_parts_and_little_memory(tmp_path, channels):
    image = Image(random_pixels(channels, 16, 2000, 300))
    tracemalloc.start()
    write_image(tmp_path / "a.png", image)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < image.pixels.nbytes / 2
    assert (tmp_path / "a.png").read_bytes().count(b"IDAT") > 10
    assert np.array_equal(read_image(tmp_path / "a.png").pixels, image.pixels)


def test_enlarged_alpha_is_cut_at_its_ends_and_takes_little_memory():
    alpha = random_pixels(1, 8, 300, 200)[:, :, 0]
    tracemalloc.start()
    larger = enlarge_alpha(alpha, (900, 600), np.dtype(np.uint16))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    plain = cv2.resize(alpha.astype(np.float32), (600, 900), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(larger, (plain * 257).round().clip(0, 65535))
    assert peak < 8 * larger.size  # bytes


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "the file is empty"),
        (b"just some words\n" * 50, "not an image"),
        (b"\x89PNG\r\n\x1a\n", r"."),
        (b"GIF89a" + bytes(40), r"."),
    ],
)
def test_what_is_no_image_is_refused(tmp_path, content, cause):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for reader in (read_image, count_pixels):
        if reader is count_pixels and content.startswith(b"GIF"):
            continue
        with pytest.raises(ImageError, match=rf"cannot read .*a\.png: {cause}"):
            reader(path)


def test_the_limit_of_pixels_can_be_moved(tmp_path):
    path = save_pil(tmp_path / "a.png", PILImage.new("L", (100, 100)))
    assert read_image(path, max_pixels=10_000).pixels.shape == (100, 100, 1)
    with pytest.raises(ImageError, match="100x100 pixels are more than the 9999 allowed"):
        read_image(path, max_pixels=9999)


def seeds_of_fuzz() -> list[bytes]:
    """Small files of every kind."""
    files = []
    for channels, bits, file_format in (
        *((channels, 8, name) for channels in (1, 3, 4) for name in ("PNG", "TIFF")),
        *((channels, 16, name) for channels in (2, 3) for name in ("PNG", "TIFF")),
        *((3, 8, name) for name in ("JPEG", "WEBP", "BMP", *(["AVIF"] if features.check("avif") else []))),
    ):
        path = Path(f"fuzz{FORMATS_BY_NAME[file_format].suffixes[0]}")
        image = Image(random_pixels(channels, bits, 9, 11), icc_profile=SRGB[:300], exif=exif_of(6), xmp=b"<x/>")
        write_image(path, image)
        files.append(path.read_bytes())
    for opened, file_format in ((PILImage.new("P", (9, 7)), "GIF"), (PILImage.new("CMYK", (9, 7)), "JPEG")):
        buffer = io.BytesIO()
        opened.save(buffer, format=file_format)
        files.append(buffer.getvalue())
    return files


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_16_bit_tiff_stored_channel_by_channel_is_refused(tmp_path, compression):
    planes = random_pixels(3, 16).transpose(2, 0, 1)
    for bits, stored in ((16, planes), (8, (planes >> 8).astype(np.uint8))):
        path = tmp_path / f"{bits}.tif"
        tifffile.imwrite(path, stored, photometric="rgb", planarconfig="separate", compression=compression)
    with pytest.raises(ImageError, match="channel by channel"):
        read_image(tmp_path / "16.tif")
    assert np.array_equal(read_image(tmp_path / "8.tif").pixels, (planes >> 8).transpose(1, 2, 0))


def test_16_bit_tiff_may_have_0_for_white(tmp_path):
    pixels = random_pixels(1, 16)
    tifffile.imwrite(tmp_path / "a.tif", pixels[:, :, 0], photometric="miniswhite")
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, 65535 - pixels)


def test_a_transparent_level_of_16_bit_grey_is_alpha(tmp_path):
    pixels = random_pixels(1, 16)
    PILImage.fromarray(pixels[:, :, 0]).save(tmp_path / "a.png", transparency=int(pixels[3, 4, 0]))
    image = read_image(tmp_path / "a.png").pixels
    assert image.dtype == np.uint16 and np.array_equal(image[:, :, :1], pixels)
    assert np.array_equal(image[:, :, 1:], np.where(pixels == pixels[3, 4], 0, 65535))


@pytest.mark.parametrize(
    ("fourth", "expected"),
    [
        ("assocalpha", [39999, 20000, 0, 32768]),  # colours are stored times alpha
        ("unassalpha", [20000, 10000, 0, 32768]),
        ("unspecified", [20000, 10000, 0]),
    ],
)
def test_the_fourth_channel_of_16_bit_tiff_is_what_the_file_says(tmp_path, fourth, expected):
    pixels = np.full((9, 9, 4), (20000, 10000, 0, 32768), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=[fourth])
    assert read_image(tmp_path / "a.tif").pixels[0, 0].tolist() == expected


def test_metadata_that_are_too_long_do_not_cost_the_colours(tmp_path):
    write_image(tmp_path / "a.jpg", Image(random_pixels(3, 8), SRGB, xmp=b"<x>" + b" " * 70_000))
    assert read_image(tmp_path / "a.jpg").icc_profile == SRGB


@pytest.mark.parametrize("bits", [8, 16])
def test_what_the_colours_of_a_png_are_is_kept(tmp_path, bits):
    chunks = {
        b"gAMA": struct.pack(">I", 100_000),
        b"cHRM": struct.pack(">8I", *range(8)),
        b"cICP": bytes((9, 16, 0, 1)),
    }
    for kept in (chunks, {b"sRGB": b"\1"}):
        write_image(tmp_path / "a.png", Image(random_pixels(3, bits), colour_chunks=kept))
        assert all(name + content in (tmp_path / "a.png").read_bytes() for name, content in kept.items())
        assert read_image(tmp_path / "a.png").colour_chunks == kept
    assert PILImage.open(tmp_path / "a.png").info["srgb"] == 1


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_the_transparent_level_of_a_grey_png_of_few_bits_is_alpha(tmp_path, depth):
    rows = b"\0\x1b\0\xe4"  # two rows of one byte, of levels 0 to 3 in two bits
    header = struct.pack(">IIBBBBB", 8 // depth, 2, depth, 0, 0, 0, 0)
    with (tmp_path / "a.png").open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for name, content in ((b"IHDR", header), (b"tRNS", b"\0\1"), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
            putchunk(file, name, content)
    pixels = read_image(tmp_path / "a.png").pixels
    bits = np.unpackbits(np.array([[0x1B], [0xE4]], np.uint8), axis=1).reshape(2, -1, depth)
    levels = bits @ 2 ** np.arange(depth)[::-1]
    assert np.array_equal(pixels[:, :, 0], levels * (255 // (2**depth - 1)))
    assert np.array_equal(pixels[:, :, 1], np.where(levels == 1, 0, 255))


def test_where_on_earth_the_pixels_lie_is_left_out(tmp_path):
    scale = (33550, "d", 3, (1.0, 1.0, 0.0), True)
    tifffile.imwrite(tmp_path / "a.tif", random_pixels(3, 8), photometric="rgb", extratags=[scale])
    write_image(tmp_path / "b.tif", read_image(tmp_path / "a.tif"))
    assert 33550 in PILImage.open(tmp_path / "a.tif").getexif()
    assert 33550 not in PILImage.open(tmp_path / "b.tif").getexif()


@pytest.mark.parametrize("bits", [8, 16])
def test_long_profiles_and_texts_are_read_again(tmp_path, bits):
    image = Image(random_pixels(3, bits), SRGB + bytes(3_000_000), text={"Comment": "x" * 3_000_000})
    write_image(tmp_path / "a.png", image)
    again = read_image(tmp_path / "a.png")
    assert (again.icc_profile, again.text) == (image.icc_profile, image.text)


def test_damage_behind_the_first_frame_costs_nothing(tmp_path):
    PILImage.fromarray(random_pixels(3, 8)).save(tmp_path / "a.tif")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    first = int.from_bytes(content[4:8], "little")
    end = first + 2 + 12 * int.from_bytes(content[first : first + 2], "little")
    content[end : end + 4] = (len(content) - 3).to_bytes(4, "little")  # where the next frame would begin
    (tmp_path / "a.tif").write_bytes(content)
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, random_pixels(3, 8))
    frames = [PILImage.fromarray(random_pixels(1, 8, 99, 99)[:, :, 0] + index) for index in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    whole = read_image(tmp_path / "a.gif").pixels
    size = (tmp_path / "a.gif").stat().st_size
    for share in (0.4, 0.5, 0.6, 0.9):
        (tmp_path / "b.gif").write_bytes((tmp_path / "a.gif").read_bytes()[: int(share * size)])
        assert np.array_equal(read_image(tmp_path / "b.gif").pixels, whole), share


def test_the_layers_of_photoshop_stay_behind(tmp_path):
    exif = PILImage.Exif()
    exif[37724] = b"Adobe Photoshop Document Data Block\0" + bytes(70_000)
    PILImage.new("RGB", (9, 9)).save(tmp_path / "a.tif", exif=exif, icc_profile=SRGB)
    for suffix in ("tif", "jpg"):
        write_image(tmp_path / f"b.{suffix}", read_image(tmp_path / "a.tif"))
        assert 37724 not in PILImage.open(tmp_path / f"b.{suffix}").getexif()
        assert read_image(tmp_path / f"b.{suffix}").icc_profile == SRGB


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".tif"])
@pytest.mark.parametrize("coding", ["utf-8", "latin-1"])
def test_texts_of_exif_stay_as_they_are(tmp_path, suffix, coding, bits):
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("Pillow has no AVIF")
    text = "© Jürgen Müller".encode(coding) + b"\0"
    image_tags = struct.pack("<HHHIIHHII", 2, ExifTags.Base.Copyright, 2, len(text), 56, 34665, 4, 1, 38) + bytes(4)
    camera_tags = struct.pack("<HHHII", 1, ExifTags.Base.CameraOwnerName, 2, len(text), 56) + bytes(4)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + image_tags + camera_tags + text
    PILImage.new("RGB", (9, 9)).save(tmp_path / "a.jpg", exif=exif)
    write_image(tmp_path / f"b{suffix}", Image(random_pixels(3, bits), SRGB, exif=read_image(tmp_path / "a.jpg").exif))
    tags = PILImage.open(tmp_path / f"b{suffix}").getexif()
    assert tags[ExifTags.Base.Copyright].encode("latin-1") == text[:-1]
    if (bits, suffix) != (16, ".tif"):  # which keeps no tags of the camera
        owner = tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.CameraOwnerName]
        assert owner.encode("latin-1") == text[:-1]
    assert read_image(tmp_path / f"b{suffix}").icc_profile == SRGB


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_exif_that_is_no_exif_does_not_cost_the_image(tmp_path, suffix):
    PILImage.fromarray(random_pixels(3, 8)).save(tmp_path / f"a{suffix}", exif=b"Exif\0\0nonsense", lossless=True)
    image = read_image(tmp_path / f"a{suffix}")
    assert np.array_equal(image.pixels, random_pixels(3, 8)) and image.exif == b""
    assert read_size(tmp_path / f"a{suffix}") == random_pixels(3, 8).shape[:2]


def mutated(content: bytes, generator: np.random.Generator) -> bytes:
    """One to eight changes: bytes, bits, a cut, a repeat, a hole, the head of another number."""
    data = bytearray(content)
    for _ in range(generator.integers(1, 9)):
        place, length = int(generator.integers(len(data))), int(generator.integers(1, 9))
        match generator.integers(6):
            case 0:
                data[place : place + length] = generator.bytes(length)
            case 1:
                data[place] ^= 1 << int(generator.integers(8))
            case 2:
                data = data[: max(place, 8)]
            case 3:
                data[place:place] = data[place : place + 4 * length]
            case 4:
                del data[place : place + length]
            case 5:
                data[place : place + length] = bytes([int(generator.choice([0, 255, 127, 128]))]) * length
        if not data:
            data = bytearray(b"\0")
    return bytes(data)


def test_thousands_of_damaged_files_neither_crash_nor_hang(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    seeds = seeds_of_fuzz()
    path = tmp_path / "damaged.png"
    refused, slowest = 0, 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for index in range(2400):
            path.write_bytes(mutated(seeds[index % len(seeds)], generator))
            start = time.perf_counter()
            try:
                image = read_image(path, max_pixels=4_000_000)
                assert image.pixels.ndim == 3 and image.pixels.dtype in (np.uint8, np.uint16)
            except ImageError as error:
                assert str(path) in str(error)
                refused += 1
            slowest = max(slowest, time.perf_counter() - start)
    assert 400 < refused < 2300
    assert slowest < 5
