"""OpenVINO for the SR network: the graph that PyTorch traces, compiled for the processor at hand.

The encoder, a small part of the work, stays in PyTorch, so that one code of the whole image serves all tiles. One
compilation serves every size: tiles of a fixed size are no faster. The precisions are those that autocast chooses in
PyTorch (first and last convolution in float32), because the trace records them.
"""

import importlib.util
import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.network import Network
from utils.device import autocast

NAMES = {"torch": "PyTorch", "openvino": "OpenVINO"}
BACKENDS = tuple(NAMES)
MISSING = "--backend openvino needs OpenVINO: pip install -r requirements-openvino.txt, or give --backend torch"

TRACED = 16
"""Side of the image that the network is traced with, LR pixels; it runs with any."""


def choose_backend(name: str | None, model: Network, device: torch.device, precision: str) -> str:
    """Take the backend asked for, or, where none is, OpenVINO on CPUs that it is installed on.

    Args:
        name: one of BACKENDS, or None.
        model: the network to run; without weights there is nothing to compile, and a non-blind network
            is for test sets alone.
        device: where it is.
        precision: `single` or `bf16`, or `half`, which OpenVINO does not take here.

    Raises:
        ValueError: OpenVINO was asked for, and is not installed, or has nothing to run here.
    """
    is_installed = importlib.util.find_spec("openvino") is not None
    fits = device.type == "cpu" and precision != "half" and model.is_trainable and not model.is_non_blind
    if name == "openvino" and not is_installed:
        raise ValueError(MISSING)
    if name == "openvino" and not fits:
        raise ValueError(
            "--backend openvino is for CDSR and DASR on CPUs, in bf16 or float32: add --cpu, leave out --precision "
            "half, or give --backend torch"
        )
    return name or ("openvino" if is_installed and fits else "torch")


class CompiledNetwork:
    """An SR network compiled by OpenVINO, called as `Network.super_resolve` is, or for tiles with what `pool` gave.

    Args:
        model: a network in evaluation mode, on the CPU.
        precision: `single` or `bf16`.

    Raises:
        ValueError: OpenVINO is not installed, or cannot run this network.
    """

    def __init__(self, model: Network, *, precision: str) -> None:
        try:
            import openvino
        except ImportError as error:
            raise ValueError(MISSING) from error
        self._openvino, self._model, self._precision = openvino, model, precision
        self._settings = {
            "INFERENCE_PRECISION_HINT": "f32",  # what is to be bf16 says so itself
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "ENABLE_CPU_PINNING": False,  # else all processes of a machine crowd on its first cores
            "CPU_RUNTIME_CACHE_CAPACITY": 64,  # else it keeps about a megabyte for every size of an image
        }
        lr = torch.zeros(1, 3, TRACED, TRACED)
        with torch.no_grad():
            self._inputs = lr, model.encode(lr)
        self._whole = self._compile(model.super_resolve, *self._inputs)

    def __call__(self, lr: Tensor, code: Tensor, pooled: Tensor | None = None) -> Tensor:
        """Super-resolve lr (B, 3, H, W) in [0, 255] under codes (B, D): (B, 3, scale*H, scale*W) float32."""
        return _run(self._whole, lr, code) if pooled is None else _run(self._tile, lr, code, pooled)

    def pool(self, lr: Tensor, code: Tensor) -> Tensor:
        """What the network pools of lr (B, 3, H, W) under codes (B, D): (B, num_queries, C) float32."""
        return _run(self._pool, lr, code)

    @cached_property
    def _tile(self) -> Any:
        network = self._model.sr_network
        return self._compile(network, *self._inputs, network.pool(*self._inputs))

    @cached_property
    def _pool(self) -> Any:
        return self._compile(self._model.sr_network.pool, *self._inputs)

    def _compile(self, function: Callable[..., Tensor], *inputs: Tensor) -> Any:
        try:
            graph = _convert(_Traceable(self._model, function), inputs, self._precision)
            return self._openvino.Core().compile_model(graph, "CPU", self._settings).create_infer_request()
        except RuntimeError as error:
            name, reason = type(self._model).__name__, str(error).strip().splitlines()[-1]
            raise ValueError(f"OpenVINO cannot run {name} ({reason}): give --backend torch") from error


def _run(request: Any, *inputs: Tensor) -> Tensor:
    """Run a compiled graph for one image after the other: inputs (B, ...), result (B, ...)."""
    results = []
    for image in zip(*(values.float().split(1) for values in inputs), strict=True):
        arrays = [values.contiguous().numpy() for values in image]
        results.append(torch.from_numpy(request.infer(arrays, share_inputs=True)[0]))
    return torch.cat(results)


class _Traceable(nn.Module):
    """What is traced: a function of the model behind `forward`."""

    def __init__(self, model: Network, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.model = model
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


def _convert(traceable: _Traceable, inputs: tuple[Tensor, ...], precision: str) -> Any:
    """OpenVINO's graph of a function of the model, whose first input is one image, here of any size.

    By the frontend itself: `openvino.convert_model` does the same, and reports its use to the makers.
    """
    from openvino import PartialShape
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        with autocast(torch.device("cpu"), precision, cache_enabled=False):
            traced = torch.jit.trace(traceable, inputs, check_trace=False)
    decoder = TorchScriptPythonDecoder(traced)  # named: the frontend does not keep it alive
    frontend = FrontEndManager().load_by_framework("pytorch")
    graph = frontend.convert(frontend.load(decoder))
    shapes = [[1, 3, -1, -1], *(list(given.shape) for given in inputs[1:])]
    graph.reshape({index: PartialShape(shape) for index, shape in enumerate(shapes)})
    _round_to_nearest(graph)
    _fold_constants(graph)
    _drop_products_with_one(graph)
    return graph


def _round_to_nearest(graph: Any) -> None:
    """Bring what is converted to bf16 to 8 bits before, by Veltkamp's splitting: x (2^16 + 1) - (x (2^16 + 1) - x).

    OpenVINO's own conversion rounds to nearest, ties to even, only where the last bit kept is 1, and down elsewhere.
    """
    from openvino import Type, opset13

    for node in graph.get_ordered_ops():
        if node.get_type_name() == "Convert" and node.get_output_element_type(0) == Type.bf16:
            exact = node.input_value(0)
            if exact.get_element_type() == Type.f32:
                scaled = opset13.multiply(exact, np.float32(2**16 + 1))
                rounded = opset13.subtract(scaled, opset13.subtract(scaled, exact))
                node.input(0).replace_source_output(rounded.output(0))


def _fold_constants(graph: Any) -> None:
    from openvino.passes import ConstantFolding, Manager

    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(graph)


def _drop_products_with_one(graph: Any) -> None:
    """PyTorch traces a + b as a + 1 * b; OpenVINO computes that product in bf16, and then fuses no sums."""
    products = [node for node in graph.get_ordered_ops() if node.get_type_name() == "Multiply"]
    for product in products:
        factors = [product.input_value(0), product.input_value(1)]
        for one, other in (factors, factors[::-1]):
            if _is_one(one.get_node()):
                product.output(0).replace(other)
                break


def _is_one(node: Any) -> bool:
    if node.get_type_name() != "Constant" or list(node.get_output_shape(0)):
        return False
    return float(node.get_data(dtype="float32")) == 1
