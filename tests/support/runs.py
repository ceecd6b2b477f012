"""Tiny trainings from the command line down, and what is left of them."""

import json
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.cdsr import CDSR, CDSRSize
from training.step import TrainingStep
from utils.checkpoint import StateStore

RUN = Path("experiment/tiny_x2_s-fold_aniso")

DENSE = partial(
    CDSR,
    size=CDSRSize(num_features=32, growth=16, num_blocks=4, encoder_widths=(32, 64, 128), code_dim=128, num_codes=512),
)
"""A small network of the published parts."""


def tiny(photographs: Path, *more: str) -> list[str]:
    """A command line that trains the small model for a few steps: one epoch of each phase."""
    words = (
        f"--dir_data {photographs} --cpu --n_threads 0 --model CDSR_S --save tiny --patch_size 12 --batch_size 4 "
        "--test_every 4 --epochs_encoder 1 --epochs_sr 2 --freeze_epoch 2 --data_range 1-4/5-6 --print_every 1 "
        "--no-use_tb_logger --noise 10"
    )
    return [*words.split(), *more]


def rows(kind: str) -> list[dict[str, Any]]:
    lines = (RUN / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if kind in row]


def final_state() -> dict[str, Any]:
    return StateStore(RUN / "state").load()[0]


def assert_same(first: object, second: object) -> None:
    """Compare nested states bit for bit."""
    if isinstance(first, Tensor):
        assert isinstance(second, Tensor) and torch.equal(first, second)
    elif isinstance(first, dict):
        assert isinstance(second, dict) and first.keys() == second.keys()
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, list | tuple):
        assert isinstance(second, list | tuple) and len(first) == len(second)
        for left, right in zip(first, second, strict=True):
            assert_same(left, right)
    else:
        assert first == second


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], None]) -> None:
    """Do something just before a global step of the training runs."""
    original = TrainingStep.__call__

    def call(self: TrainingStep, *arguments, **keywords):
        if keywords["step"] == step:
            act()
        return original(self, *arguments, **keywords)

    monkeypatch.setattr(TrainingStep, "__call__", call)


def deliver(number: int) -> None:
    """Call the installed handler of a signal, as the interpreter does between two instructions.

    The signal itself, raised in a process with the native libraries of the whole suite, has crashed it at random.
    """
    handler = signal.getsignal(number)
    assert callable(handler)
    handler(number, None)
