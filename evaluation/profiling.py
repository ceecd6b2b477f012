"""What a model costs: parameters, multiply-adds, peak memory."""

import resource
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from inference.upscaler import code_of
from utils.interfaces import SuperResolver
from utils.known_degradation import KnownDegradation

HR_SIZE = (720, 1280)
"""The image on which the literature counts multiply-adds."""


@dataclass(frozen=True)
class Cost:
    """Of a model: its parameters, and the multiply-adds of one SR image of HR_SIZE."""

    parameters: int
    multiply_adds: int
    lr_size: tuple[int, int]

    def columns(self) -> dict[str, str]:
        """For the table."""
        return {
            "parameters (M)": f"{self.parameters / 1e6:.2f}",
            "multiply-adds (G)": f"{self.multiply_adds / 1e9:.1f}",
        }


def model_cost(model: SuperResolver, known_degradation: KnownDegradation | None = None) -> Cost:
    """Count on tensors without data; encoder and SR network together, as they are used in testing.

    known_degradation: of one image, whichever; for a model that has to be told.
    """
    assert isinstance(model, nn.Module)
    lr_size = HR_SIZE[0] // model.scale, HR_SIZE[1] // model.scale
    parameters = sum(parameter.numel() for parameter in model.parameters())
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad(), FlopCounterMode(display=False) as counter:
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        lr = torch.empty(1, 3, *lr_size, device=device)
        model.super_resolve(lr, code_of(model, lr, known_degradation))
    return Cost(parameters, counter.get_total_flops() // 2, lr_size)


class PeakMemory:
    """The most memory held since it was made: on a CUDA device that of PyTorch's tensors, else that of the process."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            _reset_resident_peak()

    def mebibytes(self) -> float:
        """Read it."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        return _resident_peak() / 2**20


def _reset_resident_peak() -> None:
    """Linux alone can; elsewhere the peak is that since the process began."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _resident_peak() -> float:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return float(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
    except (OSError, StopIteration):
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024
