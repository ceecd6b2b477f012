"""Evaluate a model on test sets, or upscale a user's own images (`--dir_demo`)."""

import argparse
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data import build_protocol, build_test_samples
from data.mismatch import mismatches
from data.protocols import Protocol
from data.samples import Testset
from evaluation.embeddings import collect_embeddings, write_embeddings
from evaluation.evaluate import Stopwatch, evaluate
from evaluation.measures import Measures, load_lpips
from evaluation.profiling import PeakMemory, model_cost
from evaluation.report import write_report
from evaluation.report.showcase import write_showcase
from evaluation.results import Result, Summary, summarize, table, write_results
from evaluation.rowlog import RowLog, remove_parts
from evaluation.shard import Shard, join_shard
from inference.upscaler import Upscaler
from model import build_model, check_options, grid_shift, load_model, variant_in
from model.pretrained import shipped_weights
from option import parse_options
from restore.restore import OutputOptions, plan, restore_all
from restore.sources import find_images
from utils import distributed
from utils.checkpoint import sha256
from utils.device import select_device
from utils.image import write_image
from utils.interfaces import Sample
from utils.randomness import seed_everything
from utils.run import EXPERIMENT, environment, log_to_console, logger, run_name


def main(argv: list[str] | None = None) -> int:
    """Parse and run; returns the exit code: 0, or 1 where something failed."""
    args = parse_options(argv)
    log_to_console()
    return run(args)


def run(args: argparse.Namespace) -> int:
    """Evaluate or upscale as the options say; an error of the user's is one line."""
    try:
        check_options(args)
        seed_everything(args.seed)
        shard = join_shard()
        if not shard.is_first:
            logger.setLevel(logging.ERROR)
        device = select_device(args.device, cpu=args.cpu or args.n_GPUs == 0, local_rank=distributed.local_rank())
        args.precision = args.precision or "single"  # figures come out the same wherever they are taken
        upscaler, checkpoint = build_upscaler(args, device)
        if args.dir_demo:
            return upscale_images(args, upscaler, device)
        exit_code = evaluate_sets(args, upscaler, checkpoint, device, shard)
        shard.close()
        return exit_code
    except ValueError as error:
        logger.error("error: %s", error)
        return 1
    except KeyboardInterrupt:
        logger.error("interrupted; what is done is kept: the same command goes on from there")
        return 130


def build_upscaler(args: argparse.Namespace, device: torch.device) -> tuple[Upscaler, dict[str, Any]]:
    """Make the model with its weights; also returns what the result files say of the checkpoint."""
    if args.model == "bicubic" and not args.dir_demo and build_protocol(args).config.degradation == "dasr":
        logger.info("bicubic is MATLAB's here (--model bicubic_matlab), as in the protocols of DASR")
        args.model = "bicubic_matlab"
    path = args.pre_train
    if path is None:
        args.model, path = shipped_weights(args.model, args.scale, args.noise)
    model = build_model(args, device, variant_in(path))
    checkpoint: dict[str, Any] = {"model": args.model, "scale": args.scale}
    if model.has_variants and model.variant.marks:
        checkpoint["variant"] = model.variant.marks
    trained_for = {}
    if model.is_trainable:
        if not args.pre_train and not path.is_file():
            raise ValueError(
                f"no weights are shipped for {args.model} x{args.scale}; give a checkpoint with --pre_train, or try "
                "--model CDSR_S --scale 2"
            )
        trained_for = load_model(model, path)
        checkpoint |= {"trained_for": trained_for, "file": path.name, "sha256": sha256(path)}
        logger.info("weights: %s", path)
    elif args.pre_train:
        logger.warning("--pre_train has no effect: %s has no weights", args.model)
    upscaler = Upscaler(
        model.eval(),
        precision=args.precision,
        channels_last=args.channels_last,
        tile=args.tile or None,
        self_ensemble=args.self_ensemble,
        shift=grid_shift(model, trained_for),
        centred=bool(args.dir_demo),
    )
    return upscaler, checkpoint


def results_folder(args: argparse.Namespace) -> Path:
    """Resolve where results go: `--results`, the run of `--pre_train`, or the run that the options name."""
    if args.results:
        return args.results
    if args.pre_train and args.pre_train.resolve().parent.name == "model":
        return args.pre_train.resolve().parent.parent / "results"
    name = run_name(save=args.save, scale=args.scale, sample_mode=args.sample_mode, blur_type=args.blur_type)
    return EXPERIMENT / name / "results"


def evaluate_sets(
    args: argparse.Namespace, upscaler: Upscaler, checkpoint: dict[str, Any], device: torch.device, shard: Shard
) -> int:
    """Evaluate every set, print one table, write the rows; a set that is missing does not stop the others."""
    protocol = build_protocol(args)
    folder = results_folder(args)
    testsets = open_sets(args, protocol)
    failed = len(testsets) < len(set(args.test_sets))
    model_name = "-".join([args.model, *checkpoint.get("variant", [])]).replace(" ", "-")
    suffix = f"x{args.scale}_{protocol.slug}_{model_name}"
    if testsets and args.embeddings:
        if shard.is_first:
            embed_sets(upscaler, testsets, folder / f"embeddings_{suffix}", device)
    elif testsets:
        evaluation = SetEvaluation(args, upscaler, checkpoint, device, shard, protocol)
        results = {name: evaluation(testset, folder / f"{name}_{suffix}") for name, testset in testsets.items()}
        failed = failed or any(row.error for rows in results.values() for row in rows)
        if shard.is_first:
            evaluation.print_table()
            if args.report:
                clock = Stopwatch(upscaler, device, warm_up=False)
                write_showcase(folder / f"showcase_{suffix}", results, testsets, lambda sample: clock(sample)[0])
            for name in testsets:
                remove_parts(folder / f"{name}_{suffix}")
    if shard.is_first and testsets:
        print(f"results: {folder}")
        if args.report:
            print(f"report: {write_report([folder], folder)}")
    return int(failed)


