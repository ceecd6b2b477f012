"""torch.hub's entries, and our modules beside another program's of the same names."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

import hubconf
from model import create_model, open_model, save_model
from model.pretrained import pretrained_path

ROOT = Path(__file__).parent.parent


def lr() -> torch.Tensor:
    return torch.rand(1, 3, 19, 23, generator=torch.Generator().manual_seed(1)) * 255


def load(name: str, **options: Any) -> torch.nn.Module:
    return torch.hub.load(str(ROOT), name, source="local", **options)


@pytest.mark.parametrize("scale", [scale for scale in (2, 3, 4) if pretrained_path("CDSR_S", scale).is_file()])
def test_the_shipped_network_comes_by_name(scale: int) -> None:
    network = load("cdsr_s", scale=scale)
    expected = open_model("CDSR_S", scale, pretrained_path("CDSR_S", scale)).eval()
    with torch.inference_mode():
        sr = network(lr())
        assert sr.shape == (1, 3, 19 * scale, 23 * scale)
        assert torch.equal(sr, expected(lr()))


@pytest.mark.parametrize("name", ["CDSR", "CDSR_S", "DASR", "DASR_S"])
def test_every_entry_takes_a_file(tmp_path: Path, name: str) -> None:
    model = create_model(name, 3).eval()
    save_model(model, tmp_path / "weights.pt", {})
    network = load(name.lower(), scale=3, weights=str(tmp_path / "weights.pt"))
    with torch.inference_mode():
        assert torch.equal(network(lr()), model(lr()))
    with pytest.raises(ValueError, match="does not fit"):
        load(name.lower(), scale=2, weights=str(tmp_path / "weights.pt"))


def test_the_entries_alone_are_listed_and_what_is_not_shipped_is_said() -> None:
    public = {name: value for name, value in vars(hubconf).items() if callable(value) and not name.startswith("_")}
    assert sorted(public) == ["cdsr", "cdsr_s", "dasr", "dasr_s"]  # what torch.hub.list shows
    assert all(entry.__doc__ for entry in public.values())
    with pytest.raises(ValueError, match="no weights are shipped for CDSR x2; give a file: weights=PATH"):
        load("cdsr")


def test_a_program_keeps_its_modules_of_the_same_names(tmp_path: Path) -> None:
    """As in ComfyUI, which has a `utils` of its own."""
    (tmp_path / "utils").mkdir()
    (tmp_path / "utils" / "__init__.py").write_text("OWNER = 'the program'")
    (tmp_path / "model.py").write_text("OWNER = 'the program'")
    script = f"""
        import json, sys, torch, model, utils
        network = torch.hub.load({str(ROOT)!r}, "cdsr_s", source="local", scale=2)
        import utils as utils_again
        with torch.inference_mode():
            sr = network(torch.full((1, 3, 16, 16), 100.0))
        names = [name for name in sys.modules if name.split(".")[0] in ("model", "utils")]
        print(json.dumps([model.OWNER, utils_again.OWNER, sorted(names), list(sr.shape), sr.mean().item()]))
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    *owners, names, shape, mean = json.loads(done.stdout.splitlines()[-1])
    assert owners == ["the program", "the program"] and names == ["model", "utils"]
    assert shape == [1, 3, 32, 32] and abs(mean - 100) < 5


@pytest.mark.parametrize("is_early", [True, False])
def test_the_order_of_the_search_path_does_not_matter(tmp_path: Path, is_early: bool) -> None:
    """The program's folder stands before ours, and it imports its modules before or after ours."""
    (tmp_path / "utils").mkdir()
    (tmp_path / "utils" / "__init__.py").write_text("OWNER = 'the program'")
    (tmp_path / "utils" / "json_util.py").write_text("OWNER = 'the program'")
    script = f"""
        import sys
        {"import utils.json_util" if is_early else ""}
        sys.path.append({str(ROOT)!r})
        from integrations.own_modules import own_modules
        hooks = list(sys.meta_path)
        with own_modules():
            from inference.upscaler import Upscaler
            from model import create_model
        import model, utils.json_util
        print(utils.OWNER, utils.json_util.OWNER, model.create_model is create_model, sys.meta_path == hooks, sep=";")
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["the program;the program;True;True"], done.stderr
