"""What the tests share: one thread per library, the folder of reference data, spandrel, and `gpu` tests that skip
themselves.
"""

import ctypes
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NoReturn

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


def pytest_runtest_teardown() -> None:
    """Give freed memory back to the system, which glibc else keeps: 3 GiB after a step of the published network."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


@pytest.fixture(scope="session")
def assets() -> Path:
    """Reference data that the tests compare with."""
    return Path(__file__).parent / "assets"


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six smooth random images in an empty working folder."""
    from tests.support.images import write_photographs

    monkeypatch.chdir(tmp_path)
    return write_photographs(tmp_path / "HR")


TORCHVISION = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")


def torchvision_problem() -> str:
    """Why torchvision cannot be imported here; empty where it can."""
    try:
        importlib.import_module("torchvision.transforms.functional")
    except (ImportError, RuntimeError) as error:  # RuntimeError: a build that does not fit PyTorch's
        return f"torchvision cannot be imported here ({str(error).splitlines()[0]})"
    return ""


@pytest.fixture(scope="session")
def spandrel() -> ModuleType:
    """The library; where torchvision cannot be imported, with stand-ins for what spandrel takes of it.

    These are two functions and an enumeration, used by networks for faces and for holes, which no test runs.
    """
    if not torchvision_problem():
        return importlib.import_module("spandrel")

    def stand_in(name: str) -> Callable[..., NoReturn]:
        def fail(*arguments: object, **options: object) -> NoReturn:
            raise AssertionError(f"{name} is a stand-in for torchvision's")

        return fail

    modules = {name: ModuleType(name) for name in TORCHVISION}
    for name in ("normalize", "rotate", "InterpolationMode"):
        setattr(modules[TORCHVISION[-1]], name, stand_in(name))
    before = {name: sys.modules.pop(name) for name in TORCHVISION if name in sys.modules}
    sys.modules.update(modules)
    try:
        return pytest.importorskip("spandrel", reason="no spandrel here: pip install -r requirements-spandrel.txt")
    finally:
        for name in TORCHVISION:
            del sys.modules[name]
        sys.modules.update(before)
