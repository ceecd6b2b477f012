"""Time a training step against the plain way, in one run: `python -m benchmarks.train_step`.

The plain way is eager float32 in contiguous NCHW with the degradation as published: blur at full resolution, then
subsampling. Every variant takes its turn in every round, so that a noisy machine disturbs them alike; a ratio is the
median over rounds of plain time over the variant's time, its spread the smallest and the largest.
"""

import argparse
import functools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from data.degradation import CDSRDegradation, DegradationConfig, create_degradation
from data.degradation.base import Generators
from data.degradation.gaussian import GaussianParameters
from data.pairs import PairDegradation
from data.sources import open_source
from data.training_set import TrainingSet
from loss import PixelLoss, contrastive_loss
from model import compile_model, create_model
from model.moco import MoCo
from training.recording import WARM_UP_CALLS
from training.schedule import Phase
from training.step import StepConfig, TrainingStep
from utils.device import peak_memory, select_device, synchronize
from utils.environment import environment
from utils.files import write_json
from utils.image import write_image


class Variant(NamedTuple):
    """A way to compute a step."""

    precision: str
    channels_last: bool = False
    compiled: bool = False
    recorded: bool = False  # as a CUDA graph


VARIANTS = {
    "plain": Variant("single"),
    "single, channels_last": Variant("single", True),
    "bf16": Variant("bf16"),
    "bf16, channels_last": Variant("bf16", True),
    "bf16, channels_last, compiled": Variant("bf16", True, compiled=True),
    "bf16, channels_last, recorded": Variant("bf16", True, recorded=True),
}


