"""What a model costs: parameters and multiply-adds; on a test set, time and memory too."""

from dataclasses import dataclass

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from model.network import Network
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


@dataclass(frozen=True)
class Profile(Cost):
    """Of a model on a test set: the network's time, and the most memory held (a GPU's tensors, or the process)."""

    seconds_per_image: float
    peak_memory_mib: float

    def columns(self) -> dict[str, str]:
        """For the table."""
        times = {"s/image": f"{self.seconds_per_image:.4f}", "peak memory (MiB)": f"{self.peak_memory_mib:.0f}"}
        return {**times, **super().columns()}


def model_cost(model: Network, known_degradation: KnownDegradation | None = None) -> Cost:
    """Count on tensors without data; encoder and SR network together, as they are used in testing.

    known_degradation: of one image, whichever; for a model that has to be told.
    """
    lr_size = HR_SIZE[0] // model.scale, HR_SIZE[1] // model.scale
    parameters = sum(parameter.numel() for parameter in model.parameters())
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad(), FlopCounterMode(display=False) as counter:
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        lr = torch.empty(1, 3, *lr_size, device=device)
        model.super_resolve(lr, model.encode(lr, known_degradation))
    return Cost(parameters, counter.get_total_flops() // 2, lr_size)
