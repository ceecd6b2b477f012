"""Export a model with its weights, for programs without this code: `python -m inference.export --pre_train FILE`.

The exported network takes lr, (1, 3, H, W) float32 RGB in [0, 255] with sides of at least 17 pixels, encodes it and
gives sr, (1, 3, scale*H, scale*W), clipped to [0, 255] and with the same centre, as `test.py --dir_demo` gives it.
Height and width are free. The export is checked against PyTorch at three sizes before it is left in place.
`--to safetensors` (16 bits) and `--to pt` write the weights alone, in the published naming.
"""

import argparse
import copy
import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference.upscaler import MARGIN, grid_shift
from model import check_blind, load_model, network_of, open_model, save_model
from model.autocorrelation import LEAST
from model.network import Network
from utils.files import replacing

SIZES = ((32, 48), (67, 45), (128, 96))
"""Heights and widths of the check; none of them is TRACED."""

TRACED = (40, 52)
TOLERANCE = 0.05
"""Grey levels of 255 by which export and PyTorch may differ."""

HALF_TOLERANCE = 0.5
"""The same for weights rounded to 16 bits."""

SUFFIXES = {"onnx": ".onnx", "torchscript": ".ts", "safetensors": ".safetensors", "pt": ".pt"}


class ExportError(ValueError):
    """An export that could not be made or does not do what the model does."""


class WholeNetwork(nn.Module):
    """Encoder and SR network behind one call, clipped: what an `Upscaler` with `centred` computes, to be traced.

    Args:
        model: a network in evaluation mode.
        shift: SR pixels by which its results lie off the grid of interpolation (`grid_shift`).
    """

    def __init__(self, model: Network, shift: int) -> None:
        super().__init__()
        self.model, self.shift = model, shift

    def forward(self, lr: Tensor) -> Tensor:
        """Map lr (1, 3, H, W) in [0, 255] to sr (1, 3, scale*H, scale*W) in [0, 255], with the same centre."""
        code = self.model.encode(lr)
        if not self.shift:
            return self.model.super_resolve(lr, code).clamp(0, 255)
        sr = self.model.super_resolve(F.pad(lr, (MARGIN,) * 4, mode="replicate"), code)
        first = MARGIN * self.model.scale + self.shift
        last = first - 2 * MARGIN * self.model.scale
        return sr[:, :, first:last, first:last].clamp(0, 255)


def export(model: Network, path: Path, *, to: str) -> float:
    """Write a model in a format of SUFFIXES, and check what is read back.

    Args:
        model: a network in evaluation mode, on the CPU.
        path: written only if the check passes.
        to: the format; a file of weights named .safetensors holds 16 bits.

    Returns:
        the largest difference to the model, in grey levels.

    Raises:
        ExportError: a library is missing, or the export differs by more than TOLERANCE (of weights: HALF_TOLERANCE).
    """
    shift = grid_shift(model)
    network = WholeNetwork(model, shift).eval()
    with replacing(path) as temporary:
        if to == "onnx":
            _write_onnx(network, temporary)
            run, tolerance = _run_onnx(temporary), TOLERANCE
        elif to == "torchscript":
            _write_torchscript(network, temporary)
            run, tolerance = _run_torchscript(temporary), TOLERANCE
        else:
            save_model(model, temporary, model.trained_for, is_half=path.suffix == ".safetensors")
            run, tolerance = _run_weights(model, shift, temporary), HALF_TOLERANCE
        difference = largest_difference(network, run)
        if not difference <= tolerance:
            raise ExportError(
                f"the {to} export differs from PyTorch by {difference:.3g} grey levels; {path} is not written"
            )
    return difference


def largest_difference(network: nn.Module, run: Callable[[np.ndarray], np.ndarray]) -> float:
    """Compare at SIZES; grey levels."""
    generator = torch.Generator().manual_seed(0)
    differences = []
    for height, width in SIZES:
        coarse = torch.rand(1, 3, height // 4, width // 4, generator=generator) * 255
        lr = nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 255)
        expected, sr = _runner(network)(lr.numpy()), run(lr.numpy())
        if sr.shape != expected.shape:
            raise ExportError(f"the export gives {sr.shape} for {height}x{width}, not {expected.shape}")
        differences.append(float(np.abs(sr - expected).max()))
    return max(differences)


def _write_onnx(network: nn.Module, path: Path) -> None:
    try:
        import onnxscript  # noqa: F401 - what torch.onnx translates with
    except ImportError as error:
        raise ExportError(f"ONNX needs more ({error}): pip install -r requirements-export.txt") from error
    height, width = (torch.export.Dim(name, min=LEAST, max=1 << 14) for name in ("height", "width"))
    dynamic = {"lr": {2: height, 3: width}}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it speaks of torchvision, which is not needed
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, *TRACED),),
            path,
            input_names=["lr"],
            output_names=["sr"],
            dynamic_shapes=dynamic,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _run_onnx(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    try:
        import onnxruntime
    except ImportError as error:
        raise ExportError(f"the check needs more ({error}): pip install -r requirements-export.txt") from error
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda lr: session.run(["sr"], {"lr": lr})[0]


def _write_torchscript(network: nn.Module, path: Path) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.jit.trace(network, torch.zeros(1, 3, *TRACED), check_trace=False).save(str(path))


def _run_torchscript(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    return _runner(torch.jit.load(str(path)))


def _run_weights(model: Network, shift: int, path: Path) -> Callable[[np.ndarray], np.ndarray]:
    reopened = copy.deepcopy(model)
    load_model(reopened, path)
    return _runner(WholeNetwork(reopened, shift).eval())


def _runner(network: nn.Module) -> Callable[[np.ndarray], np.ndarray]:
    def run(lr: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(lr)).numpy()

    return run


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, export, check."""
    parser = argparse.ArgumentParser(prog="python -m inference.export", description="Export a model with its weights.")
    parser.add_argument("--pre_train", type=Path, required=True, help="weights (.pt, .safetensors)")
    parser.add_argument("--model", default="CDSR", help="CDSR, CDSR_S, DASR or DASR_S")
    parser.add_argument("--scale", type=int, default=2, choices=(1, 2, 3, 4))
    parser.add_argument("--to", choices=sorted(SUFFIXES), required=True)
    parser.add_argument("--out", type=Path, help="default: beside the weights, with the suffix of the format")
    args = parser.parse_args(argv)
    path = args.out or args.pre_train.with_suffix(SUFFIXES[args.to])
    try:
        if path.exists() and path.samefile(args.pre_train):
            raise ExportError(f"{path} would be written over its own weights; give --out")
        if args.to in ("safetensors", "pt") and path.suffix != SUFFIXES[args.to]:
            raise ExportError(f"--out {path} is not called {SUFFIXES[args.to]}, by which such a file is known")
        check_blind(network_of(args.model))
        model = open_model(args.model, args.scale, args.pre_train)
        difference = export(model.eval(), path, to=args.to)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    sizes = ", ".join(f"{height}x{width}" for height, width in SIZES)
    print(f"{path}: differs from PyTorch by at most {difference:.2g} grey levels ({sizes})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
