"""The weights that ship with the project, in `experiment/pretrained/`: which to take where nobody names a file."""

from pathlib import Path

from utils.run import ROOT, logger

FOLDER = ROOT / "experiment" / "pretrained"


def pretrained_path(name: str, scale: int, noise: float = 0.0) -> Path:
    """Where the shipped weights of a model are, if there are any.

    Args:
        name: of the model.
        scale: the factor.
        noise: standard deviation in the LR pictures, grey levels. Above 0, weights trained up to that level are taken,
            else those for the strongest noise there is, else those for none.
    """
    stem = f"{name.lower()}_x{scale}"
    noisy = {float(path.stem.rpartition("_noise")[2]): path for path in FOLDER.glob(f"{stem}_noise*.safetensors")}
    if noise <= 0 or not noisy:
        return FOLDER / f"{stem}.safetensors"
    return noisy[min((level for level in noisy if level >= noise), default=max(noisy))]


def shipped_model(name: str, scale: int, noise: float = 0.0) -> str:
    """The model of that name, or its small form where that alone has shipped weights for the scale, with a warning."""
    small = f"{name}_S"
    if pretrained_path(name, scale, noise).is_file() or not pretrained_path(small, scale, noise).is_file():
        return name
    logger.warning("no weights are shipped for %s x%d: taking %s", name, scale, small)
    return small
