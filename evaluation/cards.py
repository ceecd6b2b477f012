"""The cards of the shipped weights: `python -m evaluation.cards`, from the root of the repository.

NAME.safetensors has NAME.md for people and NAME.json for OpenModelDB (https://openmodeldb.info, a model's JSON there).
Both are made here, of the weights, of what NAME.toml says about the training, and of the run's folder that it names, so
that they never differ. `urls` is left empty: OpenModelDB wants the place that the file is uploaded to. Its authors,
architectures and models have ids, which are what an entry names.

NAME.toml has `name`, `date`, `run`, `description` (what it was trained for), `dataset`, `dataset_size` and `tags`;
`pretrained`, the id of the model that the training began from (scale and name), if there was one; `iterations`, if the
weights are not those after the run's last step, or the run is the last of several pieces; and `[rows]`, the card's own
table, with `limits`.
"""

import argparse
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.report.groups import read_groups
from evaluation.report.tables import DIFFERENCES, to_section
from model import identify
from model.network import Network
from model.pretrained import FOLDER, read_name
from utils.checkpoint import load_weights
from utils.environment import ROOT
from utils.files import replacing, sha256, write_json
from utils.run import read_metrics, read_settings

AUTHOR = "the-cdsr-contributors"
LICENSE = "MIT"


def write_card(weights: Path) -> None:
    """Write both cards beside a file of weights. ValueError: it has no .toml, or a field of it is missing."""
    facts_path = weights.with_suffix(".toml")
    if not facts_path.is_file():
        raise ValueError(f"{facts_path} is missing: it says how {weights.name} was trained, as the others there do")
    facts = tomllib.loads(facts_path.read_text(encoding="utf-8"))
    tensors, _ = load_weights(weights)
    bits = 8 * max(tensor.element_size() for tensor in tensors.values() if tensor.is_floating_point())
    model = identify(tensors)[1]
    try:
        page, entry = to_markdown(weights, facts, model, bits), to_openmodeldb(weights, facts, model)
    except KeyError as error:
        raise ValueError(f"{facts_path} does not say {error}") from error
    with replacing(weights.with_suffix(".md")) as temporary:
        temporary.write_text(page, encoding="utf-8")
    write_json(weights.with_suffix(".json"), entry)


def to_markdown(weights: Path, facts: dict[str, Any], model: Network, bits: int) -> str:
    """The card for people."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    rows = {"trained for": facts["description"], "data": facts["dataset"], **facts["rows"]}
    run = f"[{facts['run']}](../../{facts['run']}/)"
    groups = read_groups([ROOT / facts["run"]])
    sections = [to_section(group, name_runs=False) for group in groups]  # all of them are of this run
    parts = [
        f"# {facts['name']}",
        f"`{weights.name}`, {parameters / 1e6:.1f} M parameters, {bits} bits, {weights.stat().st_size / 1e6:.1f} MB. "
        f"SHA-256\n`{sha256(weights)}`. `{usual_command(weights, model.scale)}` uses it when `--pre_train` is absent.",
        "\n".join(["| | |", "|---|---|", *(f"| {title} | {text} |" for title, text in rows.items())]),
        f"Logs, curves and rows: {run}." + (f" {DIFFERENCES}" if any(group.reference for group in groups) else ""),
        *sections,
    ]
    return "\n\n".join(parts) + "\n"


def usual_command(weights: Path, scale: int) -> str:
    """What takes a file by itself (`model.pretrained`)."""
    _, noise, real = read_name(weights)
    flag = " --dir_demo IMAGES" if real else f" --noise {noise:g}" if noise else ""
    return f"test.py --scale {scale}{flag}"


def to_openmodeldb(weights: Path, facts: dict[str, Any], model: Network) -> dict[str, Any]:
    """The entry of a model in OpenModelDB."""
    run = ROOT / facts["run"]
    settings, steps = read_settings(run), read_metrics(run)[-1]["iteration"]
    resource = {
        "platform": "pytorch",
        "type": weights.suffix.removeprefix("."),
        "size": weights.stat().st_size,
        "sha256": sha256(weights),
        "urls": [],
    }
    entry = {
        "name": facts["name"],
        "author": AUTHOR,
        "license": LICENSE,
        "tags": facts["tags"],
        "description": f"Blind; trained for {facts['description']}. Limits: {facts['rows']['limits']}.",
        "date": facts["date"].isoformat(),
        "architecture": type(model).__name__.lower(),
        "size": [f"{model.size.num_features}nf", f"{model.size.num_blocks}nb"],
        "scale": model.scale,
        "inputChannels": 3,
        "outputChannels": 3,
        "resources": [resource],
        "trainingIterations": facts.get("iterations", steps),
        "trainingBatchSize": settings["batch_size"],
        "trainingHRSize": settings["patch_size"] * settings["scale"],
        "trainingOTF": True,  # degraded as it trains
        "dataset": facts["dataset"],
        "datasetSize": facts["dataset_size"],
        "pretrainedModelG": facts.get("pretrained"),
        "images": [],
    }
    return {field: value for field, value in entry.items() if value is not None}


def main(argv: Sequence[str] | None = None) -> int:
    """Write the cards of everything that ships; returns the exit code."""
    argparse.ArgumentParser(prog="python -m evaluation.cards", description=main.__doc__).parse_args(argv)
    for weights in sorted(FOLDER.glob("*.safetensors")):
        try:
            write_card(weights)
        except (ValueError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        print(weights.with_suffix(".md"), weights.with_suffix(".json"), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
