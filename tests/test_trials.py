"""Comparisons by short trainings: the table by value, going on where one stopped, and both comparisons end to end."""

import argparse
import json
import sys
from pathlib import Path

import pytest

from benchmarks import ablation, table1, trials
from benchmarks.trials import run_trials, table
from tests.test_trainer import photographs

__all__ = ["photographs"]


def test_a_table_has_means_and_spreads() -> None:
    rows = {"a": [{"dB": 30.0}, {"dB": 32.0}], "b": [{"dB": 31.0}]}
    assert table(rows, {"a": {"size": "1"}, "b": {"size": "2"}}).splitlines() == [
        "| | size | dB |",
        "|---|---|---|",
        "| a | 1 | 31.00 ± 1.41 |",
        "| b | 2 | 31.00 |",
    ]


def test_a_table_tells_what_the_seeds_cannot() -> None:
    """Differences are paired by seed: 2, 3 and 4 have mean 3, deviation 1, and t = 4.303 for two degrees of freedom."""
    rows = {"a": [{"dB": 30.0}, {"dB": 20.0}, {"dB": 25.0}], "b": [{"dB": 32.0}, {"dB": 23.0}, {"dB": 29.0}]}
    assert table(rows, baseline="a").splitlines()[2:] == [
        "| a | 25.00 ± 5.00 |  |",
        "| b | 28.00 ± 4.58 | +3.00 ± 2.48 |",
    ]
    assert table({"a": rows["a"][:1], "b": rows["b"][:1]}, baseline="a").endswith("| b | 32.00 | +2.00 |")


def test_a_comparison_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []

    def train(words: str, seed: int, args: argparse.Namespace, measure: trials.Measure) -> trials.Row:
        trained.append((words, seed))
        return {"dB": 10.0 * seed}

    monkeypatch.setattr(trials, "_train", train)
    args = argparse.Namespace(out=tmp_path / "rows.json", seeds=1)
    run_trials({"a": "--x", "b": "--y"}, args, trials.validation)
    args.seeds = 2
    rows = run_trials({"a": "--x", "b": "--y"}, args, trials.validation)
    assert trained == [("--x", 1), ("--y", 1), ("--x", 2), ("--y", 2)]
    assert rows == {"a": [{"dB": 10.0}, {"dB": 20.0}], "b": [{"dB": 10.0}, {"dB": 20.0}]}
    assert json.loads(args.out.read_text())["variants"] == {"a": "--x", "b": "--y"}
    assert run_trials({"b": "--y"}, args, trials.validation) == {"b": [{"dB": 10.0}, {"dB": 20.0}]}


@pytest.mark.slow
def test_comparisons_run_from_the_command_line(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"--dir_data {photographs} --data_range 1-4/5-6 --budget 2 --batch_size 2 --patch_size 12 --device cpu"
    shared = [*words.split(), "--precision", "single", "--seeds", "2", "--out"]
    monkeypatch.setattr(sys, "argv", ["ablation", *shared, "ablation.json"])
    ablation.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[-8:]] == [f"| {name}" for name in ablation.variants_of("_S")]
    more = ["--test_path", str(photographs.parent), "--test_set", photographs.name]
    monkeypatch.setattr(sys, "argv", ["table1", *shared, "table1.json", *more])
    table1.main()
    rows = json.loads(Path("table1.json").read_text())["rows"]
    assert {name[:2] for name in rows} == {"cd", "d:", "c:"}
    assert all(0 <= row["image probe (%)"] <= 100 for seeds in rows.values() for row in seeds)
