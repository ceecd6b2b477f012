"""Importing the project where another program has modules of the same names: `utils` above all."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("data", "inference", "model", "utils")
"""Top-level names that a network and its upscaler need."""


@contextlib.contextmanager
def own_modules() -> Iterator[None]:
    """Import ours inside: modules of a program that have our names are set aside, and put back afterwards.

    The program then sees none of ours under those names, so that each side keeps its own. The folder of the project
    has to be on the module search path, before any folder with modules of these names.
    """
    theirs = {name: module for name, module in sys.modules.items() if _is_part(name) and not _is_ours(module)}
    shared = {name.split(".")[0] for name in theirs}
    for name in theirs:
        del sys.modules[name]
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] in shared]:
            del sys.modules[name]
        sys.modules.update(theirs)


def _is_part(name: str) -> bool:
    return name.split(".")[0] in PARTS


def _is_ours(module: ModuleType) -> bool:
    files = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
    return any(ROOT in Path(file).resolve().parents for file in files if file)