def open_sets(args: argparse.Namespace, protocol: Protocol) -> dict[str, Testset]:
    """Open the sets that are there; each that is not is an error line with the tree expected."""
    testsets = {}
    for name in dict.fromkeys(args.test_sets):
        try:
            testsets[name] = build_test_samples(args, name, protocol)
        except ValueError as error:
            logger.error("error: %s", error)
    return testsets


class SetEvaluation:
    """The evaluation of one set after another, all alike."""

    def __init__(
        self,
        args: argparse.Namespace,
        upscaler: Upscaler,
        checkpoint: dict[str, Any],
        device: torch.device,
        shard: Shard,
        protocol: Protocol,
    ) -> None:
        self.upscaler, self.device, self.shard = upscaler, device, shard
        self.profile, self.save_results = args.profile, args.save_results
        self.measures = Measures(args.metrics, lpips=load_lpips(device) if "lpips" in args.metrics else None)
        self.context: dict[str, Any] = {
            "protocol": protocol.describe(),
            "metrics": self.measures.describe(args.scale),
            "checkpoint": checkpoint,
            "precision": args.precision,
            "tile": upscaler.tile,
            "self_ensemble": args.self_ensemble,
        }
        self.warnings = mismatches(checkpoint["trained_for"], protocol) if "trained_for" in checkpoint else []
        for warning in self.warnings:
            logger.warning("warning: %s", warning)
        self.environment = environment()
        self.cost = (
            model_cost(upscaler.model, protocol.known_degradation(protocol.test_kernels[0])) if args.profile else None
        )
        self.summaries: dict[str, Summary] = {}
        self.columns: dict[str, dict[str, str]] = {}

    def __call__(self, testset: Testset, stem: Path) -> list[Result]:
        """Evaluate a set and write `stem`.json and .csv; also the SR images into the folder `stem`, if asked."""
        settings = {
            **self.context,
            "images": testset.keys,
            "saved": self.save_results,
            "profile": self.profile,
            "commit": self.environment["commit"],
        }
        memory = PeakMemory(self.device)
        indices = self.shard.indices(testset.keys)
        results = evaluate(
            self.upscaler,
            testset,
            device=self.device,
            name=testset.name,
            measures=self.measures,
            on_result=(lambda sample, sr: self._save(stem, sample, sr)) if self.save_results else None,
            indices=indices,
            row_log=RowLog(stem, settings, part=self.shard.rank),
            overlap=not self.profile,
            progress=self.shard.is_first,
        )
        peak = memory.mebibytes()
        results = self.shard.merge(indices, results)
        if not self.shard.is_first:
            return results
        self.summaries[testset.name] = summary = summarize(results)
        profile = {}
        if self.cost is not None:
            profile = {**asdict(self.cost), "seconds_a_image": summary.seconds, "peak_memory_mib": peak}
            times = {"s/image": f"{summary.seconds:.4f}", "peak memory (MiB)": f"{peak:.0f}"}
            self.columns[testset.name] = {**times, **self.cost.columns()}
        context = {
            "set": testset.name,
            **self.context,
            "warnings": self.warnings,
            "profile": profile or None,
            "environment": self.environment,
        }
        write_results(stem, results, context=context)
        return results

    def _save(self, stem: Path, sample: Sample, sr: np.ndarray) -> None:
        write_image(stem / f"{sample.image}_{sample.kernel}.png", sr)

    def print_table(self) -> None:
        """One line a set, and what the reader must know."""
        print(table(self.summaries, self.columns))
        for warning in self.warnings:
            print(f"\nwarning: {warning}")


def embed_sets(upscaler: Upscaler, testsets: dict[str, Testset], stem: Path, device: torch.device) -> None:
    """Collect the codes of all sets, draw them, and print how much they tell of kernel and image."""
    embeddings = collect_embeddings(upscaler.model, testsets, device=device)
    print(write_embeddings(stem, embeddings))


def upscale_images(args: argparse.Namespace, upscaler: Upscaler, device: torch.device) -> int:
    """Upscale the images of `--dir_demo`; what cannot be done is said and does not stop the others."""
    folder = args.results or results_folder(args) / "demo"
    options = OutputOptions(
        file_format=args.format,
        quality=args.quality,
        suffix=f"_x{args.scale}" if args.suffix is None else args.suffix,
        bits=args.bits,
        overwrite=args.overwrite,
        max_pixels=round(args.max_megapixels * 1e6),
    )
    sources, problems = find_images(args.dir_demo, leave_out=args.results)
    for problem in problems:
        logger.error("error: %s", problem)
    outcome = restore_all(plan(sources, folder, options), upscaler, device, options)
    outcome.failed[:0] = problems
    print(outcome.summary(folder))
    return int(bool(outcome.failed))


if __name__ == "__main__":
    sys.exit(main())
