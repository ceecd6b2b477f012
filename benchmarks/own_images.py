"""What tiling changes and what it takes: `python -m benchmarks.own_images --model CDSR_S --pre_train FILE IMAGE`.

For an image of about a megapixel: PSNR between the result in tiles and the result of the whole, and the step across
the borders of tiles, relative to the step elsewhere. Peak memory and time come from `--only_memory`, on any image.
With `--test_set FOLDER/Urban100` instead of an image: what tiles cost in PSNR to the HR, under one kernel.
"""

import argparse
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import skimage
import torch
from torch import Tensor

import test
from data.protocol import Protocol
from data.protocols import PROTOCOLS, get_protocol
from data.test_sets import load_testset
from evaluation.metrics import psnr_y
from evaluation.side_by_side import side_by_side
from inference.tiles import overlap_of, tile_starts
from inference.upscaler import Upscaler
from model import create_model, open_model
from restore.restore import restore_image
from utils.device import peak_memory
from utils.image import Image, read_image, read_rgb, to_tensor, to_uint8, write_image

TILES = (64, 128, 192, 256)


def seam_ratio(tiled: Tensor, whole: Tensor, *, tile: int, scale: int) -> float:
    """Step across the borders of tiles over the step elsewhere, each relative to the same step of the whole result.

    The whole result takes out what the image itself has there. 1: nothing to be seen.

    Args:
        tiled, whole: (1, 3, H, W) SR images.
        tile: side of the tiles, LR pixels.
        scale: of the model.
    """
    return raw_seam_ratio(tiled, tile=tile, scale=scale) / raw_seam_ratio(whole, tile=tile, scale=scale)


def raw_seam_ratio(tiled: Tensor, *, tile: int, scale: int) -> float:
    """Step across the borders of tiles over the step elsewhere, with what the image itself has there."""
    border, other = _steps(tiled, tile, scale)
    return border / other


