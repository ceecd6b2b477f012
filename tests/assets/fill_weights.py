"""Deterministic weights for parity tests: the same names and shapes give the same numbers on every machine.

A state dict of the published CDSR format is described by ``released_keys_x{scale}.json``: a mapping from
parameter name to shape. ``fill(shapes, seed)`` returns float32 numpy arrays for all of them.
"""

import zlib

import numpy as np


def fill(shapes: dict[str, list[int]], seed: int, gain: float = 1.0) -> dict[str, np.ndarray]:
    """Return ``{name: float32 array}`` drawn per name from PCG64 seeded with (seed, crc32(name)).

    ``gain`` multiplies the fan-in scaled weights (0.3 keeps the 25 residual blocks of DASR bounded).
    """
    out = {}
    for name in sorted(shapes):
        shape = tuple(shapes[name])
        rng = np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))
        leaf = name.rsplit(".", 1)[-1]
        if leaf == "num_batches_tracked":
            out[name] = np.asarray(7, dtype=np.int64)
            continue
        if leaf == "queue_ptr":
            out[name] = np.zeros(shape, dtype=np.int64)
            continue
        if leaf == "queue":
            value = rng.standard_normal(shape)
            value /= np.linalg.norm(value, axis=0, keepdims=True)
        elif leaf == "running_var":
            value = rng.uniform(0.5, 1.5, shape)
        elif leaf == "running_mean":
            value = 0.1 * rng.standard_normal(shape)
        elif leaf == "gamma":
            value = rng.uniform(0.2, 0.8, shape)
        elif leaf == "bias":
            value = 0.05 * rng.standard_normal(shape)
        elif shape == (1,):  # PReLU slope
            value = rng.uniform(0.1, 0.4, shape)
        elif len(shape) == 1:  # batch norm scale
            value = rng.uniform(0.5, 1.5, shape)
        else:  # linear and convolution weights, fan-in scaled
            value = rng.standard_normal(shape) * gain * np.sqrt(1.0 / np.prod(shape[1:]))
            if "feature_bank" in name or ".fc_q." in name or ".fc_k." in name:
                value *= 3.0  # peaked code-book attention, so that the code book matters
        if name.startswith("G.upsampler."):  # keep the output inside the 8-bit range, around mid-grey
            value = 0.05 * value if leaf == "weight" else value + 0.5
        out[name] = value.astype(np.float32)
    return out
