"""The one owner of the choice of device and of its arithmetic."""

import contextlib
import re
from pathlib import Path

import cv2
import psutil
import torch
from torch import Tensor

AUTOCAST_DTYPES = {"half": torch.float16, "bf16": torch.bfloat16}
PRECISIONS = ("auto", "single", *AUTOCAST_DTYPES)


def select_device(name: str = "auto", *, cpu: bool = False, local_rank: int = 0) -> torch.device:
    """Resolve a device name; `auto` takes the best one present, and `cuda`, too, the GPU of a rank of several.

    float32 means float32 from then on: cuDNN's default, TF32, keeps 10 bits, too few for a pixel's 256 levels.

    Raises:
        ValueError: the device named is not present.
    """
    torch.backends.cudnn.allow_tf32 = False
    if cpu or name == "cpu":
        return torch.device("cpu")
    if name in ("auto", "cuda") and torch.cuda.is_available():
        if local_rank >= torch.cuda.device_count():
            raise ValueError(f"there are {torch.cuda.device_count()} GPUs here; give --n_GPUs no more than that")
        torch.cuda.set_device(local_rank)
        return torch.device("cuda", local_rank)
    if name == "auto":
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device {name} is not to be had here ({reason}); give auto or cpu") from error
    if device.type == "cuda":
        torch.cuda.set_device(device)  # streams and graphs are made on the current one
    return device


def autocast(
    device: torch.device, precision: str, *, cache_enabled: bool = True
) -> contextlib.AbstractContextManager[object]:
    """Open a region of `single`, `half` or `bf16` arithmetic; cache_enabled: keep the weights' casts inside it."""
    if precision == "single":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=AUTOCAST_DTYPES[precision], cache_enabled=cache_enabled)


def resolve_precision(name: str, device: torch.device) -> str:
    """Resolve `auto`: bf16 on hardware with units for it, else single."""
    if name != "auto":
        return name
    return "bf16" if has_fast_bf16(device) else "single"


def has_fast_bf16(device: torch.device) -> bool:
    """Whether a device has units for bf16: GPUs since Ampere, CPUs with AMX or AVX-512 bf16."""
    if device.type == "cpu":
        return any(torch.cpu.get_capabilities().get(units, False) for units in ("amx_bf16", "avx512_bf16"))
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def reset_peak_memory(device: torch.device) -> None:
    """Count the peak from now on; of RAM, where the system can (Linux)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: torch.device) -> int:
    """Bytes: the most allocated on a GPU, or held by this process in RAM (what it holds now, but on Linux)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with contextlib.suppress(OSError):  # psutil knows no peak
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
        if found:
            return 1024 * int(found[1])
    return int(psutil.Process().memory_info().rss)


def synchronize(device: torch.device) -> None:
    """Wait for a device's queued work, before reading a clock."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def send(tensor: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Copy without making the CPU wait for a GPU, which takes pinned memory."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, dtype or tensor.dtype, non_blocking=True)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell running out of memory, on any device, from other errors."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # The last is OpenCV's.
    said = r"not enough memory|can't allocate memory|out of memory|std::bad_alloc|Insufficient memory"
    return isinstance(error, RuntimeError | cv2.error) and bool(re.search(said, str(error)))
