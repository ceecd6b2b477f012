"""Importing the project where another program has modules of the same names: `utils` above all."""

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("data", "inference", "model", "utils")
"""Top-level names that a network and its upscaler need."""


@contextlib.contextmanager
def own_modules() -> Iterator[None]:
    """Import ours inside, wherever the folder of the project stands on the module search path.

    A name is the program's if it has imported a module of that name, or if that is what the search path finds first:
    such a module is set aside, and put back afterwards, and the program sees none of ours under that name.
    """
    theirs = {name: module for name, module in sys.modules.items() if _part(name) in PARTS and not _is_ours(module)}
    shared = {_part(name) for name in theirs} | {part for part in PARTS if not _is_found_first(part)}
    for name in theirs:
        del sys.modules[name]
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if _part(name) in shared]:
            del sys.modules[name]
        sys.modules.update(theirs)


class _Finder:
    """Finds our parts in our folder alone."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [str(ROOT)]) if name in PARTS else None


def _part(name: str) -> str:
    return name.split(".")[0]


def _is_ours(module: ModuleType) -> bool:
    return _is_within([getattr(module, "__file__", None), *getattr(module, "__path__", [])])


def _is_found_first(part: str) -> bool:
    spec = PathFinder.find_spec(part)
    return spec is not None and _is_within([spec.origin])


def _is_within(files: Iterable[str | None]) -> bool:
    return any(ROOT in Path(file).resolve().parents for file in files if file)
