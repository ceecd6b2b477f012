"""The weights that ship with the project, in `experiment/pretrained/`: which to take where nobody names a file."""

from pathlib import Path

from utils.run import ROOT, logger

FOLDER = ROOT / "experiment" / "pretrained"


def pretrained_path(name: str, scale: int, noise: float = 0.0, *, real: bool = False) -> Path:
    """Where the shipped weights of a model are, if there are any.

    Args:
        name: of the model.
        scale: the factor.
        noise: standard deviation in the LR images, grey levels. Above 0, weights trained up to that level are taken,
            else those for the strongest noise there is, else those for none.
        real: take weights for real images, where there are some and no noise level is given.
    """
    stem = f"{name.lower()}_x{scale}"
    if real and noise <= 0 and (path := FOLDER / f"{stem}_real.safetensors").is_file():
        return path
    noisy = {float(path.stem.rpartition("_noise")[2]): path for path in FOLDER.glob(f"{stem}_noise*.safetensors")}
    if noise <= 0 or not noisy:
        return FOLDER / f"{stem}.safetensors"
    return noisy[min((level for level in noisy if level >= noise), default=max(noisy))]


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
    if noise > 0 and path == pretrained_path(name, scale) and path.is_file():
        logger.warning("no weights for noise are shipped for %s x%d: taking those for none", name, scale)
    return name, path
