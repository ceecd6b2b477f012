"""The cards that ship are those that their command makes, of the files that ship."""

import json
import re
import shutil
from pathlib import Path

import pytest

from evaluation import cards
from model import identify
from model.pretrained import FOLDER, pretrained_path
from utils.checkpoint import load_weights
from utils.files import sha256

WEIGHTS = sorted(FOLDER.glob("*.safetensors"))


def copied(weights: Path, folder: Path) -> Path:
    """The file and its facts in another folder."""
    for suffix in (".safetensors", ".toml"):
        shutil.copy(weights.with_suffix(suffix), folder)
    return folder / weights.name


@pytest.mark.parametrize("weights", WEIGHTS, ids=lambda path: path.stem)
def test_the_cards_that_ship_are_made_by_the_command(weights: Path, tmp_path: Path) -> None:
    copy = copied(weights, tmp_path)
    cards.write_card(copy)
    for suffix in (".md", ".json"):
        made, shipped = (path.with_suffix(suffix).read_text(encoding="utf-8") for path in (copy, weights))
        assert made == shipped, "make it again: python -m evaluation.cards"


@pytest.mark.parametrize("weights", WEIGHTS, ids=lambda path: path.stem)
def test_both_cards_say_the_same_of_the_file(weights: Path) -> None:
    page = weights.with_suffix(".md").read_text(encoding="utf-8")
    entry = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
    [resource] = entry["resources"]
    assert (resource["sha256"], resource["size"]) == (sha256(weights), weights.stat().st_size)
    assert resource["sha256"] in page and entry["dataset"] in page and page.startswith(f"# {entry['name']}\n")
    name, model = identify(load_weights(weights)[0])
    assert weights.stem.startswith(f"{name.lower()}_x{entry['scale']}")
    assert (entry["scale"], entry["size"]) == (model.scale, [f"{model.size.num_features}nf", "2nb"])
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert float(re.search(r"([\d.]+) M parameters", page)[1]) == pytest.approx(millions, abs=0.05)
    assert entry["trainingIterations"] > 0 and "None" not in page


@pytest.mark.parametrize("weights", WEIGHTS, ids=lambda path: path.stem)
def test_the_command_on_the_card_takes_the_file(weights: Path) -> None:
    name, model = identify(load_weights(weights)[0])
    words = cards.usual_command(weights, model.scale).split()
    noise = float(words[words.index("--noise") + 1]) if "--noise" in words else 0.0
    assert pretrained_path(name, model.scale, noise, real="--dir_demo" in words) == weights


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    copy = copied(WEIGHTS[0], tmp_path)
    facts = copy.with_suffix(".toml")
    facts.write_text("".join(line for line in facts.read_text().splitlines(True) if not line.startswith("run ")))
    monkeypatch.setattr(cards, "FOLDER", tmp_path)
    assert cards.main([]) == 1
    assert f"{facts} does not say 'run'" in capsys.readouterr().err
    facts.unlink()
    assert cards.main([]) == 1
    assert f"{facts} is missing" in capsys.readouterr().err
    assert not copy.with_suffix(".md").exists()