def _steps(sr: Tensor, tile: int, scale: int) -> tuple[float, float]:
    """Mean absolute difference of neighbours: across the first and last pixels of tiles, and everywhere else."""
    at_border, elsewhere = [], []
    for axis in (2, 3):
        steps = sr.diff(dim=axis).abs().mean(dim=(0, 1, 5 - axis))
        starts = tile_starts(sr.shape[axis] // scale, tile, overlap_of(tile))
        borders = {start * scale - 1 for start in starts[1:]} | {(start + tile) * scale - 1 for start in starts[:-1]}
        mask = torch.zeros(len(steps), dtype=torch.bool)
        mask[sorted(borders)] = True
        at_border.append(steps[mask])
        elsewhere.append(steps[~mask])
    return torch.cat(at_border).mean().item(), torch.cat(elsewhere).mean().item()


def psnr(first: Tensor, second: Tensor) -> float:
    """PSNR of RGB, of values that are not rounded."""
    return (10 * torch.log10(255**2 / (first - second).square().mean())).item()


def compare(model_name: str, weights: Path, scale: int, image: Path) -> None:
    """Print a table of tiles against the whole."""
    model = open_model(model_name, scale, weights).eval()
    lr = to_tensor(read_rgb(image))[None]
    start = time.perf_counter()
    whole = Upscaler(model, centred=True)(lr)
    print(f"{image.name}: {lr.shape[3]}x{lr.shape[2]}, whole: {time.perf_counter() - start:.1f} s")
    print("| tile | overlap | dB to the whole | largest difference | seam ratio | with the image's own | s |")
    print("|---|---|---|---|---|---|---|")
    for tile in TILES:
        start = time.perf_counter()
        tiled = Upscaler(model, tile=tile, centred=True)(lr)
        seconds = time.perf_counter() - start
        print(
            f"| {tile} | {overlap_of(tile)} | {psnr(tiled, whole):.1f} | {(tiled - whole).abs().max():.2f} | "
            f"{seam_ratio(tiled, whole, tile=tile, scale=scale):.4f} | "
            f"{raw_seam_ratio(tiled, tile=tile, scale=scale):.4f} | {seconds:.1f} |",
            flush=True,
        )


def compare_with_hr(model_name: str, weights: Path, test_set: Path, protocol: Protocol, num_images: int) -> None:
    """Print a table of tiles against the whole, over the first images of a test set that are larger than a tile.

    protocol: with one test kernel, so that its samples are the images.
    """
    scale = protocol.scale
    model, is_real = open_model(model_name, scale, weights).eval(), protocol.name == "real"
    samples = load_testset(test_set.parent, test_set.name, protocol)
    print(f"{weights.name}, {test_set.name}, {protocol.slug}")
    print("| image | LR | PSNR of the whole | tile | dB to the whole | PSNR in tiles |")
    print("|---|---|---|---|---|---|")
    for sample in map(samples.read, range(min(num_images, len(samples)))):
        lr = to_tensor(sample.lr)[None]
        whole = Upscaler(model, centred=is_real)(lr)
        for tile in (tile for tile in TILES if tile < max(lr.shape[2:])):
            tiled = Upscaler(model, tile=tile, centred=is_real)(lr)
            psnrs = [psnr_y(to_uint8(sr[0]), sample.hr, scale) for sr in (whole, tiled)]
            print(
                f"| {sample.image} | {lr.shape[3]}x{lr.shape[2]} | {psnrs[0]:.3f} | {tile} | "
                f"{psnr(tiled, whole):.1f} | {psnrs[1]:.3f} |",
                flush=True,
            )


def measure_memory(words: list[str], limit_gib: float) -> int:
    """Run test.py under a limit of the heap, and print its time and peak memory."""
    resource.setrlimit(resource.RLIMIT_DATA, (round(limit_gib * 2**30),) * 2)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        code = test.main([*words, "--results", folder])
    peak = peak_memory(torch.device("cpu")) / 2**20
    print(f"exit code {code}, {time.perf_counter() - start:.0f} s, peak resident memory {peak:.0f} MiB")
    return code


def draw_figures(model_name: str, weights: Path, scale: int, folder: Path) -> None:
    """Draw two photographs, blurred and shrunk, beside bicubic's and the model's result."""
    shipped = Path(skimage.__file__).parent / "data"
    ours = Upscaler(open_model(model_name, scale, weights).eval(), tile="auto", centred=True)
    upscalers = {"bicubic": Upscaler(create_model("bicubic", scale), tile="auto"), model_name: ours}
    for name, zoom in (("astronaut", (60, 110, 130, 130)), ("coffee", (120, 90, 130, 130))):
        blurred = cv2.GaussianBlur(read_rgb(shipped / f"{name}.png")[:400, 40:440], (0, 0), 1.3)
        image = Image(np.ascontiguousarray(blurred[::scale, ::scale]))
        columns = [("image", image.pixels.repeat(scale, axis=0).repeat(scale, axis=1))]
        for title, upscaler in upscalers.items():
            result = restore_image(image, upscaler, torch.device("cpu"))
            columns.append((title, result.pixels))
        target = folder / f"own-images-{name}.webp"
        with tempfile.TemporaryDirectory() as temporary:
            side_by_side(columns, Path(temporary) / "figure.png", zoom=zoom)
            write_image(target, read_image(Path(temporary) / "figure.png"), quality=88)


def main() -> int:
    """Parse and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.own_images", description=__doc__)
    parser.add_argument("--model", default="CDSR_S")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--pre_train", type=Path, required=True)
    parser.add_argument("--only_memory", type=float, metavar="GIB", help="upscale under this limit of the heap")
    parser.add_argument("--figures", type=Path, metavar="FOLDER", help="draw the figures of docs/own-images.md")
    parser.add_argument("--test_set", type=Path, metavar="FOLDER", help="compare with the HR of this test set")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="cdsr", help="of --test_set")
    parser.add_argument("--kernel", metavar="LABEL", help="test kernel of --test_set (default: the protocol's first)")
    parser.add_argument("--num_images", type=int, default=4, help="of --test_set")
    parser.add_argument("image", type=Path, nargs="?")
    args = parser.parse_args()
    if args.figures:
        draw_figures(args.model, args.pre_train, args.scale, args.figures)
        return 0
    if args.test_set:
        protocol = get_protocol(args.protocol, args.scale)
        kernels = [kernel for kernel in protocol.test_kernels if args.kernel in (None, kernel.label)]
        if not kernels:
            labels = ", ".join(kernel.label for kernel in protocol.test_kernels)
            parser.error(f"--kernel {args.kernel} is none of protocol {args.protocol}: give one of {labels}")
        protocol = replace(protocol, test_kernels=tuple(kernels[:1]))
        compare_with_hr(args.model, args.pre_train, args.test_set, protocol, args.num_images)
        return 0
    if args.image is None:
        parser.error("give an image, or a --test_set")
    if args.only_memory:
        words = ["--model", args.model, "--scale", str(args.scale), "--pre_train", str(args.pre_train)]
        return measure_memory([*words, "--dir_demo", str(args.image)], args.only_memory)
    compare(args.model, args.pre_train, args.scale, args.image)
    return 0


if __name__ == "__main__":
    sys.exit(main())
