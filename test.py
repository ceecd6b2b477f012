"""Evaluate a model on test sets, or upscale your own images (`--dir_demo`)."""

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch

from data import build_protocol
from data.degradation import RealDegradation
from data.protocol import Protocol
from data.samples import Testset
from data.test_sets import load_testset
from evaluation.report import write_report
from evaluation.report.showcase import write_showcase
from evaluation.rowlog import remove_parts
from evaluation.sets import evaluate_sets
from evaluation.shard import Shard, join_shard
from inference.backend import choose_backend
from inference.upscaler import Upscaler
from model import build_model, load_model, usual_variant, variant_in
from model.network import Foreign
from model.pretrained import shipped_weights
from option import Options, parse_options
from restore.plan import OutputOptions, plan
from restore.restore import restore_all
from restore.sources import find_images
from utils import distributed
from utils.device import resolve_precision, select_device
from utils.files import sha256
from utils.log import log_to_console, logger
from utils.randomness import seed_everything


def main(argv: list[str] | None = None) -> int:
    """Parse and run; returns the exit code: 0, 1 where something failed, 130 where Ctrl-C came (143: SIGTERM)."""
    args = parse_options(argv)
    if args.n_GPUs > 1 and not distributed.is_launched():
        return distributed.launch(args.n_GPUs, __file__, sys.argv[1:] if argv is None else argv)
    log_to_console(is_silent=not distributed.is_first())
    return run(args)


def run(args: Options) -> int:
    """Evaluate, or restore images; a user's mistake is one line."""
    try:
        seed_everything(args.seed)
        shard = join_shard()
        if args.dir_demo and not shard.is_first:  # one process is enough
            return 0
        device = select_device(args.device, cpu=args.cpu or args.n_GPUs == 0, local_rank=distributed.local_rank())
        upscaler, checkpoint = build_upscaler(args, device)
        if args.dir_demo:
            return restore_images(args, upscaler, device)
        exit_code = evaluate_testsets(args, upscaler, checkpoint, device, shard)
        shard.close()
        return exit_code
    except (ValueError, OSError) as error:
        logger.error("error: %s", error)
        return 1
    except KeyboardInterrupt as interruption:
        is_logged = not args.dir_demo and not args.embeddings
        logger.error(
            "interrupted%s", "; finished rows are kept, and the same command resumes from them" if is_logged else ""
        )
        return 128 + (interruption.args[0] if interruption.args else signal.SIGINT)


def build_upscaler(args: Options, device: torch.device) -> tuple[Upscaler, dict[str, Any]]:
    """Make the model with its weights; also returns what the result files say of the checkpoint."""
    name, path = args.model, args.pre_train
    if name == "bicubic" and not args.dir_demo and (name := build_protocol(args).degradation().baseline) != "bicubic":
        logger.info("bicubic is MATLAB's here (--model %s), as in the protocols of DASR", name)
    is_real = bool(args.dir_demo) or build_protocol(args).config.degradation == RealDegradation.name
    if path is None:
        name, path = shipped_weights(name, args.scale, args.noise, real=is_real and not args.blur_only)
    model = build_model(args.replace(model=name), device, variant_in(path, name))
    checkpoint: dict[str, Any] = {"model": name, "scale": args.scale}
    if model.has_variants and model.variant != usual_variant(name):
        checkpoint["variant"] = model.variant.marks(usual_variant(name))
    if isinstance(model, Foreign):
        checkpoint["variant"] = [path.stem]
    if model.is_trainable or isinstance(model, Foreign):
        if not args.pre_train and not path.is_file():
            raise ValueError(
                f"no weights are shipped for {name} x{args.scale}; give a checkpoint with --pre_train, or try "
                "--model CDSR_S --scale 2"
            )
        load_model(model, path)
        checkpoint |= {"trained_for": dict(model.trained_for), "file": path.name, "sha256": sha256(path)}
        logger.info("weights: %s", path)
    elif args.pre_train:
        logger.warning("--pre_train has no effect: %s has no weights", name)
    is_own = bool(args.dir_demo)  # tables: the same results wherever they are computed
    precision = resolve_precision(args.precision or ("auto" if is_own and model.is_trainable else "single"), device)
    upscaler = Upscaler(
        model.to(device).eval(),
        precision=precision,
        backend=choose_backend(args.backend or (None if is_own else "torch"), model, device, precision),
        channels_last=args.channels_last,
        tile=args.tile or None,
        self_ensemble=args.self_ensemble,
        centred=is_real,
        strength=args.strength,
    )
    if model.is_trainable and not args.embeddings:
        logger.info("the network runs in %s", upscaler.arithmetic)
    return upscaler, checkpoint


