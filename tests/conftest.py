"""What the tests share: one thread per library, the folder of reference data, and `gpu` tests that skip themselves."""

import os
from pathlib import Path

import pytest

# Small shapes on two cores: threads cost more than they bring, and sums come out the same on every machine.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorBoard's chatter


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `gpu` where no CUDA device is present."""
    if item.get_closest_marker("gpu") is None:
        return
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session")
def assets() -> Path:
    """Reference data that the tests compare with."""
    return Path(__file__).parent / "assets"
