"""Reading and writing weights (`.pt`, `.safetensors`) and training states, without ever unpickling code."""

import contextlib
import errno
import json
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from utils.files import replacing

METADATA_KEY = "cdsr"
"""Where a `.pt` keeps its metadata: an entry of the state dict's `_metadata`, which every PyTorch ignores."""


class CheckpointError(ValueError):
    """A file that cannot be used as a checkpoint; the message names it and says why."""


@contextlib.contextmanager
def _failing_as_oserror() -> Iterator[None]:
    """Torch and safetensors report a full disk by errors of their own."""
    try:
        yield
    except (RuntimeError, SafetensorError) as error:
        raise OSError(f"writing failed, is the disk full? ({str(error).splitlines()[0]})") from error


def save_weights(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any], *, is_half: bool = False
) -> None:
    """Write a state dict with JSON-able metadata, atomically; the suffix says the format. is_half: in 16 bits."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    if is_half:
        tensors = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    with replacing(path) as temporary, _failing_as_oserror():
        if path.suffix == ".safetensors":
            # `save_file` would leave a file that nobody else may read.
            temporary.write_bytes(save(tensors, {METADATA_KEY: json.dumps(dict(metadata), default=str)}))
        else:
            state = OrderedDict(tensors)
            state._metadata = {METADATA_KEY: json.dumps(dict(metadata), default=str)}  # type: ignore[attr-defined]
            torch.save(state, temporary)


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a state dict and its metadata (empty where the file has none).

    Raises:
        CheckpointError: as `load_content` and `require_finite`, or the file holds more than a plain state dict.
    """
    state, metadata = load_content(path)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path} is no plain state dict of tensors; give a model file, not a training state")
    require_finite(state, path)
    return dict(state), metadata


def require_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse, with a CheckpointError, weights that would turn every image black."""
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise CheckpointError(
                f"{path} has values in {name} that are not finite, as a training that diverged leaves them; give "
                "another file"
            )


def load_content(path: Path) -> tuple[Any, dict[str, Any]]:
    """Read what a file holds, tensors in whatever nest, and its metadata.

    Raises:
        CheckpointError: the file is missing, truncated, no checkpoint, or holds pickled code.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}; give an existing .pt or .safetensors file")
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    content = _load_torch(path)
    return content, json.loads(getattr(content, "_metadata", {}).get(METADATA_KEY, "{}"))


def _load_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path} is truncated or no safetensors file ({error}); fetch it again") from error


def _load_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # what cannot be read is refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file raises has no common type
        is_of_system = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)  # that: a wrong offset
        if is_of_system or isinstance(error, MemoryError):
            raise  # it says nothing of the file
        is_bare_pickle = "Unsupported operand" in str(error) and _starts_as_pickle(path)
        if is_bare_pickle or ("Weights only load failed" in str(error) and "GLOBAL" in str(error)):
            raise CheckpointError(f"{path} is refused: it holds pickled code or objects, not tensors alone") from error
        raise CheckpointError(f"{path} is truncated or no PyTorch file; fetch it again") from error


def _starts_as_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == b"\x80"


class StateStore:
    """The training states of a run in its folder `state/`: the newest two, each written to a temporary name first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, state: dict[str, Any], *, epoch: int, step: int) -> Path:
        """Write a state, then drop all but it and the one before; later ones are of a run that went back.

        Raises:
            OSError: it could not be written; earlier states are as they were.
        """
        path = self.folder / f"epoch_{epoch:05d}_step_{step:09d}.pt"
        with replacing(path) as temporary, _failing_as_oserror():
            torch.save(state, temporary)
        paths = self.paths()
        kept = paths[: paths.index(path) + 1][-2:]
        for other in set(paths).difference(kept):
            other.unlink()
        return path

    def paths(self) -> list[Path]:
        """List the states, oldest first."""
        return sorted(self.folder.glob("epoch_*_step_*.pt"), key=lambda path: path.stem.split("_step_")[1])

    def load(self, epoch: int = -1) -> tuple[dict[str, Any], Path, list[str]]:
        """Read the newest state that is whole, or the newest of an epoch.

        Returns:
            the state, its path, and a line for each newer state that was passed over.

        Raises:
            CheckpointError: none is left.
        """
        candidates = [path for path in self.paths() if epoch == -1 or path.name.startswith(f"epoch_{epoch:05d}_")]
        passed_over: list[str] = []
        for path in reversed(candidates):
            try:
                return _load_torch(path), path, passed_over
            except CheckpointError as error:
                passed_over.append(f"{error}; falling back to the state before it")
        wanted = "a state" if epoch == -1 else f"a state of epoch {epoch}"
        found = ", ".join(path.name for path in self.paths()) or "none"
        raise CheckpointError(f"no whole file of {wanted} to resume in {self.folder} (there: {found})")
