"""Test sets under one protocol, all evaluated alike: their rows, their files, one table."""

import contextlib
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.mismatch import mismatches
from data.protocol import Protocol
from data.samples import Sample, Testset
from evaluation.evaluate import evaluate
from evaluation.metrics import Measure, describe_metrics, load_metrics
from evaluation.profiling import Cost, Profile, model_cost
from evaluation.results import NAN, Result, Summary, by_severity, precision_note, summarize, table, write_results
from evaluation.rowlog import RowLog
from evaluation.shard import Shard
from inference.upscaler import VIEWS, Upscaler
from utils.environment import environment
from utils.files import as_json
from utils.image import write_image
from utils.log import logger

TIMED_ON = ("processor", "gpus", "threads")
"""Of the environment: what the seconds of a row depend on."""


def evaluate_sets(
    upscaler: Upscaler,
    testsets: Mapping[Path, Testset],
    checkpoint: Mapping[str, Any],
    *,
    device: torch.device,
    shard: Shard,
    metrics: Sequence[str],
    profile: bool = False,
    save_images: bool = False,
) -> dict[str, list[Result]]:
    """Evaluate every set, write its files, print one table; returns the rows by set.

    Args:
        upscaler: the model.
        testsets: by the stem of their result files, `stem`.json and `stem`.csv; all of one protocol.
        checkpoint: what the files say of the weights. Its `trained_for` is compared with the protocol.
        device: where the model lives.
        shard: this process's part. The first process alone writes and prints.
        metrics: names of METRICS.
        profile: time each image alone, and count parameters, multiply-adds and memory.
        save_images: write the SR images into the folder `stem`.
    """
    measures = load_metrics(metrics, device)
    protocol = next(iter(testsets.values())).protocol
    context = describe(upscaler, protocol, checkpoint, metrics)
    for warning in context["warnings"]:
        logger.warning("warning: %s", warning)
    contexts = {
        stem: {"set": testset.name, "images": testset.listed_images, **context} for stem, testset in testsets.items()
    }
    if shard.is_first:
        warn_of_replaced(contexts)
    evaluate_set = SetEvaluator(
        upscaler=upscaler,
        device=device,
        shard=shard,
        measures=measures,
        cost=cost_of(upscaler, protocol) if profile else None,
        facts=environment(),
        save_images=save_images,
    )
    results: dict[str, list[Result]] = {}
    summaries: dict[str, Summary] = {}
    columns: dict[str, dict[str, str]] = {}
    for stem, testset in testsets.items():
        rows, measured = evaluate_set(stem, testset, contexts[stem])
        results[testset.name] = rows
        columns[testset.name] = measured.columns() if measured else {}
        summaries |= {testset.name: summarize(rows)}
        severities = by_severity(rows, protocol.severities)
        summaries |= {f"{testset.name}, {severity}": summary for severity, summary in severities.items()}
    if shard.is_first:
        notes = [precision_note([upscaler.precision]), *(f"warning: {warning}" for warning in context["warnings"])]
        print(table(summaries, columns), "", *notes, sep="\n")
    return results


@dataclass(frozen=True, kw_only=True)
class SetEvaluator:
    """How every set is evaluated and its files are written.

    Args:
        upscaler: the model.
        device: where it lives.
        shard: this process's part.
        measures: what is measured, by name.
        cost: of an image; where it is given, each is timed alone.
        facts: the environment.
        save_images: write the SR images into the folder `stem`.
    """

    upscaler: Upscaler
    device: torch.device
    shard: Shard
    measures: Mapping[str, Measure]
    cost: Cost | None
    facts: Mapping[str, Any]
    save_images: bool

    def __call__(self, stem: Path, testset: Testset, context: Mapping[str, Any]) -> tuple[list[Result], Profile | None]:
        """Evaluate a set, of which the files say `context`; returns its rows and, where they are timed, their cost."""
        indices = self.shard.indices(testset.keys)
        rows = evaluate(
            self.upscaler,
            testset,
            device=self.device,
            name=testset.name,
            metrics=self.measures,
            on_result=functools.partial(_save, stem) if self.save_images else None,
            indices=indices,
            row_log=RowLog(stem, {**context, **self._circumstances(testset)}, part=self.shard.rank),
            overlap=not self.cost,
            progress=self.shard.is_first,
        )
        rows = self.shard.merge(indices, rows)
        profile = None
        if self.cost:
            peak = max((row.peak_memory for row in rows if not row.error), default=NAN)
            profile = Profile(**asdict(self.cost), seconds_per_image=summarize(rows).seconds, peak_memory_mib=peak)
        if self.shard.is_first:
            # Memory may have run short, after which an upscaler takes smaller tiles.
            more = {"profile": profile and asdict(profile), "environment": self.facts, "tile": self.upscaler.tile}
            if severities := by_severity(rows, testset.protocol.severities):
                more["by_severity"] = {severity: dict(summary.values) for severity, summary in severities.items()}
            write_results(stem, rows, context={**context, **more})
        return rows, profile

    def _circumstances(self, testset: Testset) -> dict[str, Any]:
        """What rows depend on besides the settings: the files, the code, the kind of device; what timed it, if any."""
        return {
            "rows": testset.keys,
            "files": testset.versions,
            "commit": self.facts["commit"],
            "device": self.device.type,
            "timed_on": {name: self.facts[name] for name in TIMED_ON} if self.cost else None,
            "saved": self.save_images,
        }


def describe(
    upscaler: Upscaler, protocol: Protocol, checkpoint: Mapping[str, Any], metrics: Sequence[str]
) -> dict[str, Any]:
    """Everything that the rows depend on but the images and the code, for JSON."""
    return {
        "protocol": protocol.describe(),
        "metrics": describe_metrics(metrics, upscaler.scale),
        "checkpoint": checkpoint,
        "precision": upscaler.precision,
        "backend": upscaler.backend,
        "channels_last": upscaler.channels_last,
        "tile": upscaler.tile,
        "self_ensemble": upscaler.self_ensemble,
        "warnings": mismatches(checkpoint["trained_for"], protocol) if "trained_for" in checkpoint else [],
    }


def warn_of_replaced(contexts: Mapping[Path, Mapping[str, Any]]) -> None:
    """Name the result files that come to be replaced by those of another checkpoint or of other settings, by stem."""
    for stem, context in contexts.items():
        path, now = stem.with_name(f"{stem.name}.json"), as_json(context)
        with contextlib.suppress(OSError, ValueError):
            before = json.loads(path.read_text(encoding="utf-8"))
            if differing := [name for name in now if name != "warnings" and before.get(name) != now[name]]:
                logger.warning(
                    "%s is of other settings (%s) and is replaced; to keep such files, give --results another folder",
                    *(path, ", ".join(differing)),
                )


def cost_of(upscaler: Upscaler, protocol: Protocol) -> Cost:
    """Count what an image takes, in a self-ensemble all of its views."""
    cost = model_cost(upscaler.model, protocol.known_degradation(protocol.test_kernels[0]))
    return replace(cost, multiply_adds=len(VIEWS) * cost.multiply_adds) if upscaler.self_ensemble else cost


def _save(folder: Path, sample: Sample, sr: np.ndarray) -> None:
    write_image(folder / f"{sample.image}_{sample.kernel}.png", sr)
