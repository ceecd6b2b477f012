"""Images for training, validation and testing: the factories that know the options."""

import logging
import os
import signal
import threading
from argparse import Namespace
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader

from data.degradation import Degradation, DegradationConfig
from data.protocols import Protocol, get_protocol, protocol_of_kernel
from data.resident import ResidentCrops
from data.sources import CACHE_BYTES, FolderSource, ImageSource, open_source
from data.test_sets import Testset, load_testset
from data.training_crops import TrainingCrops, split_range
from data.validation import ValidationSet

logger = logging.getLogger("cdsr")


@dataclass(frozen=True)
class ValidationImage:
    """A held-out HR image: its name (path within the data set), and a function that reads it, (H, W, 3) uint8 RGB."""

    name: str
    read: Callable[[], np.ndarray]


@dataclass(frozen=True)
class TrainingSet:
    """What a training loader draws from: the images themselves, and those held out for validation."""

    source: ImageSource
    validation: list[ValidationImage]

    @property
    def num_images(self) -> int:
        """Images to train on."""
        return len(self.source.names)


def build_train_loader(
    args: Namespace,
    *,
    num_steps: int,
    start_step: int = 0,
    rank: int = 0,
    world_size: int = 1,
    pin_memory: bool | None = None,
) -> tuple[DataLoader[torch.Tensor], TrainingSet]:
    """Loader of the batches of steps `start_step` to `start_step` + `num_steps`, each as `TrainingCrops` gives it.

    Iterate over it once, through all epochs: each `iter()` starts its workers afresh at `start_step`. args: dir_data,
    data_range, patch_size (LR pixels), scale, batch_size (of all ranks), n_threads (workers), seed, no_augment,
    positive.
    pin_memory: None pins where there is CUDA. Workers leave SIGINT and SIGTERM to the process that started them.
    """
    cache_bytes = CACHE_BYTES // max(1, args.n_threads)
    crops, validation = _open_crops(args, cache_bytes, num_steps, start_step, rank, world_size)
    train = crops.source
    decoded_bytes = int(train.sizes.prod(axis=1).sum()) * 3
    if isinstance(train, FolderSource) and decoded_bytes > train.cache_bytes:
        logger.info(
            "%s: %.1f GB of pixels do not stay in memory, so that most crops decode a whole image; to avoid it: "
            "python -m data.build_lmdb --dir_data %s --out FILE.lmdb",
            *(args.dir_data, decoded_bytes / 1e9, args.dir_data),
        )
    loader = DataLoader(
        crops,
        batch_size=None,  # an item is a batch already
        num_workers=args.n_threads,
        prefetch_factor=4 if args.n_threads else None,
        pin_memory=torch.cuda.is_available() if pin_memory is None else pin_memory,
        worker_init_fn=_init_worker,
        generator=torch.Generator(),  # or the workers' seed comes out of the global state, which a resume restores
    )
    return loader, TrainingSet(train, _held_out(validation))


def build_training_batches(
    args: Namespace, *, num_steps: int, start_step: int, rank: int, world_size: int, device: torch.device
) -> Iterable[torch.Tensor]:
    """Batches of `build_train_loader`, or the same ones cut on the device where `--data_resident` asks for it."""
    if args.data_resident:
        crops, _ = _open_crops(args, 0, num_steps, start_step, rank, world_size)  # each image is read once
        return ResidentCrops(crops, device)
    return build_train_loader(args, num_steps=num_steps, start_step=start_step, rank=rank, world_size=world_size)[0]


def _open_crops(
    args: Namespace, cache_bytes: int, num_steps: int, start_step: int, rank: int, world_size: int
) -> tuple[TrainingCrops, ImageSource]:
    train, validation = _open_split(args, cache_bytes)
    crops = TrainingCrops(
        train,
        seed=args.seed,
        batch_size=args.batch_size,
        patch=args.patch_size * args.scale,
        num_steps=num_steps,
        start_step=start_step,
        augment=not args.no_augment,
        same_image=args.positive != "d",
        rank=rank,
        world_size=world_size,
    )
    return crops, validation


def build_validation_images(args: Namespace) -> list[ValidationImage]:
    """The held-out images of the training set, where no loader is needed; args as in `build_train_loader`."""
    return _held_out(_open_split(args, cache_bytes=CACHE_BYTES)[1])


def build_degradation(args: Namespace) -> Degradation:
    """The degradation that the options describe; args: every field of `DegradationConfig`."""
    return Degradation(
        DegradationConfig(**{field.name: getattr(args, field.name) for field in fields(DegradationConfig)})
    )


def build_protocol(args: Namespace) -> Protocol:
    """The protocol of `--protocol`, or of the one kernel that the options give, or else the convention's own."""
    config = build_degradation(args).config
    if args.protocol is None and config.fixed_kernel is not None:
        return protocol_of_kernel(config)
    own = {"cdsr": "cdsr", "dasr": "dasr-iso" if args.blur_type == "iso_gaussian" else "dasr-aniso"}
    return get_protocol(args.protocol or own[args.degradation], args.scale, args.noise, args.sv_mode)


def build_test_samples(args: Namespace, name: str, protocol: Protocol) -> Testset:
    """A test set of `--test_path`, prepared or plain."""
    return load_testset(args.test_path, name, protocol)


def build_validation_samples(args: Namespace, degradation: Degradation) -> ValidationSet:
    """The held-out images, degraded as in training."""
    return ValidationSet(build_validation_images(args), degradation)


def _open_split(args: Namespace, cache_bytes: int) -> tuple[ImageSource, ImageSource]:
    source = open_source(Path(args.dir_data), args.patch_size * args.scale, cache_bytes, args.data_train)
    train, validation = split_range(args.data_range, len(source.names))
    return source.select(train), source.select(validation)


def _held_out(source: ImageSource) -> list[ValidationImage]:
    return [ValidationImage(name, partial(source.image, i)) for i, name in enumerate(source.names)]


def _init_worker(worker: int) -> None:
    """One thread a worker. Only the trainer's own signal ends it: one to the whole job is for the trainer to obey."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_when_trainer_says, daemon=True).start()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def _end_when_trainer_says() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