class PublishedDegradation(CDSRDegradation):
    """Blur at full resolution, image by image in groups, then subsampling."""

    def apply(self, hr: Tensor, parameters: GaussianParameters, noise_generator: Generators | None = None) -> Tensor:
        """Degrade (B, 2, 3, P, P) as the published pipeline does."""
        batch, size = len(hr), self.config.blur_kernel
        kernels = self.kernels(parameters.variance_1, parameters.variance_2, parameters.theta).to(hr)
        planes = F.pad(hr.flatten(1, 2), (size // 2,) * 4, mode="replicate")  # (B, 6, P+20, P+20)
        planes = planes.transpose(0, 1).reshape(6, batch, *planes.shape[2:])
        blurred = F.conv2d(planes, kernels[:, None], groups=batch).transpose(0, 1)
        lr = blurred[..., :: self.config.scale, :: self.config.scale].clamp(0, 255).round()
        return lr.reshape(*hr.shape[:3], *lr.shape[-2:])


def build_step(name: str, args: argparse.Namespace, device: torch.device) -> Callable[[int, Tensor], None]:
    """Make a variant's step: a function of the step's number and the HR pairs."""
    variant = VARIANTS[name]
    torch.manual_seed(0)
    model = create_model(args.model, args.scale).to(device)
    if variant.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    moco = MoCo(model.encoder).to(device)
    if variant.compiled:
        compile_model(model)
    config = DegradationConfig(scale=args.scale)
    degradation = PublishedDegradation(config) if name == "plain" else create_degradation(config)
    step = TrainingStep(
        model=model,
        moco=moco,
        pixel_loss=PixelLoss().to(device),
        contrastive_loss=contrastive_loss,
        pair_degradation=PairDegradation(degradation, seed=1),
        optimizer=torch.optim.Adam(model.parameters(), lr=1e-4, fused=name != "plain"),
        config=StepConfig(
            precision=variant.precision, channels_last=variant.channels_last, cuda_graph=variant.recorded
        ),
        device=device,
    )
    step.set_phase(Phase.JOINT)
    return lambda index, hr_pairs: void(step(hr_pairs, step=index, phase=Phase.JOINT, learning_rate=1e-4))


def void(_: object) -> None:
    """Drop a result."""


def time_calls(call: Callable[[int], object], num_calls: int, device: torch.device) -> float:
    """Mean seconds of a call."""
    synchronize(device)
    start = time.perf_counter()
    for index in range(num_calls):
        call(index)
    synchronize(device)
    return (time.perf_counter() - start) / num_calls


def compare(
    calls: Mapping[str, Callable[[int], object]], device: torch.device, *, rounds: int, num_calls: int = 1
) -> list[dict]:
    """Time all calls in turns; the first is the one that ratios are to."""
    for call in calls.values():
        time_calls(call, WARM_UP_CALLS + 2, device)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(time_calls(call, num_calls, device))
    plain = next(iter(times.values()))
    rows = []
    for name, seconds in times.items():
        ratios = [before / after for before, after in zip(plain, seconds, strict=True)]
        rows.append(
            {
                "variant": name,
                "ms": 1e3 * statistics.median(seconds),
                "ratio": statistics.median(ratios),
                "smallest": min(ratios),
                "largest": max(ratios),
            }
        )
    return rows


def measure_data(args: argparse.Namespace) -> list[dict]:
    """Milliseconds that a batch of crops takes from 2K PNGs and from the LMDB packed from them, warm."""
    from data.build_lmdb import build_lmdb

    rows = []
    patch = args.patch_size * args.scale
    with tempfile.TemporaryDirectory() as folder:
        generator = np.random.default_rng(0)
        for index in range(8):
            coarse = torch.from_numpy(generator.uniform(0, 255, (1, 3, 85, 128)))
            image = F.interpolate(coarse, size=(1360, 2040), mode="bicubic")[0].permute(1, 2, 0)
            noisy = image.numpy() + generator.normal(0, 4, image.shape)
            write_image(Path(folder, "HR", f"{index}.png"), noisy.clip(0, 255).astype(np.uint8))
        build_lmdb(Path(folder, "HR"), Path(folder, "hr.lmdb"), progress=False)
        for name, path in (("2K PNG, decoded", "HR"), ("LMDB", "hr.lmdb")):
            source = open_source(Path(folder, path), cache_bytes=0)
            crops = TrainingSet(source, seed=0, batch_size=args.batch_size, patch=patch)
            num_batches = 1 if name.startswith("2K") else 40
            crops[0]
            start = time.perf_counter()
            for index in range(num_batches):
                crops[index + 1]
            rows.append({"source": name, "ms": 1e3 * (time.perf_counter() - start) / num_batches})
    return rows


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="CDSR", choices=("CDSR", "CDSR_S", "DASR", "DASR_S"))
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--patch_size", type=int, default=48, help="LR pixels")
    parser.add_argument("--num_steps", type=int, default=20, help="steps of a variant in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--variants", nargs="+", choices=list(VARIANTS), help="the first is what ratios are to (default: all that fit)"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    device = select_device(args.device)
    side = args.patch_size * args.scale
    generator = torch.Generator().manual_seed(0)
    hr_pairs = torch.randint(0, 256, (args.batch_size, 2, 3, side, side), generator=generator, dtype=torch.uint8)
    names = args.variants or [name for name in VARIANTS if device.type == "cuda" or not VARIANTS[name].recorded]
    steps = {name: build_step(name, args, device) for name in names}
    calls = {name: (lambda index, step=step: step(index, hr_pairs)) for name, step in steps.items()}
    compare_all = functools.partial(compare, device=device, rounds=args.rounds, num_calls=args.num_steps)
    result: dict[str, Any] = {"options": vars(args), "environment": environment(), "step": compare_all(calls)}
    config = DegradationConfig(scale=args.scale)
    hr = hr_pairs.to(device).float()
    pipelines = {"as published": PublishedDegradation(config), "ours": create_degradation(config)}
    result["degradation"] = compare_all(
        {
            name: lambda index, pipeline=pipeline: pipeline.apply(  # type: ignore[misc]
                hr, pipeline.draw(len(hr), torch.Generator().manual_seed(index))
            )
            for name, pipeline in pipelines.items()
        }
    )
    result["data"] = measure_data(args)
    result["peak_memory_mb"] = peak_memory(device) / 2**20
    for part in ("step", "degradation"):
        for row in result[part]:
            print(
                f"{part:12} {row['variant']:32} {row['ms']:9.2f} ms   x{row['ratio']:.2f} "
                f"({row['smallest']:.2f} to {row['largest']:.2f})"
            )
    for row in result["data"]:
        print(f"{'data':12} {row['source']:32} {row['ms']:9.2f} ms a batch")
    print(f"peak memory {result['peak_memory_mb']:.0f} MiB")
    if args.out:
        write_json(args.out, result)
        print(json.dumps(str(args.out)))


if __name__ == "__main__":
    main()
