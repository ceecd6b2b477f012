"""Our blind networks in programs that load models with spandrel, such as ComfyUI and chaiNNer.

    from integrations.spandrel import register
    register()
    descriptor = spandrel.ModelLoader().load_from_file("cdsr_s_x2.safetensors")

The names and shapes in a file tell the network, its scale, size and variant; published checkpoints of CDSR and DASR
load, and ours. `descriptor(image)` gives the pixels of `test.py --dir_demo` in float32, on the grid of interpolation;
`descriptor.model` is the network itself, which gives those of the test sets.
"""

from collections.abc import Mapping
from typing import Any

from spandrel import MAIN_REGISTRY, Architecture, ArchRegistry, ArchSupport, ImageModelDescriptor, ModelTiling
from torch import Tensor

from integrations.own_modules import own_modules

with own_modules():
    from inference.upscaler import Upscaler
    from model import identify, usual_variant
    from model.common import RGB_RANGE
    from model.network import Network
    from model.published import network_in

NETWORKS = ("CDSR", "DASR")


class BlindArchitecture(Architecture[Network]):
    """A network that reads the degradation off the image.

    Args:
        network: one of NETWORKS.
    """

    def __init__(self, network: str) -> None:
        super().__init__(id=network, detect=lambda state_dict: network_in(state_dict) == network)

    def load(self, state_dict: Mapping[str, Any]) -> ImageModelDescriptor[Network]:
        """Build the network with its weights. ValueError: it is of a size that none of our models has."""
        name, model = identify(state_dict)
        marks = model.variant.marks(usual_variant(name)) if model.has_variants else []
        return ImageModelDescriptor(
            model.eval(),
            model.state_dict(),
            architecture=self,
            purpose="SR" if model.scale > 1 else "Restoration",
            tags=[name, *marks],
            supports_half=False,  # as autocast: the ends of the network stay in float32
            supports_bfloat16=False,
            scale=model.scale,
            input_channels=3,
            output_channels=3,
            tiling=ModelTiling.DISCOURAGED,  # each tile would have a code of its own
            call_fn=upscale,
        )


def upscale(model: Network, image: Tensor) -> Tensor:
    """Upscale an image (1, 3, H, W) in [0, 1] to (1, 3, scale*H, scale*W) in [0, 1], with the same centre.

    spandrel hands on tensors without a file's metadata, so that the grid is what the model assumes then.
    """
    return Upscaler(model, centred=True)(image * RGB_RANGE) / RGB_RANGE


def register(registry: ArchRegistry = MAIN_REGISTRY) -> None:
    """Let spandrel's loader know our networks. DuplicateArchitectureError: it does already."""
    registry.add(*(ArchSupport.from_architecture(BlindArchitecture(network)) for network in NETWORKS))