def warn_of_overruled(args: Options, protocol: Protocol) -> None:
    """Name the options of the degradation that the protocol has its own values of."""
    config = protocol.config
    is_own = args.degradation == config.degradation
    is_overruled = {
        "degradation": not is_own,
        "sample_mode": is_own and args.sample_mode != protocol.degradation().downsampling,
        "blur_kernel": args.blur_kernel != config.blur_kernel,
        "theta": not args.names_kernel,
    }
    for name in (name for name in is_overruled if is_overruled[name] and name in args.given):
        logger.warning("--%s has no effect: protocol %s has its own kernels and sampling", name, protocol.name)


def results_folder(args: Options) -> Path:
    """Resolve where results go: `--results`, the run of `--pre_train`, or the run that the options name."""
    if args.results:
        return args.results
    if args.pre_train and args.pre_train.resolve().parent.name == "model":
        return args.pre_train.resolve().parent.parent / "results"
    return args.run_folder / "results"


def open_sets(args: Options, protocol: Protocol) -> dict[str, Testset]:
    """Open the sets that are there; each that is not is an error line with the tree expected."""
    testsets = {}
    for name in dict.fromkeys(args.test_sets):
        try:
            testsets[name] = load_testset(args.test_path, name, protocol)
        except ValueError as error:
            logger.error("error: %s", error)
    return testsets


def evaluate_testsets(
    args: Options, upscaler: Upscaler, checkpoint: dict[str, Any], device: torch.device, shard: Shard
) -> int:
    """Evaluate every set, or encode it (`--embeddings`); a missing set does not stop the others."""
    folder, protocol = results_folder(args), build_protocol(args)
    warn_of_overruled(args, protocol)
    model_name = "-".join([checkpoint["model"], *checkpoint.get("variant", [])]).replace(" ", "-")
    suffix = f"x{args.scale}_{protocol.slug}_{model_name}"
    testsets = open_sets(args, protocol)
    failed = len(testsets) < len(set(args.test_sets))
    if testsets and not args.embeddings:
        stems = {folder / f"{name}_{suffix}": testset for name, testset in testsets.items()}
        results = evaluate_sets(
            upscaler,
            stems,
            checkpoint,
            device=device,
            shard=shard,
            metrics=args.metrics,
            profile=args.profile,
            save_images=args.save_results,
        )
        failed = failed or any(row.error for rows in results.values() for row in rows)
        if shard.is_first:
            if args.report:
                write_showcase(folder / f"showcase_{suffix}", results, testsets, checkpoint, upscaler, device)
            for stem in stems:
                remove_parts(stem)
    if testsets and shard.is_first:
        if args.embeddings:
            # Here, because scikit-learn takes a second to import, which a photograph need not wait for.
            from evaluation.embeddings import encode_sets

            print(encode_sets(upscaler.model, testsets, checkpoint, folder / f"embeddings_{suffix}", device=device))
        print(f"results: {folder}")
        if args.report:
            print(f"report: {write_report([folder], folder)}")
    return int(failed)


def restore_images(args: Options, upscaler: Upscaler, device: torch.device) -> int:
    """Upscale the images of `--dir_demo`; what cannot be done is said and does not stop the others."""
    signal.signal(signal.SIGTERM, interrupt)
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
    encoding = sys.stdout.encoding or "utf-8"  # names of files may have what it does not
    print(outcome.summary(folder).encode(encoding, "backslashreplace").decode(encoding))
    if outcome.interruption:
        raise outcome.interruption
    return int(bool(outcome.failed))


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Handle a signal as Ctrl-C."""
    raise KeyboardInterrupt(number)


if __name__ == "__main__":
    sys.exit(main())
