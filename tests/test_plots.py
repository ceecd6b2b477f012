"""Plots hold the pixels they were given, in the place they belong, and refuse what they cannot draw."""

import math
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from benchmarks.cost_plot import COLOURS, CostPoint, costs
from evaluation.figures import save_figure
from evaluation.plots import curves
from evaluation.side_by_side import FRAME, FRAME_COLOUR, GAP, MARGIN, side_by_side
from utils.image import read_rgb


@pytest.fixture
def noise() -> np.ndarray:
    """(72, 90, 3) of random colours below 200, so that neither white nor the frame's red is among them."""
    return np.random.default_rng(3).integers(0, 200, (72, 90, 3), dtype=np.uint8)


def test_images_are_enlarged_by_whole_factors(noise, tmp_path):
    small = np.ascontiguousarray(noise[::2, ::2])
    side_by_side([("LR", small), ("HR\n31.02 dB", noise)], tmp_path / "new" / "figure.png")
    figure = read_rgb(tmp_path / "new" / "figure.png")
    # 90 pixels to 360: times 4, and times 8 for the small one.
    height, width = 4 * 72, 4 * 90
    assert figure.shape[1] == 2 * MARGIN + 2 * width + GAP
    rows = figure[-MARGIN - height : -MARGIN]
    np.testing.assert_array_equal(rows[:, MARGIN : MARGIN + width], small.repeat(8, 0).repeat(8, 1))
    np.testing.assert_array_equal(rows[:, MARGIN + width + GAP : -MARGIN], noise.repeat(4, 0).repeat(4, 1))
    assert (rows[:, MARGIN + width : MARGIN + width + GAP] == 255).all()
    assert (figure[: -MARGIN - height] < 100).any(), "no title above the images"
    assert (figure[:, :MARGIN] == 255).all() and (figure[:, -MARGIN:] == 255).all()


def test_zoom_shows_the_same_part_of_both(noise, tmp_path):
    small = np.ascontiguousarray(noise[::2, ::2])
    side_by_side([("LR", small), ("HR", noise)], tmp_path / "figure.png", zoom=(10, 20, 24, 30))
    details = read_rgb(tmp_path / "figure.png")[-MARGIN - 288 : -MARGIN]  # 30x24 pixels, times 12
    inner = np.s_[FRAME:-FRAME, FRAME:-FRAME]
    expected_small = small[5:17, 10:25].repeat(24, 0).repeat(24, 1)
    np.testing.assert_array_equal(details[:, MARGIN : MARGIN + 360][inner], expected_small[inner])
    expected = noise[10:34, 20:50].repeat(12, 0).repeat(12, 1)
    np.testing.assert_array_equal(details[:, MARGIN + 360 + GAP : -MARGIN][inner], expected[inner])
    assert (details[0, MARGIN : MARGIN + 360] == FRAME_COLOUR).all()


def test_a_large_image_is_averaged_not_subsampled(tmp_path):
    stripes = np.zeros((1440, 1440, 3), np.uint8)
    stripes[:, ::2] = 200
    side_by_side([("stripes", stripes)], tmp_path / "figure.png")
    shown = read_rgb(tmp_path / "figure.png")[-MARGIN - 720 : -MARGIN, MARGIN:-MARGIN]
    assert shown.shape == (720, 720, 3) and (shown == 100).all()


def test_long_titles_stay_in_their_column(noise, tmp_path):
    side_by_side([("", noise), ("name " * 30 + "$x^", noise), ("", noise)], tmp_path / "figure.png")
    figure = read_rgb(tmp_path / "figure.png")
    ink = np.flatnonzero((figure[: -MARGIN - 288] < 200).any(axis=(0, 2)))
    left = MARGIN + 360 + GAP
    assert len(ink) and left <= ink[0] and ink[-1] < left + 360


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 2000, 3), (900, 7, 3)])
def test_extreme_shapes(shape, tmp_path):
    image = np.full(shape, 90, np.uint8)
    side_by_side([("one", image), ("two", image)], tmp_path / "figure.png", zoom=(0, 0, 1, 1))
    assert max(read_rgb(tmp_path / "figure.png").shape) < 2500


