"""Train: parse, seed, build, Trainer(...).fit()."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from data import build_degradation, build_train_loader, build_validation_samples
from loss import PixelLoss, contrastive_loss
from model import Bicubic, build_model, load_model, save_model
from model.moco import MoCo
from option import parse_options
from trainer import Interrupted, Trainer, TrainingConfig, TrainingStopped
from utils.checkpoint import StateStore
from utils.device import select_device
from utils.evaluation import evaluate, summarize
from utils.inference import Upscaler
from utils.interfaces import Samples, SuperResolver
from utils.randomness import seed_everything
from utils.run import EXPERIMENT, RunLogger, log_to_console, logger, prepare_run, run_name
from utils.schedule import Schedule


def main(argv: list[str] | None = None) -> int:
    """Train a model, or evaluate one with `--test_only`; returns the exit code."""
    args = parse_options(argv)
    log_to_console()
    if args.test_only:
        import test

        return test.run(args)
    try:
        train(args)
    except Interrupted as stop:
        logger.warning("%s", stop)
        return stop.exit_code
    except (ValueError, TrainingStopped) as error:
        logger.error("error: %s", error)
        return 1
    return 0


def train(args: argparse.Namespace) -> None:
    """Build everything, resume where asked, and fit."""
    if args.dir_data is None:
        raise ValueError("--dir_data is missing: give a folder of HR pictures, or the LMDB packed from one")
    seed_everything(args.seed)
    device = select_device(args.device, cpu=args.cpu or args.n_GPUs == 0)
    pixel_loss = PixelLoss(args.loss, rgb_range=args.rgb_range).to(device)
    model = build_model(args, device)
    if isinstance(model, Bicubic):
        raise ValueError(f"--model {args.model} has nothing to train; give CDSR or CDSR_S")
    if args.pre_train:
        load_model(model, args.pre_train)
    degradation = build_degradation(args)
    metadata = {"model": args.model, **degradation.config.describe()}
    samples = build_validation_samples(args, degradation)

    folder = EXPERIMENT / run_name(
        save=args.save, scale=args.scale, sample_mode=args.sample_mode, blur_type=args.blur_type
    )
    source = EXPERIMENT / args.load if args.load else folder
    state = None
    if args.resume:
        state, path, passed_over = StateStore(source / "state").load(args.resume)
    prepare_run(folder, reset=args.reset, resume=bool(args.resume))
    run_logger = RunLogger(folder, use_tensorboard=args.use_tb_logger)
    run_logger.describe_run(vars(args))
    trainer = Trainer(
        model=model,
        moco=MoCo(model.encoder).to(device),
        pixel_loss=pixel_loss,
        contrastive_loss=contrastive_loss,
        degradation=degradation,
        make_loader=lambda start, num_steps: build_train_loader(args, start_step=start, num_steps=num_steps)[0],
        validate=make_validation(args, model, samples, device),
        save_model=lambda path: save_model(model, path, metadata),
        optimizer=build_optimizer(args, model),
        schedule=build_schedule(args),
        config=TrainingConfig(
            seed=args.seed,
            precision=args.precision,
            c_weight=args.c_weight,
            split_batch=args.split_batch,
            skip_threshold=args.skip_threshold,
            print_every=args.print_every,
            save_models=args.save_models,
        ),
        run_logger=run_logger,
        device=device,
    )
    try:
        if state is not None:
            for line in passed_over:
                logger.warning("%s", line)
            trainer.load_state(state)
            logger.info("resumed from %s at step %d", path, trainer.step)
        logger.info("run %s: %s x%d on %s, %s", folder, args.model, args.scale, device, args.precision)
        trainer.fit()
    finally:
        run_logger.close()


def make_validation(
    args: argparse.Namespace, model: SuperResolver, samples: Samples, device: torch.device
) -> Callable[[], tuple[float, float]]:
    """Bind the shared evaluation to the held-out pictures."""
    upscaler = Upscaler(model, precision=args.precision)

    def validate() -> tuple[float, float]:
        summary = summarize(evaluate(upscaler, samples, device=device, name="validation"))
        return summary.psnr, summary.ssim

    return validate


def build_schedule(args: argparse.Namespace) -> Schedule:
    """Read phases and learning rates from the options."""
    return Schedule(
        epochs_encoder=args.epochs_encoder,
        epochs_sr=args.epochs_sr,
        freeze_epoch=args.freeze_epoch,
        steps_per_epoch=args.test_every,
        lr_encoder=args.lr_encoder,
        lr_sr=args.lr_sr,
        lr_decay_encoder=args.lr_decay_encoder,
        lr_decay_sr=args.lr_decay_sr,
        gamma_encoder=args.gamma_encoder,
        gamma_sr=args.gamma_sr,
        decay_type=args.decay_type,
    )


def build_optimizer(args: argparse.Namespace, model: nn.Module) -> torch.optim.Optimizer:
    """Make the optimiser of `--optimizer` over all weights; the schedule sets its rate at every step."""
    shared = {"lr": args.lr_sr, "weight_decay": args.weight_decay}
    if args.optimizer == "SGD":
        return torch.optim.SGD(model.parameters(), momentum=args.momentum, **shared)
    if args.optimizer == "RMSprop":
        return torch.optim.RMSprop(model.parameters(), eps=args.epsilon, **shared)
    return torch.optim.Adam(model.parameters(), betas=(args.beta1, args.beta2), eps=args.epsilon, **shared)


if __name__ == "__main__":
    sys.exit(main())
