"""Evaluate a model on test sets, or upscale a user's own pictures (`--dir_demo`)."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from data import build_protocol, build_testset
from model import Bicubic, build_model, load_model, pretrained_path
from option import parse_options
from utils.checkpoint import sha256
from utils.device import select_device
from utils.evaluation import Summary, evaluate, summarize, table, write_results
from utils.image import list_images, read_rgb, to_tensor, to_uint8, write_image
from utils.inference import DEFAULT_TILE, Upscaler
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
        seed_everything(args.seed)
        device = select_device(args.device, cpu=args.cpu or args.n_GPUs == 0)
        upscaler, checkpoint = build_upscaler(args, device)
        if args.dir_demo:
            return upscale_folder(args, upscaler, device)
        return evaluate_sets(args, upscaler, checkpoint, device)
    except ValueError as error:
        logger.error("error: %s", error)
        return 1


def build_upscaler(args: argparse.Namespace, device: torch.device) -> tuple[Upscaler, dict[str, Any]]:
    """Make the model with its weights; also returns what the result files say of the checkpoint."""
    model = build_model(args, device)
    checkpoint: dict[str, Any] = {"model": args.model, "scale": args.scale}
    if not isinstance(model, Bicubic):
        path = args.pre_train or pretrained_path(args.model, args.scale)
        if not args.pre_train and not path.is_file():
            raise ValueError(
                f"no weights are shipped for {args.model} x{args.scale}; give a checkpoint with --pre_train, or try "
                "--model CDSR_S --scale 2"
            )
        checkpoint |= {"trained_for": load_model(model, path), "file": path.name, "sha256": sha256(path)}
        logger.info("weights: %s", path)
    elif args.pre_train:
        logger.warning("--pre_train has no effect: %s has no weights", args.model)
    upscaler = Upscaler(
        model.eval(),
        precision=args.precision,
        tile=DEFAULT_TILE if args.chop else None,
        self_ensemble=args.self_ensemble,
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
    args: argparse.Namespace, upscaler: Upscaler, checkpoint: dict[str, Any], device: torch.device
) -> int:
    """Evaluate every set, print one table, write the rows; a set that is missing does not stop the others."""
    protocol = build_protocol(args)
    folder = results_folder(args)
    summaries: dict[str, Summary] = {}
    failed = False
    for name in args.test_sets:
        try:
            testset = build_testset(args, name, protocol)
        except ValueError as error:
            logger.error("error: %s", error)
            failed = True
            continue
        stem = f"{name}_x{args.scale}_{protocol.slug}_{args.model}"

        def save(sample: Sample, sr: np.ndarray, stem: str = stem) -> None:
            write_image(folder / stem / f"{sample.picture}_{sample.case}.png", sr)

        results = evaluate(upscaler, testset, device=device, name=name, on_result=save if args.save_results else None)
        context = {
            "set": name,
            "protocol": protocol.describe(),
            "metrics": {"channel": "Y of BT.601", "border": args.scale, "rounding": "8 bits", "ssim_window": 11},
            "checkpoint": checkpoint,
            "precision": args.precision,
            "self_ensemble": args.self_ensemble,
            "environment": environment(),
        }
        write_results(folder / stem, results, context=context)
        summaries[name] = summarize(results)
        failed = failed or bool(summaries[name].num_failed)
        logger.info("%s: %s", name, asdict(summaries[name]))
    if summaries:
        print(table(summaries))
        print(f"rows: {folder}")
    return int(failed)


def upscale_folder(args: argparse.Namespace, upscaler: Upscaler, device: torch.device) -> int:
    """Upscale every picture of `--dir_demo` to STEM_xS.png; one that cannot be read does not stop the others."""
    folder = args.results or results_folder(args) / "demo"
    paths = list_images(args.dir_demo)
    if not paths:
        raise ValueError(f"no pictures in {args.dir_demo}; looked for PNG, JPEG, WebP, AVIF, BMP and TIFF files")
    num_failed = 0
    for path in tqdm(paths, desc="pictures", disable=None):
        try:
            lr = read_rgb(path)
        except ValueError as error:
            logger.error("error: %s", error)
            num_failed += 1
            continue
        sr = upscaler(to_tensor(lr).unsqueeze(0).to(device))
        write_image(folder / f"{path.stem}_x{args.scale}.png", to_uint8(sr[0]))
    print(f"{len(paths) - num_failed} pictures upscaled to {folder}, {num_failed} failed")
    return int(num_failed > 0)


if __name__ == "__main__":
    sys.exit(main())