def test_bad_images(noise, tmp_path):
    with pytest.raises(ValueError, match="at least one"):
        side_by_side([], tmp_path / "figure.png")
    with pytest.raises(ValueError, match=r"'HR' is float64 \(72, 90, 3\); allowed is"):
        side_by_side([("HR", noise.astype(float))], tmp_path / "figure.png")
    with pytest.raises(ValueError, match="outside the largest image of 90x72"):
        side_by_side([("HR", noise)], tmp_path / "figure.png", zoom=(60, 0, 20, 20))
    assert list(tmp_path.iterdir()) == []


def rows_of_a_run() -> list[dict]:
    rows: list[dict] = []
    for iteration in range(10, 1010, 10):
        phase = "encoder" if iteration <= 300 else "joint"
        l1 = None if phase == "encoder" else 5 + 9000 / iteration
        rows.append(
            {"iteration": iteration, "epoch": 1, "phase": phase, "pixel": l1, "contrastive": 8 - iteration / 500}
        )
        if iteration % 250 == 0:
            rows.append({"iteration": iteration, "epoch": 1, "psnr": 28 + iteration / 500, "ssim": 0.85})
    return rows


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_curves_are_written(suffix, tmp_path):
    save_figure(curves(rows_of_a_run()), tmp_path / f"curves{suffix}")
    assert [path.name for path in tmp_path.iterdir()] == [f"curves{suffix}"]


def text_of(rows: list[dict], path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The words of a figure: an SVG whose text is kept as text."""
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    save_figure(curves(rows), path)
    return path.read_text(encoding="utf-8")


def test_curves_name_the_phases_and_the_best_validation(tmp_path, monkeypatch):
    text = text_of(rows_of_a_run(), tmp_path / "curves.svg", monkeypatch)
    assert "best: 30.00 dB / 0.8500 at 1,000" in text
    assert all(word in text for word in ("encoder", "joint", "pixel loss", "contrastive loss", "validation PSNR"))


def test_curves_show_the_validation_that_chooses_the_checkpoint(tmp_path, monkeypatch):
    """The averaged weights' where they are kept; and nothing from before the network learns."""
    rows = [{**row, "psnr_ema": row["psnr"] + 1, "ssim_ema": 0.9} if "psnr" in row else row for row in rows_of_a_run()]
    rows.append({"iteration": 100, "psnr": 50.0, "psnr_ema": 50.0})
    assert "best: 31.00 dB / 0.9000 at 1,000" in text_of(rows, tmp_path / "curves.svg", monkeypatch)


def test_curves_of_a_resumed_run_take_the_last_row(tmp_path, monkeypatch):
    rows = [{"iteration": 20, "psnr": 35.0}, {"iteration": 10, "psnr": 29.0}, {"iteration": 20, "psnr": 30.5}]
    text = text_of([*rows, {"iteration": 30, "psnr": math.inf}, {"iteration": 40}], tmp_path / "a.svg", monkeypatch)
    assert "best: 30.50 dB at 20" in text and "pixel" not in text


def test_curves_of_an_older_log_show_its_pixel_loss(tmp_path, monkeypatch):
    text = text_of([{"iteration": n, "l1": 9.0 / n} for n in (10, 20)], tmp_path / "a.svg", monkeypatch)
    assert "pixel loss" in text


def test_curves_of_nothing():
    with pytest.raises(ValueError, match="no row to draw among 1: needed are `iteration`"):
        curves([{"iteration": 3, "pixel": math.nan}])


def middle_of(panel: np.ndarray, colour: str) -> tuple[float, float]:
    """Row and column of the pixels of a colour, in the middle."""
    rgb = [int(colour[index : index + 2], 16) for index in (1, 3, 5)]
    rows, columns = np.nonzero((panel == rgb).all(axis=2))
    return float(np.median(rows)), float(np.median(columns))


def test_costs_put_the_better_above_and_the_cheaper_left(tmp_path):
    points = [CostPoint("bicubic", 26.5, 1e-3, 0), CostPoint("a", 30.0, 0.1, 2e9), CostPoint("b", 34.0, 1.0, 9e9)]
    costs({"Set5 ×2": points}, tmp_path / "costs.png")
    for panel in np.array_split(read_rgb(tmp_path / "costs.png"), 2, axis=1):
        (row_a, column_a), (row_b, column_b) = (middle_of(panel, colour) for colour in COLOURS[1:3])
        assert row_b < row_a - 20 and column_b > column_a + 20  # rows count from the top
        assert middle_of(panel, COLOURS[0])[0] > row_a  # a line where it has no cost, below
