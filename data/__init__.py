"""Images for training, validation and testing: the factories that know the options."""

import logging
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from data.data_range import split_range
from data.degradation import Degradation, DegradationConfig, create_degradation
from data.pairs import PairDegradation, Pairs
from data.protocol import Protocol
from data.protocols import get_protocol, protocol_of_kernel
from data.resident import ResidentCrops
from data.sources import CACHE_BYTES, FolderSource, ImageSource, open_source
from data.training_set import TrainingSet
from data.validation import ValidationSet
from data.workers import init_worker

logger = logging.getLogger("cdsr")


def build_train_loader(
    args: Namespace, *, num_steps: int, start_step: int = 0, rank: int = 0, world_size: int = 1
) -> DataLoader[torch.Tensor | Pairs]:
    """Loader of the batches of steps `start_step` to `start_step` + `num_steps`, each as `TrainingSet` gives it.

    Iterate over it once, through all epochs: each `iter()` starts its workers afresh at `start_step`. args: dir_data,
    data_train, data_range, patch_size and context (LR pixels), scale, batch_size and batch_encoder (of all
    ranks), epochs_encoder, test_every, n_threads (workers), seed, no_augment, positive, and those of the
    degradation. Workers leave SIGINT and SIGTERM to the process that started them.
    """
    cache_bytes = CACHE_BYTES // max(1, args.n_threads)
    training_set = _build_training_set(args, cache_bytes, num_steps, start_step, rank, world_size)
    decoded_bytes = int(training_set.source.sizes.prod(axis=1).sum()) * 3
    if isinstance(training_set.source, FolderSource) and decoded_bytes > cache_bytes:
        logger.info(
            "%s: %.1f GB of pixels do not stay in memory, so that most crops decode a whole image; to avoid it: "
            "python -m data.build_lmdb --dir_data %s --out FILE.lmdb",
            *(args.dir_data, decoded_bytes / 1e9, args.dir_data),
        )
    return DataLoader(
        training_set,
        batch_size=None,  # an item is a batch already
        num_workers=args.n_threads,
        prefetch_factor=4 if args.n_threads else None,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=init_worker,
        generator=torch.Generator(),  # or the workers' seed comes out of the global state, which a resume restores
    )


def build_training_batches(
    args: Namespace, *, num_steps: int, start_step: int, rank: int, world_size: int, device: torch.device
) -> Iterable[torch.Tensor | Pairs]:
    """Batches of `build_train_loader`, or the same ones cut on the device where `--data_resident` asks for it."""
    if args.data_resident:  # each image is read once, and needs no cache
        return ResidentCrops(_build_training_set(args, 0, num_steps, start_step, rank, world_size), device)
    return build_train_loader(args, num_steps=num_steps, start_step=start_step, rank=rank, world_size=world_size)


def build_validation_samples(args: Namespace, degradation: Degradation) -> ValidationSet:
    """The held-out images, degraded as in training; args as in `build_train_loader`."""
    return ValidationSet(_open_split(args, CACHE_BYTES)[1], degradation)


def build_degradation(args: Namespace) -> Degradation:
    """The degradation that the options describe; args: every field of `DegradationConfig`."""
    options = {field.name: getattr(args, field.name) for field in fields(DegradationConfig)}
    return create_degradation(DegradationConfig(**options))


def build_protocol(args: Namespace) -> Protocol:
    """The protocol of `--protocol`, or of the one kernel that the options give, or else the convention's own."""
    degradation = build_degradation(args)
    if args.protocol is None and degradation.fixed_kernel is not None:
        return protocol_of_kernel(degradation.config)
    return get_protocol(args.protocol or degradation.default_protocol, args.scale, args.noise, args.sv_mode)


def _build_training_set(
    args: Namespace, cache_bytes: int, num_steps: int, start_step: int, rank: int, world_size: int
) -> TrainingSet:
    degradation = build_degradation(args)
    own = PairDegradation(degradation, args.seed, same_degradation=args.positive != "c")
    return TrainingSet(
        _open_split(args, cache_bytes)[0],
        seed=args.seed,
        batch_size=args.batch_size,
        patch=max(args.patch_size, args.context) * args.scale,
        num_steps=num_steps,
        start_step=start_step,
        first_batch_size=args.batch_encoder or args.batch_size,
        num_first_steps=max(args.epochs_encoder, 0) * args.test_every,
        augment=not args.no_augment,
        same_image=args.positive != "d",
        rank=rank,
        world_size=world_size,
        pair_degradation=own if degradation.runs_in_workers else None,
    )


def _open_split(args: Namespace, cache_bytes: int) -> tuple[ImageSource, ImageSource]:
    """Images to train on, and those held out for validation."""
    source = open_source(
        Path(args.dir_data), max(args.patch_size, args.context) * args.scale, cache_bytes, args.data_train
    )
    train, validation = split_range(args.data_range, len(source.names))
    return source.select(train), source.select(validation)
