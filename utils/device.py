"""The one owner of the choice of device and of its arithmetic."""

import contextlib

import torch

AUTOCAST_DTYPES = {"half": torch.float16, "bf16": torch.bfloat16}


def select_device(name: str = "auto", *, cpu: bool = False) -> torch.device:
    """Resolve a device name; `auto` takes the best one present.

    Raises:
        ValueError: the device named is not present.
    """
    if cpu or name == "cpu":
        return torch.device("cpu")
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device {name} is not to be had here ({reason}); give auto or cpu") from error
    return device


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """Open a region of `single`, `half` or `bf16` arithmetic."""
    if precision == "single":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=AUTOCAST_DTYPES[precision])


def synchronize(device: torch.device) -> None:
    """Wait for a device's queued work, before reading a clock."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
