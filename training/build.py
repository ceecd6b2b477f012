"""From the options to all that trains: the network with its starting weights, the step, the schedule."""

import argparse
import sys
from typing import Any

import torch

from data.degradation import Degradation
from data.pairs import PairDegradation
from loss import PixelLoss, contrastive_loss
from model import build_model, compile_model, init_model, load_model, variant_in
from model.moco import MoCo
from model.network import Network, NonBlind
from model.published import require_fit, to_published
from model.sync_norm import synchronise_statistics
from model.variant import Variant, variant_of
from training.ema import ExponentialMovingAverage
from training.optimizers import OPTIMIZERS
from training.schedule import Schedule
from training.step import StepConfig, TrainingStep
from utils import distributed

NUM_FITTED_KERNELS = 10_000


def build_training_step(
    args: argparse.Namespace,
    pair_degradation: PairDegradation,
    device: torch.device,
    state: dict[str, Any] | None = None,
) -> TrainingStep:
    """Build the model and all that trains it, ready to take the state of a run where there is one."""
    if args.cuda_graph and device.type != "cuda":
        raise ValueError(f"--cuda_graph needs a CUDA device, and this is {device}: leave it out")
    if args.cuda_graph and distributed.world_size() > 1:
        raise ValueError(f"--cuda_graph is for one process, and there are {distributed.world_size()}: leave it out")
    pixel_loss = PixelLoss(args.loss).to(device)
    model = build_network(args, pair_degradation.degradation, device, state)
    if args.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if args.sync_bn:
        synchronise_statistics(model)
    moco = build_moco(args, model).to(device) if model.is_contrastive else None
    ema = ExponentialMovingAverage(model, args.ema) if args.ema else None
    if args.compile:
        compile_model(model)
    optimizer = build_optimizer(args, model)
    config = StepConfig(
        precision=args.precision,
        channels_last=args.channels_last,
        c_weight=args.c_weight,
        d_weight=args.d_weight,
        patch=args.patch_size,
        split_batch=args.split_batch,
        skip_threshold=args.skip_threshold,
        grad_clip=args.grad_clip,
        cuda_graph=args.cuda_graph,
    )
    return TrainingStep(
        model=model,
        moco=moco,
        pixel_loss=pixel_loss,
        contrastive_loss=contrastive_loss,
        pair_degradation=pair_degradation,
        optimizer=optimizer,
        config=config,
        device=device,
        ema=ema,
    )


def build_moco(args: argparse.Namespace, model: Network) -> MoCo:
    """Momentum contrast around the encoder of a model."""
    return MoCo(
        model.encoder,
        queue_size=args.queue_size,
        momentum=args.moco_momentum,
        temperature=args.temperature,
        negatives=args.negatives,
    )


def build_optimizer(args: argparse.Namespace, model: Network) -> torch.optim.Optimizer:
    """The optimiser of `--optimizer`, over all weights of a model."""
    build, reads = OPTIMIZERS[args.optimizer]
    settings = {"momentum": args.momentum, "betas": (args.beta1, args.beta2), "eps": args.epsilon}
    return build(model, lr=args.lr_sr, weight_decay=args.weight_decay, **{name: settings[name] for name in reads})


def build_network(
    args: argparse.Namespace, degradation: Degradation, device: torch.device, state: dict[str, Any] | None
) -> Network:
    """Build the model with its starting weights, in the variant of these or of the state that will replace them."""
    resumed = to_published(state["model"]) if state else None
    model = build_model(args, device, variant_of(resumed) if resumed else starting_variant(args))
    if not model.is_trainable:
        raise ValueError(f"--model {args.model} has nothing to train; give CDSR, CDSR_S, DASR or DASR_S")
    if isinstance(model, NonBlind):
        tell_kernels(model, degradation)
    elif args.epochs_teacher or args.d_weight:
        degradation.require_known(degradation.draw(1, torch.Generator()))  # before an epoch is spent on it
    if (args.epochs_teacher or args.d_weight) and model.encoder.head is None:
        raise ValueError("the weights have no head, which --epochs_teacher and --d_weight take: leave these out")
    if resumed:  # its weights replace those to start from, whose file may be gone
        require_fit(model, resumed, "the state to resume")
        return model
    if args.pre_train:
        load_model(model, args.pre_train)
    if args.init_from:
        init_model(model, args.init_from)
    return model


def starting_variant(args: argparse.Namespace) -> Variant | None:
    """The variant of the weights to start from, if any; their head may learn compression then."""
    held = variant_in(args.pre_train or args.init_from, args.model)
    learns = held is not None and held.head and args.init_from and args.compression
    return held._replace(compression=True) if held and learns else held


def tell_kernels(model: NonBlind, degradation: Degradation) -> None:
    """Show a non-blind model kernels of the training to come, the same ones in every run of these options."""
    parameters = degradation.draw(NUM_FITTED_KERNELS, torch.Generator().manual_seed(0))
    model.fit_kernels(degradation.require_known(parameters).kernels)


def build_schedule(args: argparse.Namespace, *, is_contrastive: bool = True) -> Schedule:
    """Read phases and learning rates from the options; a model without contrast has no encoder to freeze."""
    if args.decay_type == "time" and distributed.world_size() > 1:
        raise ValueError("--decay_type time is for one process: the clocks of several differ")
    return Schedule(
        epochs_encoder=args.epochs_encoder,
        epochs_sr=args.epochs_sr,
        epochs_teacher=args.epochs_teacher,
        freeze_epoch=args.freeze_epoch if is_contrastive else sys.maxsize,
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
