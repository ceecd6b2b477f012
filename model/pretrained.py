"""The weights that ship with the project, in `experiment/pretrained/`: which to take where nobody names a file."""

import contextlib
import re
from pathlib import Path
from typing import NamedTuple

from utils.environment import ROOT
from utils.log import logger

FOLDER = ROOT / "experiment" / "pretrained"


class Shipped(NamedTuple):
    """A file of weights, and what it is for.

    Args:
        path: of the file.
        noise: standard deviation of the strongest noise that it was trained with, grey levels.
        real: whether it is for real images.
    """

    path: Path
    noise: float
    real: bool


def read_name(path: Path) -> Shipped:
    """What a file is for, by its name. ValueError: it is not named as those that ship."""
    kind = re.fullmatch(r".+_x\d+(?:_(real)|_noise([\d.]+))?", path.stem)
    if kind is None:
        raise ValueError(f"{path} is not named NAME_xSCALE, NAME_xSCALE_noiseLEVEL or NAME_xSCALE_real")
    return Shipped(path, noise=float(kind[2] or 0), real=bool(kind[1]))


def shipped(name: str, scale: int) -> list[Shipped]:
    """List the weights that ship for a model: for blur; then for noise, the strongest last; then for real images."""
    found = []
    for path in FOLDER.glob(f"{name.lower()}_x{scale}*.safetensors"):
        with contextlib.suppress(ValueError):  # somebody's own
            found.append(read_name(path))
    return sorted(found, key=lambda file: (file.real, file.noise))


def pretrained_path(name: str, scale: int, noise: float = 0.0, *, real: bool = False) -> Path:
    """Where the shipped weights of a model are, if there are any; else a path where nothing is.

    Args:
        name: of the model.
        scale: the factor.
        noise: standard deviation in the LR images, grey levels. Above 0, weights trained up to that level are taken,
            else those for the strongest noise there is, else those for none.
        real: take weights for real images, where there are some, and none for noise are wanted and there.
    """
    files = shipped(name, scale)
    noisy = [file for file in files if file.noise > 0] if noise > 0 else []
    wanted = [file for file in noisy if file.noise >= noise] or noisy[-1:]
    wanted = wanted or [file for file in files if file.real and real]
    return wanted[0].path if wanted else FOLDER / f"{name.lower()}_x{scale}.safetensors"


def blur_and_real(name: str, scale: int) -> list[Path]:
    """Where the shipped weights of a model for blur would be; then those for real images, where they ship."""
    return list(dict.fromkeys(pretrained_path(name, scale, real=real) for real in (False, True)))


def shipped_weights(name: str, scale: int, noise: float = 0.0, *, real: bool = False) -> tuple[str, Path]:
    """Choose a model and its file as `pretrained_path` does, the small model where that alone has one.

    A warning names what is not as asked. Where there is no file at all, the path is that of a file that is not there.
    """
    small, path = f"{name}_S", pretrained_path(name, scale, noise, real=real)
    if not path.is_file() and pretrained_path(small, scale, noise, real=real).is_file():
        logger.warning("no weights are shipped for %s x%d: taking %s", name, scale, small)
        name, path = small, pretrained_path(small, scale, noise, real=real)
    if path.is_file() and read_name(path).noise < noise:
        logger.warning("no weights for noise of %g are shipped for %s x%d: taking %s", noise, name, scale, path.name)
    return name, path
