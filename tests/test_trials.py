"""Comparisons by short trainings: the table by value, and resuming."""

import argparse
import json
import sys
import threading
from pathlib import Path

import pytest

from benchmarks import bodies, recipes, trials
from benchmarks.trials import run_trials, table


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


def test_a_table_leaves_out_what_a_variant_has_not() -> None:
    rows = {"a": [{"dB": 30.0}], "b": [{"dB": 31.0, "probe": 90.0}]}
    assert table(rows, baseline="a").splitlines() == [
        "| | dB | − a | probe |",
        "|---|---|---|---|",
        "| a | 30.00 |  |  |",
        "| b | 31.00 | +1.00 | 90.00 |",
    ]


def test_a_comparison_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []

    def train(words: str, seed: int, args: argparse.Namespace, measure: trials.Measure, module: str) -> trials.Row:
        assert module == "main"
        trained.append((words, seed))
        return {"dB": 10.0 * seed}

    monkeypatch.setattr(trials, "_train", train)
    commit = trials.environment()["commit"]
    args = argparse.Namespace(out=tmp_path / "rows.json", seeds=1, jobs=1)
    run_trials({"a": "--x", "b": "--y"}, args, trials.validation)
    with monkeypatch.context() as patch:
        patch.setattr(trials, "environment", lambda: {"commit": "another"})
        run_trials({"a": "--x", "b": "--y"}, argparse.Namespace(out=args.out, seeds=2, jobs=1), trials.validation)
    assert json.loads(args.out.read_text())["commits"] == [commit, "another"]
    args.seeds = 2
    rows = run_trials({"a": "--x", "b": "--y"}, args, trials.validation)
    assert trained == [("--x", 1), ("--y", 1), ("--x", 2), ("--y", 2)]
    assert rows == {"a": [{"dB": 10.0}, {"dB": 20.0}], "b": [{"dB": 10.0}, {"dB": 20.0}]}
    assert json.loads(args.out.read_text())["variants"] == {"a": "--x", "b": "--y"}
    assert run_trials({"b": "--y"}, args, trials.validation) == {"b": [{"dB": 10.0}, {"dB": 20.0}]}
    run_trials({"c": "--z"}, args, trials.validation)
    assert json.loads(args.out.read_text())["variants"] == {"a": "--x", "b": "--y", "c": "--z"}


def test_trials_run_beside_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both_train = threading.Barrier(2)

    def train(words: str, seed: int, *_: object) -> trials.Row:
        both_train.wait(timeout=60)
        return {"dB": 10.0 * seed + len(words)}

    monkeypatch.setattr(trials, "_train", train)
    args = argparse.Namespace(out=tmp_path / "rows.json", seeds=2, jobs=2)
    rows = run_trials({"a": "1", "b": "22"}, args, trials.validation)
    assert rows == {"a": [{"dB": 11.0}, {"dB": 21.0}], "b": [{"dB": 12.0}, {"dB": 22.0}]}


def test_a_trial_that_fails_stops_the_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(words: str, *_: object) -> trials.Row:
        if words == "--bad":
            sys.exit("it failed")
        return {"dB": 10.0}

    monkeypatch.setattr(trials, "_train", train)
    args = argparse.Namespace(out=tmp_path / "rows.json", seeds=1, jobs=1)
    with pytest.raises(SystemExit, match="it failed"):
        run_trials({"good": "--x", "bad": "--bad"}, args, trials.validation)
    assert json.loads(args.out.read_text())["rows"]["good"] == [{"dB": 10.0}]


def test_trials_of_other_options_are_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "_train", lambda *_: {"dB": 10.0})
    args = argparse.Namespace(out=tmp_path / "rows.json", seeds=1, jobs=1, budget=500, dir_data=Path("here"))
    run_trials({"a": "--x"}, args, trials.validation)
    before = args.out.read_text()
    args.seeds, args.dir_data = 2, Path("there")
    for budget, words in ((2000, "--x"), (500, "--y")):
        args.budget = budget
        with pytest.raises(SystemExit, match="give another --out"):
            run_trials({"a": words}, args, trials.validation)
    assert args.out.read_text() == before
    args.budget = 500
    assert len(run_trials({"a": "--x", "b": "--y"}, args, trials.validation)["a"]) == 2


def test_bodies_and_recipes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though a step takes another time now, and though fewer or more were compared before."""
    monkeypatch.setattr(trials, "_train", lambda *_: {"validation": 30.0})
    ratios = iter((1.25, 1.5, 0.5))
    monkeypatch.setattr(
        bodies, "compare", lambda calls, *_, **__: [{"ratio": 1.0}, *({"ratio": next(ratios)} for _ in [*calls][1:])]
    )
    words = ["--dir_data", "HR", "--budget", "100", "--device", "cpu", "--batch_size", "1", "--patch_size", "8"]
    words += ["--out", str(tmp_path / "bodies.json")]
    assert bodies.main([*words, "--seeds", "1", "--bodies", "64x2x4"]) == 0
    assert bodies.main([*words, "--seeds", "2", "--bodies", "64x2x4", "96x1x4"]) == 0
    known = json.loads((tmp_path / "bodies.json").read_text())
    assert {name: text.split()[-1] for name, text in known["variants"].items()} == {
        "64x2x6": "100",
        "64x2x4": "125",
        "96x1x4": "50",
    }
    assert {len(rows) for rows in known["rows"].values()} == {2}
    words = ["recipes", "--dir_data", "HR", "--seeds", "1", "--out", str(tmp_path / "recipes.json")]
    for name in ("paper", "Muon"):
        monkeypatch.setattr(sys, "argv", [*words, "--recipes", name])
        recipes.main()
    assert len(json.loads((tmp_path / "recipes.json").read_text())["rows"]) == 4
