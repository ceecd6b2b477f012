"""The page of the gallery: what is worse comes first, and nothing is counted that nobody has looked at."""

from pathlib import Path

import pytest

from examples.gallery import build_upscalers, page, usual_models
from model import create_model, save_model
from model.variant import Variant


def test_what_is_worse_comes_first() -> None:
    verdicts = {"frog": ["better", "no noise"], "dog": ["worse", "halos"], "chip": ["better", "crisp"]}
    text = page("bicubic, real, ×4", ["chip", "dog", "frog"], verdicts)
    assert "2 better, 0 alike, 1 worse, of 3 images." in text
    assert [text.index(f"**{name}**") for name in ("dog", "chip", "frog")] == sorted(
        text.index(f"**{name}**") for name in ("chip", "dog", "frog")
    )
    assert "**dog**: worse; halos\n\n[![dog](dog.webp)](dog.webp)" in text


def test_without_verdicts_nothing_is_counted() -> None:
    text = page("bicubic", ["b", "a"], {})
    assert "of 2 images" not in text and text.index("**b**") < text.index("**a**")
    for bad in ({"a": ["good", ""]}, {"c": ["better", ""]}):
        with pytest.raises(ValueError, match="none of worse, alike, better, or of no image here"):
            page("bicubic", ["a"], bad)


def test_weights_for_real_images_are_a_column_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.pretrained.FOLDER", tmp_path)
    small = Variant(lpe="autocorrelation", csc=False, head=True)
    save_model(create_model("CDSR_S", 4, small), tmp_path / "cdsr_s_x4.safetensors", {})
    assert list(build_upscalers(usual_models(4), 4)) == ["bicubic", "cdsr_s_x4"]
    real = create_model("CDSR_S", 4, small._replace(compression=True))
    save_model(real, tmp_path / "cdsr_s_x4_real.safetensors", {})
    assert list(build_upscalers(usual_models(4), 4)) == ["bicubic", "cdsr_s_x4", "cdsr_s_x4_real"]


def test_weights_of_one_name_are_a_column_each(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "best.safetensors" for folder in "ab"]
    for path in paths:
        path.parent.mkdir()
        save_model(create_model("CDSR_S", 2), path, {})
    captions = build_upscalers(["bicubic", *(f"CDSR_S={path}" for path in paths)], 2)
    assert list(captions) == ["bicubic", "best", str(paths[1])]
