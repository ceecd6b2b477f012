"""Train: parse, seed, build, Trainer(...).fit()."""

import argparse
import math
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from data import build_degradation, build_training_batches, build_validation_samples
from data.degradation import Degradation
from loss import PixelLoss, contrastive_loss
from model import CDSR, DASR, Bicubic, build_model, compile_model, init_model, load_model, save_model, variant_in
from model.moco import MoCo
from model.oracle import Oracle
from model.published import require_fit, to_published
from model.sync_norm import synchronise_statistics
from model.variant import Variant, variant_of
from option import build_parser, parse_options
from trainer import Interrupted, Trainer, TrainingStopped
from training.ema import ExponentialMovingAverage
from training.schedule import Schedule
from training.step import StepConfig, TrainingStep
from training.validation import Validator
from utils import distributed
from utils.checkpoint import StateStore
from utils.device import has_fast_bf16, select_device
from utils.interfaces import NonBlind
from utils.randomness import seed_everything
from utils.run import EXPERIMENT, RunLogger, log_to_console, logger, prepare_run, run_name

NUM_FITTED_KERNELS = 10_000


def main(argv: list[str] | None = None) -> int:
    """Train a model, or evaluate one with `--test_only`; returns the exit code."""
    args = parse_options(argv)
    if args.n_GPUs > 1 and not distributed.is_launched():
        return distributed.launch(args.n_GPUs, __file__, sys.argv[1:] if argv is None else argv)
    log_to_console(is_silent=distributed.is_launched() and int(os.environ["RANK"]) > 0)
    if args.test_only:
        import test

        return test.run(args)
    try:
        train(args)
    except Interrupted as stop:
        logger.warning("%s", stop)
        return stop.exit_code
    except (ValueError, OSError, TrainingStopped) as error:
        logger.error("error: %s", error)
        return 1
    finally:
        distributed.finalize()
    return 0


def train(args: argparse.Namespace) -> None:
    """Build everything, resume where asked, and fit."""
    if args.dir_data is None:
        raise ValueError("--dir_data is missing: give a folder of HR images, or the LMDB packed from one")
    seed_everything(args.seed, deterministic=args.deterministic)
    device = select_device(args.device, cpu=args.cpu or args.n_GPUs == 0, local_rank=distributed.local_rank())
    resolve_arithmetic(args, device)
    if distributed.is_launched():
        distributed.initialize(device)
    degradation = build_degradation(args)
    state, lines = load_state(args)
    training_step = build_training_step(args, degradation, device, state)
    samples = build_validation_samples(args, degradation)
    variant = {name: getattr(args, name) for name in Variant._fields if getattr(args, name) is not None}
    metadata = {"model": args.model, **variant, **degradation.describe()}
    folder = open_run(args)
    run_logger = RunLogger(folder, use_tensorboard=args.use_tb_logger, is_silent=distributed.rank() > 0)
    try:
        run_logger.describe_run(vars(args))
        trainer = Trainer(
            training_step=training_step,
            make_loader=lambda start, num_steps: build_training_batches(
                args,
                start_step=start,
                num_steps=num_steps,
                rank=distributed.rank(),
                world_size=distributed.world_size(),
                device=device,
            ),
            validate=Validator(samples, precision=args.precision, device=device),
            save_model=lambda model, path: save_model(model, path, metadata),
            schedule=build_schedule(args, has_contrast=training_step.moco is not None),
            run_logger=run_logger,
            print_every=args.print_every,
            save_models=args.save_models,
            time_limit=args.time_limit or math.inf,
        )
        if state is not None:
            trainer.load_state(state)
        for line in lines:
            logger.warning("%s", line)
        logger.info("run %s: %s x%d on %s, %s", folder, args.model, args.scale, device, args.precision)
        trainer.fit()
    finally:
        run_logger.close()


def resolve_arithmetic(args: argparse.Namespace, device: torch.device) -> None:
    """Fill in the precision and the memory layout that fit the device, where the user gave none; tune its kernels."""
    if args.precision is None:
        args.precision = "bf16" if has_fast_bf16(device) else "single"
    if args.channels_last is None:
        args.channels_last = device.type == "cuda" and args.precision != "single"
    torch.backends.cudnn.benchmark = not args.deterministic  # every batch has the same shape


def run_folder(args: argparse.Namespace) -> Path:
    """Name the folder of the run."""
    name = run_name(save=args.save, scale=args.scale, sample_mode=args.sample_mode, blur_type=args.blur_type)
    return EXPERIMENT / name


def load_state(args: argparse.Namespace) -> tuple[dict[str, Any] | None, list[str]]:
    """Read the state that `--resume` asks for, if it does; also returns lines to tell the user."""
    if not args.resume:
        return None, []
    source = EXPERIMENT / args.load if args.load else run_folder(args)
    state, path, lines = StateStore(source / "state").load(args.resume)
    return state, [*lines, f"resumed from {path}"]


