"""Networks of other people, opened by spandrel: SwinIR, DAT, SPAN, ESRGAN and some forty more, as one of our models.

spandrel (https://github.com/chaiNNer-org/spandrel, MIT) finds from the names and shapes in a file which network it
holds. It needs `pip install -r requirements-spandrel.txt`, and is imported when a file is opened.
"""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from model.common import RGB_RANGE
from model.network import Network
from model.published import describe
from utils.checkpoint import CheckpointError, load_content, require_finite

NUM_CHANNELS = 3


class SpandrelModel(Network):
    """A network that takes RGB images and knows no degradation; empty until `open_file`.

    Args:
        scale: that the file has to be for, 1 to 4.
    """

    is_trainable = False

    def __init__(self, *, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.descriptor: Any = None  # spandrel's, which knows the range and the sizes that its network takes

    def open_file(self, path: Path) -> None:
        """Take the network that a file holds, without unpickling code.

        Raises:
            ValueError: spandrel is missing; the file cannot be read, or holds no RGB network for this scale.
        """
        self.descriptor = open_descriptor(path)
        check_image_network(self.descriptor, path)
        if self.descriptor.scale != self.scale:
            name, scale = self.descriptor.architecture.name, self.descriptor.scale
            advice = f"give --scale {scale}" if 1 <= scale <= 4 else "give a file for 1 to 4"
            raise ValueError(f"{path} is a {name} for scale {scale}, not {self.scale}: {advice}")
        self.sr_network = self.descriptor.model

    def super_resolve(self, lr: Tensor, code: Tensor) -> Tensor:
        """Upscale lr (B, 3, H, W) in [0, 255], one by one, padded by reflection where the network asks for a size.

        Returns:
            (B, 3, scale*H, scale*W), clipped to [0, 255].
        """
        # Other people's code may count on the plain memory layout.
        images = (lr / RGB_RANGE).contiguous().split(1)
        return torch.cat([self.descriptor(image).float() for image in images]) * RGB_RANGE


def import_spandrel() -> ModuleType:
    """Import spandrel. ValueError says what is missing."""
    try:
        import spandrel
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that does not fit PyTorch
        reason = str(error).splitlines()[0]
        raise ValueError(f"--model spandrel needs more ({reason}): pip install -r requirements-spandrel.txt") from error
    return spandrel


def open_descriptor(path: Path) -> Any:
    """Read a file and let spandrel find its network; returns spandrel's descriptor, its network in evaluation mode.

    Raises:
        ValueError: as `SpandrelModel.open_file`, whatever the network is for.
    """
    spandrel = import_spandrel()
    content, _ = load_content(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} is no state dict; give a file of weights")
    try:
        descriptor = spandrel.ModelLoader().load_from_state_dict(content).eval()
    except spandrel.UnsupportedModelError as error:
        held = describe(content, "no network that it knows; it knows those of single images, and none of video")
        raise ValueError(f"{path} is not for spandrel {spandrel.__version__}: it holds {held}") from error
    except Exception as error:  # its networks' own code, on tensors of any shape
        reason = textwrap.shorten(str(error) or type(error).__name__, 200, placeholder=" ...")
        raise ValueError(f"spandrel cannot open {path} ({reason}); is it whole?") from error
    require_finite(descriptor.model.state_dict(), path)
    return descriptor


def check_image_network(descriptor: Any, path: Path) -> None:
    """Refuse, with a ValueError, a network of spandrel's that does not map any RGB image to one."""
    name = descriptor.architecture.name
    if descriptor.purpose == "Inpainting":
        raise ValueError(f"{path} is a {name}, which fills holes under a mask: give a network that upscales")
    if descriptor.purpose == "FaceSR":
        raise ValueError(f"{path} is a {name}, which takes aligned faces alone: give a network for any image")
    channels = descriptor.input_channels, descriptor.output_channels
    if channels != (NUM_CHANNELS, NUM_CHANNELS):
        kinds = {1: "grey alone", 4: "with alpha"}
        raise ValueError(
            f"{path} is a {name} from {channels[0]} to {channels[1]} channels ({kinds.get(channels[0], 'not RGB')}): "
            "give a network of RGB images"
        )
