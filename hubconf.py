"""The networks by torch.hub: `torch.hub.load(REPO, "cdsr_s", scale=2)`, from a clone with source="local".

Each entry gives a network in evaluation mode, with the shipped weights or those of a file. Called with lr, (B, 3, H, W)
float32 RGB in [0, 255], it gives sr, (B, 3, scale*H, scale*W), around [0, 255], neither clipped nor rounded, on the
grid of the test sets (docs/elsewhere.md). torch.hub lists every public callable here, hence the plain imports.
"""

import pathlib

from torch import nn

import integrations.own_modules

with integrations.own_modules.own_modules():
    import model
    import model.pretrained

dependencies = ["numpy", "psutil", "safetensors", "torch"]


def cdsr(scale: int = 2, *, weights: str | None = None) -> nn.Module:
    """CDSR at its published size. weights: a .pt or .safetensors file; none are shipped."""
    return _open("CDSR", scale, weights)


def cdsr_s(scale: int = 2, *, weights: str | None = None, noise: float = 0.0) -> nn.Module:
    """CDSR_S. weights: a file; else the shipped ones, for images with up to `noise` (grey levels) where there are."""
    return _open("CDSR_S", scale, weights, noise)


def dasr(scale: int = 2, *, weights: str | None = None) -> nn.Module:
    """DASR at its published size. weights: a .pt or .safetensors file; none are shipped."""
    return _open("DASR", scale, weights)


def dasr_s(scale: int = 2, *, weights: str | None = None) -> nn.Module:
    """DASR_S. weights: a .pt or .safetensors file; none are shipped."""
    return _open("DASR_S", scale, weights)


def _open(name: str, scale: int, weights: str | None, noise: float = 0.0) -> nn.Module:
    """Build a network from its file, strictly. ValueError: there is none, or it is for another network or scale."""
    path = pathlib.Path(weights) if weights else model.pretrained.pretrained_path(name, scale, noise)
    if not weights and not path.is_file():
        raise ValueError(f"no weights are shipped for {name} x{scale}; give a file: weights=PATH")
    return model.open_model(name, scale, path).eval()
