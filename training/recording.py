"""A call recorded as a CUDA graph, so that the host no longer launches its thousands of kernels one by one."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

WARM_UP_CALLS = 3
"""Plain calls first, in which cuDNN chooses its kernels and what is lazy is made."""

Result = TypeVar("Result")


class RecordedCall(Generic[Result]):
    """A function of tensors of constant shapes, replayed with new values after a few plain calls.

    The result is the same tensors after every replay, with new values: copy what is to outlive the next call. So are
    the gradients of a backward pass inside: let them be, and clear them only before a plain call and the recording.

    Args:
        call: the function; what it reads besides its arguments is read where it lay when recorded, and it neither
            waits for the device nor copies to it from the host.
        prepare: called before each plain call and before the recording.
    """

    def __init__(self, call: Callable[[Sequence[Tensor]], Result], prepare: Callable[[], None]) -> None:
        self.call, self.prepare = call, prepare
        self._num_calls = 0
        self._stream = torch.cuda.Stream()
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []
        self._result: Result

    def __call__(self, inputs: Sequence[Tensor]) -> Result:
        """Call with inputs of the shapes of the first call, on their device."""
        self._num_calls += 1
        if self._num_calls <= WARM_UP_CALLS:
            return self._call_plainly(inputs)
        if self._graph is None:
            self._record(inputs)
        else:
            for kept, new in zip(self._inputs, inputs, strict=True):
                kept.copy_(new)
        assert self._graph is not None
        self._graph.replay()
        return self._result

    def _call_plainly(self, inputs: Sequence[Tensor]) -> Result:
        """Call on a stream of its own, as recording will, so that nothing is bound to the default one."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            self.prepare()
            result = self.call(inputs)
        torch.cuda.current_stream().wait_stream(self._stream)
        return result

    def _record(self, inputs: Sequence[Tensor]) -> None:
        self._inputs = [tensor.clone() for tensor in inputs]
        self.prepare()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        # A loader's thread that pins memory is no part of this.
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            self._result = self.call(self._inputs)
        self._graph = graph
