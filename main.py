"""Train: parse, seed, build, Trainer(...).fit()."""

import math
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from data import build_batches, build_pair_degradation, open_images
from data.degradation import Degradation, RealDegradation
from data.validation import ValidationSet
from model import save_model
from model.network import Network
from option import TEST_SETS_ALONE, Options, parse_options
from trainer import Interrupted, Trainer, TrainingStopped
from training.build import build_schedule, build_training_step
from training.optimizers import unread_flags
from training.validation import Validator
from utils import distributed
from utils.checkpoint import StateStore
from utils.device import resolve_precision, select_device
from utils.log import log_to_console, logger
from utils.randomness import seed_everything
from utils.run import RunLogger, prepare_run

CONTRASTIVE = {"c_weight", "positive", "negatives", "temperature", "moco_momentum", "queue_size"}
"""Options of the contrastive loss."""

TESTS = {
    *TEST_SETS_ALONE,
    *("backend", "theta", "tile", "self_ensemble", "save_results", "results", "blur_only", "dir_demo"),
}
"""Options of test.py that a training does not read."""

ENCODER_PHASE = {"lr_encoder", "lr_decay_encoder", "gamma_encoder", "batch_encoder"}
"""Options of the encoder phase."""


def main(argv: list[str] | None = None) -> int:
    """Train a model, or evaluate one with `--test_only`; returns the exit code."""
    args = parse_options(argv)
    if args.n_GPUs > 1 and not distributed.is_launched():
        return distributed.launch(args.n_GPUs, __file__, sys.argv[1:] if argv is None else argv)
    log_to_console(is_silent=not distributed.is_first())
    if args.test_only:
        import test

        return test.run(args)
    try:
        train(args)
    except Interrupted as stop:
        logger.warning("%s", stop)
        return stop.exit_code
    except KeyboardInterrupt:  # before the first step, or a second time
        logger.error("interrupted")
        return 128 + signal.SIGINT
    except (ValueError, OSError, TrainingStopped) as error:
        logger.error("error: %s", error)
        return 1
    finally:
        distributed.finalize()
    return 0


def train(args: Options) -> None:
    """Build everything, resume where asked, and fit."""
    if args.dir_data is None:
        raise ValueError("--dir_data is missing: give a folder of HR images, or the LMDB packed from one")
    seed_everything(args.seed, deterministic=args.deterministic)
    device = select_device(args.device, cpu=args.cpu or args.n_GPUs == 0, local_rank=distributed.local_rank())
    args = resolve_arithmetic(args, device)
    if distributed.is_launched():
        distributed.initialize(device)
    if ":" in args.device and distributed.world_size() > 1:
        raise ValueError(
            f"--device {args.device} is one, and there are {distributed.world_size()} processes: leave it out"
        )
    pair_degradation = build_pair_degradation(args, rank=distributed.rank(), world_size=distributed.world_size())
    degradation = pair_degradation.degradation
    degradation.check_training()
    state, lines = load_state(args)
    training_step = build_training_step(args, pair_degradation, device, state)
    model = training_step.model
    unread = unread_options(args, model, degradation)
    for name in sorted(unread.keys() & args.given):
        logger.warning("--%s has no effect: %s", name, unread[name])
    if not model.is_contrastive:
        args = args.replace(context=0)
    schedule = build_schedule(args, is_contrastive=model.is_contrastive)
    images, held_out = open_images(args)
    batches = build_batches(args, images, pair_degradation, device, num_encoder_steps=schedule.num_encoder_steps)
    variant = model.variant._asdict() if model.has_variants else {}
    args = args.replace(**variant)
    metadata = {"model": args.model, **variant, **degradation.describe()}
    folder = open_run(args)
    run_logger = RunLogger(folder, use_tensorboard=args.use_tb_logger, is_silent=distributed.rank() > 0)
    try:
        trainer = Trainer(
            training_step=training_step,
            batches=batches,
            validate=Validator(ValidationSet(held_out, degradation), precision=args.precision, device=device),
            save_model=lambda model, path: save_model(model, path, metadata),
            schedule=schedule,
            run_logger=run_logger,
            print_every=args.print_every,
            save_models=args.save_models,
            time_limit=args.time_limit or math.inf,
        )
        if state is not None:
            trainer.load_state(state)
        run_logger.describe_run(vars(args))
        for line in lines:
            logger.warning("%s", line)
        logger.info("run %s on %s: %s", folder, device, args)
        trainer.fit()
    finally:
        run_logger.close()


def unread_options(args: Options, model: Network, degradation: Degradation) -> dict[str, str]:
    """Name the options that this training does not read, each with the reason."""
    unread = dict.fromkeys(degradation.unread_ranges, f"degradation {degradation.name}, {args.blur_type} kernels")
    unread |= dict.fromkeys(unread_flags(args.optimizer), f"--optimizer {args.optimizer}")
    unread |= dict.fromkeys(TESTS, "it is for tests, not for a training")
    if degradation.variance_range is None or args.sv_mode:
        unread["blur_type"] = "no one Gaussian kernel is drawn for an image"
    if args.data_resident:
        unread["n_threads"] = "--data_resident"
    if not model.is_contrastive:
        unread |= dict.fromkeys(CONTRASTIVE, f"{args.model} has no contrastive loss")
        unread["context"] = f"{args.model} has no encoder that looks at it"
        unread["freeze_epoch"] = f"{args.model} has no encoder that learns by itself"
    elif args.negatives == "batch":
        unread["queue_size"] = "--negatives batch"
    if degradation.name != RealDegradation.name:
        unread["compression"] = f"degradation {degradation.name} compresses nothing"
    if distributed.world_size() == 1:
        unread["sync_bn"] = "there is one process"
    if args.epochs_encoder < 1:
        unread |= dict.fromkeys(ENCODER_PHASE, f"--epochs_encoder {args.epochs_encoder}")
    if args.decay_type != "step":
        unread["lr_decay_sr"] = f"--decay_type {args.decay_type}"
        if not args.decay_type.startswith("step"):
            unread["gamma_sr"] = f"--decay_type {args.decay_type}"
    return unread


def resolve_arithmetic(args: Options, device: torch.device) -> Options:
    """Fill in the precision and the memory layout that fit the device, where the user gave none; tune its kernels."""
    torch.backends.cudnn.benchmark = not args.deterministic  # every batch has the same shape
    precision, channels_last = args.precision, args.channels_last
    if precision is None:
        precision = "auto" if device.type == "cuda" else "single"
    precision = resolve_precision(precision, device)
    if channels_last is None:
        channels_last = device.type == "cuda" and precision != "single"
    return args.replace(precision=precision, channels_last=channels_last)


def load_state(args: Options) -> tuple[dict[str, Any] | None, list[str]]:
    """Read the state that `--resume` asks for, if it does; also returns lines to tell the user."""
    if not args.resume:
        return None, []
    state, path, lines = StateStore(args.run_folder / "state").load(args.resume)
    return state, [*lines, f"resumed from {path}"]


def open_run(args: Options) -> Path:
    """Make the folder of the run."""
    if distributed.rank() == 0:
        prepare_run(args.run_folder, reset=args.reset, resume=bool(args.resume))
    distributed.barrier()
    return args.run_folder


if __name__ == "__main__":
    sys.exit(main())
