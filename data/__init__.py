"""Images for training, validation and testing: the factories that know the options."""

import logging
from argparse import Namespace
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import partial
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from data.data_range import split_range
from data.degradation import Degradation, DegradationConfig, create_degradation
from data.pairs import PairDegradation, Pairs
from data.protocol import Protocol
from data.protocols import get_protocol, protocol_of_kernel
from data.resident import ResidentCrops
from data.sources import CACHE_BYTES, FolderSource, ImageSource, large_enough, open_source
from data.training_set import TrainingSet
from data.workers import init_worker
from utils.log import logger


def open_images(args: Namespace) -> tuple[ImageSource, ImageSource]:
    """The images to train on, and those held out for validation, without those that are smaller than a patch.

    `--data_range` counts all images, so that the same ones are held out at any size of patch.

    args: dir_data, data_train, data_range, patch_size and context (LR pixels), scale, n_threads (workers),
    data_resident.
    """
    source = open_source(Path(args.dir_data), CACHE_BYTES, args.data_train)
    train, validation = split_range(args.data_range, len(source.names))
    images = large_enough(source.select(train), _side(args), "to train on")
    held_out = large_enough(source.select(validation), _side(args), "held out for validation")
    if isinstance(images, FolderSource):
        images.cache_bytes = 0 if args.data_resident else CACHE_BYTES // max(1, args.n_threads)
        decoded_bytes = int(images.sizes.prod(axis=1).sum()) * 3
        if decoded_bytes > images.cache_bytes > 0:
            logger.info(
                "%s: %.1f GB of pixels do not stay in memory, so that most crops decode a whole image; to avoid it: "
                "python -m data.build_lmdb --dir_data %s --out FILE.lmdb",
                *(images.folder, decoded_bytes / 1e9, images.folder),
            )
    return images, held_out


def build_batches(
    args: Namespace,
    images: ImageSource,
    pair_degradation: PairDegradation,
    device: torch.device,
    *,
    num_encoder_steps: int = 0,
) -> Callable[[range], Iterable[torch.Tensor | Pairs]]:
    """The batches of a training: given its steps to come, what yields the batch of each, as `TrainingSet` has it.

    They are loaded by workers, or cut on the device where `--data_resident` asks for it. args: patch_size and context
    (LR pixels), scale, batch_size and batch_encoder (of all ranks), n_threads, data_resident, seed, no_augment and
    positive. pair_degradation: of this rank. num_encoder_steps: the first ones, of batch_encoder pairs.
    """
    degradation = pair_degradation.degradation
    if args.data_resident and degradation.runs_in_workers:
        raise ValueError(f"--data_resident: workers make the LR images of degradation {degradation.name}; leave it out")
    training_set = TrainingSet(
        images,
        seed=args.seed,
        batch_size=args.batch_size,
        patch=_side(args),
        first_batch_size=args.batch_encoder or args.batch_size,
        num_first_steps=num_encoder_steps,
        augment=not args.no_augment,
        same_image=args.positive != "d",
        rank=pair_degradation.rank,
        world_size=pair_degradation.world_size,
        pair_degradation=pair_degradation if degradation.runs_in_workers else None,
    )
    if args.data_resident:
        return ResidentCrops(training_set, device).batches
    return partial(load_batches, training_set, num_workers=args.n_threads, pin_memory=device.type == "cuda")


def load_batches(
    training_set: TrainingSet, steps: range, *, num_workers: int = 0, pin_memory: bool = False
) -> DataLoader[torch.Tensor | Pairs]:
    """Loader of the batches of these steps.

    Iterate over it once: each `iter()` starts its workers afresh. Workers leave SIGINT and SIGTERM to the process that
    started them.
    """
    return DataLoader(
        training_set,
        batch_size=None,  # an item is a batch already
        sampler=steps,
        num_workers=num_workers,
        prefetch_factor=4 if num_workers else None,
        pin_memory=pin_memory,
        worker_init_fn=init_worker,
        generator=torch.Generator(),  # or the workers' seed comes out of the global state, which a resume restores
    )


def build_degradation(args: Namespace) -> Degradation:
    """The degradation that the options describe; args: every field of `DegradationConfig`."""
    options = {field.name: getattr(args, field.name) for field in fields(DegradationConfig)}
    return create_degradation(DegradationConfig(**options))


def build_pair_degradation(args: Namespace, *, rank: int = 0, world_size: int = 1) -> PairDegradation:
    """What a rank draws its training pairs by; args: seed, positive, and those of the degradation."""
    same_degradation = args.positive != "c"
    return PairDegradation(build_degradation(args), args.seed, same_degradation, rank=rank, world_size=world_size)


def build_protocol(args: Namespace) -> Protocol:
    """The protocol of `--protocol`, or of the one kernel that the options give, or else the convention's own."""
    degradation = build_degradation(args)
    if args.protocol is None and degradation.fixed_kernel is not None:
        return protocol_of_kernel(degradation.config)
    return get_protocol(args.protocol or degradation.default_protocol, args.scale, args.noise, args.sv_mode)


def _side(args: Namespace) -> int:
    """HR pixels of a side of a training patch."""
    return max(args.patch_size, args.context) * args.scale
