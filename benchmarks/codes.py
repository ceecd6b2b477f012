"""What the codes of a trained run know, and what they are worth to its SR network."""

from pathlib import Path

import numpy as np
import torch

from benchmarks.trials import Row, last_weights, validation
from data.protocol import Protocol
from data.protocols import get_protocol
from data.samples import Sample, Samples
from data.test_sets import load_testset
from evaluation.embeddings import collect_embeddings
from evaluation.estimates import collect_estimates
from evaluation.metrics import psnr_y
from model import open_model
from model.network import Network
from model.unconditional import Unconditional
from utils.device import autocast, resolve_precision
from utils.image import to_tensor, to_uint8
from utils.run import read_settings

SR_SET, CODE_SET = "Set14", "B100"
EVERY = 4
"""Of the images of B100, which are encoded: the published branches take half a second each."""


class EveryFewImages(Samples):
    """Of each `EVERY` images of a test set the first, under all its kernels."""

    def __init__(self, samples: Samples) -> None:
        images = list(dict.fromkeys(image for image, _ in samples.keys))[::EVERY]
        self.samples = samples
        self.indices = [index for index, (image, _) in enumerate(samples.keys) if image in images]

    @property
    def keys(self) -> list[tuple[str, str]]:
        return [self.samples.keys[index] for index in self.indices]

    def read(self, index: int) -> Sample:
        return self.samples.read(self.indices[index])


def measure(run: Path, test_path: Path, device: torch.device) -> Row:
    """Validation PSNR; PSNR on Set14 with own codes and with those of other kernels; what codes of B100 know.

    PSNR on Set14 and the codes of the probes are computed in bf16 on hardware that has it.

    Args:
        run: folder of a run.
        test_path: where the test sets are.
        device: what computes.
    """
    settings = read_settings(run)
    model = open_model(settings["model"], settings["scale"], last_weights(run))
    model.eval().to(device)
    protocol = get_protocol("cdsr", settings["scale"])
    with autocast(device, resolve_precision("auto", device)):
        own, swapped = swapped_codes(model, load_testset(test_path, SR_SET, protocol), device)
    row = validation(run) | {f"{SR_SET} (dB)": own}
    if isinstance(model, Unconditional):
        return row
    row |= {"codes swapped (dB)": swapped}
    return row | knowledge(model, test_path, protocol, device) if model.is_contrastive else row


@torch.inference_mode()
def swapped_codes(model: Network, samples: Samples, device: torch.device) -> tuple[float, float]:
    """Mean PSNR on Y under each image's own code, and under its code of another kernel, half the list away."""
    num_kernels = len({kernel for _, kernel in samples.keys})
    values = []
    for first in range(0, len(samples), num_kernels):
        group = [samples[index] for index in range(first, first + num_kernels)]
        lrs = [to_tensor(sample.lr)[None].to(device, memory_format=torch.channels_last) for sample in group]
        codes = [model.encode(lr, sample.known_degradation) for lr, sample in zip(lrs, group, strict=True)]
        for index, (lr, sample) in enumerate(zip(lrs, group, strict=True)):
            other = codes[(index + num_kernels // 2) % num_kernels]
            srs = [model.super_resolve(lr, code)[0].float() for code in (codes[index], other)]
            values.append([psnr_y(to_uint8(sr), sample.hr, model.scale) for sr in srs])
    own, swapped = np.mean(values, axis=0)
    return float(own), float(swapped)


def knowledge(model: Network, test_path: Path, protocol: Protocol, device: torch.device) -> Row:
    """Probes of codes of a quarter of B100; the mean error of the covariances read off it, in squared HR pixels."""
    testsets = {CODE_SET: EveryFewImages(load_testset(test_path, CODE_SET, protocol))}
    with autocast(device, resolve_precision("auto", device)):
        probes = collect_embeddings(model, testsets, device=device).probes()
    estimates = collect_estimates(model, testsets, device=device)
    row = {f"{name} probe (%)": 100 * result.accuracy for name, result in probes.items() if result.accuracy is not None}
    return row | ({"covariance error": estimates.summary()["mean_covariance_error"]} if estimates else {})