def open_run(args: argparse.Namespace) -> Path:
    """Make the folder of the run."""
    folder = run_folder(args)
    if distributed.rank() == 0:
        prepare_run(folder, reset=args.reset, resume=bool(args.resume))
    distributed.barrier()
    return folder


def build_network(
    args: argparse.Namespace, degradation: Degradation, device: torch.device, state: dict[str, Any] | None
) -> CDSR | Oracle | DASR:
    """Build the model with its starting weights, in the variant of these or of the state that will replace them."""
    resumed = to_published(state["model"]) if state else None
    held = variant_of(resumed) if resumed else variant_in(args.pre_train or args.init_from)
    model = build_model(args, device, held)
    if isinstance(model, Bicubic):
        raise ValueError(f"--model {args.model} has nothing to train; give CDSR, CDSR_S, DASR or DASR_S")
    if isinstance(model, NonBlind):
        tell_kernels(model, degradation)
        warn_of_contrast(args)
    if resumed:
        require_fit(model, resumed, "the state to resume")
    if args.pre_train:
        load_model(model, args.pre_train)
    if args.init_from:
        init_model(model, args.init_from)
    return model


def build_training_step(
    args: argparse.Namespace, degradation: Degradation, device: torch.device, state: dict[str, Any] | None
) -> TrainingStep:
    """Build the model and all that trains it."""
    pixel_loss = PixelLoss(args.loss, rgb_range=args.rgb_range).to(device)
    model = build_network(args, degradation, device, state)
    if args.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if args.sync_bn:
        synchronise_statistics(model)
    moco = None if isinstance(model, NonBlind) else MoCo(model.encoder, queue_size=args.queue_size).to(device)
    ema = ExponentialMovingAverage(model, args.ema) if args.ema else None
    if args.compile:
        compile_model(model)
    return TrainingStep(
        model=model,
        moco=moco,
        pixel_loss=pixel_loss,
        contrastive_loss=contrastive_loss,
        degradation=degradation,
        optimizer=build_optimizer(args, model),
        config=StepConfig(
            seed=args.seed,
            precision=args.precision,
            channels_last=args.channels_last,
            c_weight=args.c_weight,
            same_degradation=args.positive != "c",
            split_batch=args.split_batch,
            skip_threshold=args.skip_threshold,
            grad_clip=args.grad_clip,
        ),
        device=device,
        ema=ema,
    )


def tell_kernels(model: NonBlind, degradation: Degradation) -> None:
    """Show an oracle kernels of the training to come, the same ones in every run of these options."""
    known_degradation = degradation.known_degradation(
        degradation.draw(NUM_FITTED_KERNELS, torch.Generator().manual_seed(0))
    )
    if known_degradation is None:
        raise ValueError("an oracle is told one kernel an image: give --sv_mode 0, or --model CDSR")
    model.fit_kernels(known_degradation.kernels)


def warn_of_contrast(args: argparse.Namespace) -> None:
    """Name the options that were given for a contrastive loss that there is not."""
    for name in ("c_weight", "positive", "queue_size"):
        if getattr(args, name) != build_parser().get_default(name):
            logger.warning("--%s has no effect: %s has no contrastive loss", name, args.model)


def build_schedule(args: argparse.Namespace, *, has_contrast: bool = True) -> Schedule:
    """Read phases and learning rates from the options; without contrast there is no encoder to freeze."""
    return Schedule(
        epochs_encoder=args.epochs_encoder,
        epochs_sr=args.epochs_sr,
        freeze_epoch=args.freeze_epoch if has_contrast else sys.maxsize,
        steps_per_epoch=args.test_every,
        lr_encoder=args.lr_encoder,
        lr_sr=args.lr_sr,
        lr_decay_encoder=args.lr_decay_encoder,
        lr_decay_sr=args.lr_decay_sr,
        gamma_encoder=args.gamma_encoder,
        gamma_sr=args.gamma_sr,
        decay_type=args.decay_type,
        warmup=args.warmup,
    )


def build_optimizer(args: argparse.Namespace, model: nn.Module) -> torch.optim.Optimizer:
    """Make the optimiser of `--optimizer` over all weights; the schedule sets its rate at every step."""
    shared = {"lr": args.lr_sr, "weight_decay": args.weight_decay}
    if args.optimizer == "SGD":
        return torch.optim.SGD(model.parameters(), momentum=args.momentum, **shared)
    if args.optimizer == "RMSprop":
        return torch.optim.RMSprop(model.parameters(), eps=args.epsilon, **shared)
    betas = (args.beta1, args.beta2)
    return torch.optim.Adam(model.parameters(), betas=betas, eps=args.epsilon, fused=True, **shared)


if __name__ == "__main__":
    sys.exit(main())
