"""Rules of the layout, kept by reading every file's syntax tree: who imports whom, and what no file may do.

Each checker takes a parsed module and yields what is wrong in it; each is shown a bad snippet too, so that it can fail.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
# From the ground up: a part may import itself and the floors below it, and never its neighbours.
FLOORS = (
    {"utils", "recipes"},
    {"data", "model", "loss"},
    {"inference"},
    {"evaluation", "restore"},
    {"training"},
    {"trainer", "option"},
    {"main", "test", "web", "integrations"},
    {"hubconf"},
    {"tests", "benchmarks", "examples"},
)
OURS = frozenset[str]().union(*FLOORS)
BELOW = {part: frozenset[str]().union(*FLOORS[:floor]) for floor, parts in enumerate(FLOORS) for part in parts}
MAY_IMPORT = {part: below | {part} for part, below in BELOW.items()} | {
    "integrations": BELOW["inference"] | {"inference", "integrations"},
    "hubconf": frozenset({"integrations", "model"}),
    "trainer": frozenset({"trainer", "training", "evaluation", "utils"}),  # it knows no network and no data set
    "main": BELOW["main"] | {"main", "test"},  # --test_only is test.py's evaluation
    "tests": OURS,
    "benchmarks": OURS - {"tests"},
    "examples": OURS - {"tests", "benchmarks"},
}
for _part in ("data", "model", "loss", "inference", "evaluation", "restore", "training", "trainer"):
    MAY_IMPORT[_part] -= {"option", "recipes"}  # `args` end in main.py, test.py and the build_* factories
# The same inside a part: modules, from the ground up. One that is not named stands anywhere above those that are.
INSIDE = {
    "utils": "log environment files image device randomness signals distributed known_degradation checkpoint run",
    "data": "degradation lmdb sources data_range crop_plan pairs protocol protocols samples mismatch test_sets "
    "training_set resident validation",
    "model": "sync_norm common network degradation_head variant csc rrdb residual autocorrelation dasr_encoder lpe "
    "encoder dynamic_conv dqa bicubic cdsr dasr oracle unconditional moco published spandrel registry files pretrained",
    "inference": "tiles memory backend upscaler export",
    "evaluation": "codes figures plots lpips metrics results rowlog evaluate shard profiling probe strengths estimates "
    "sets embeddings report cards",
    "restore": "sources transparency plan duration restore",
    "training": "schedule guard ema muon optimizers model_files validation recording resume step",
}


class Module(NamedTuple):
    """A parsed source file; `path` is relative to the root of the repository."""

    path: Path
    tree: ast.Module

    @property
    def part(self) -> str:
        """The top-level file or folder that the module belongs to."""
        return self.path.parts[0].removesuffix(".py")


Checker = Callable[[Module], Iterator[str]]


def parse(path: str | Path, source: str) -> Module:
    return Module(Path(path), ast.parse(source, filename=str(path)))


def read_modules() -> list[Module]:
    """Every Python file of the project, but for hidden folders, virtual environments and the outputs of runs."""
    outside = {"experiment", "SRTestset", "build", *(path.parent.name for path in ROOT.glob("*/pyvenv.cfg"))}
    paths = (path.relative_to(ROOT) for path in sorted(ROOT.rglob("*.py")))
    ours = (path for path in paths if path.parts[0] not in outside and not any(p.startswith(".") for p in path.parts))
    return [parse(path, (ROOT / path).read_text(encoding="utf-8")) for path in ours]


def imported_modules(module: Module) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import, those inside functions and relative ones included."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, node.module or ""
        elif isinstance(node, ast.ImportFrom):
            base = module.path.parts[:-1][: len(module.path.parts) - node.level]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from ((node.lineno, ".".join((*base, name))) for name in names)


def check_import_directions(module: Module) -> Iterator[str]:
    allowed = MAY_IMPORT.get(module.part, frozenset())
    for line, name in imported_modules(module):
        target = name.split(".")[0]
        if target in OURS and target not in allowed:
            yield f"{line}: {module.part} imports {name}; of ours it may import {sorted(allowed) or 'nothing'}"


def check_directions_inside(module: Module) -> Iterator[str]:
    """A floor imports those below it alone, and no floor the part's own front, such as the registry of models."""
    order = INSIDE.get(module.part, "").split()
    own = module.path.with_suffix("").parts[1:2]
    if not own or own[0] not in order:
        return
    for line, name in imported_modules(module):
        part, _, inner = name.partition(".")
        target = inner.split(".")[0]
        if part == module.part and (target not in order or order.index(target) > order.index(own[0])):
            yield f"{line}: {module.part}/{own[0]} imports {name}, which stands above it"


def check_name(module: Module) -> Iterator[str]:
    """No module, and no folder of modules, is named like one of the standard library.

    `test`, the interpreter's own tests, is not in that list: test.py is the published command line.
    """
    for part in module.path.with_suffix("").parts:
        if part in sys.stdlib_module_names:
            yield f"1: {part} is the name of a module of the standard library"


def check_docstring(module: Module) -> Iterator[str]:
    is_public = not module.path.stem.startswith("_") or module.path.stem == "__init__"
    if is_public and not (ast.get_docstring(module.tree) or "").strip():
        yield "1: no docstring at the top"


def check_test_names(module: Module) -> Iterator[str]:
    """Outside tests/ no function is named as if it were a test."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or module.part == "tests":
            continue
        if node.name.startswith("test_"):
            yield f"{node.lineno}: {node.name} is a test's name"


def check_no_cuda_calls(module: Module) -> Iterator[str]:
    """One object owns the device: `.to(device)`, never `.cuda()`."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "cuda":
            yield f"{node.lineno}: .cuda() is called; use .to(device)"


def check_no_path_edits(module: Module) -> Iterator[str]:
    """sys.path is neither assigned nor changed in place: scripts run from the root, by `python -m`."""
    for node in ast.walk(module.tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign | ast.Delete):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            targets = [node.func.value]
        for target in targets:
            inner = target.value if isinstance(target, ast.Subscript) else target
            if ast.unparse(inner) == "sys.path":
                yield f"{target.lineno}: sys.path is edited"


def check_no_bool_type(module: Module) -> Iterator[str]:
    """`type=bool` reads "False" as true: use BooleanOptionalAction or store_true."""
    for node in ast.walk(module.tree):
        for keyword in node.keywords if isinstance(node, ast.Call) else ():
            if keyword.arg == "type" and isinstance(keyword.value, ast.Name) and keyword.value.id == "bool":
                yield f"{keyword.value.lineno}: type=bool"


def check_no_main_block(module: Module) -> Iterator[str]:
    """The networks and the losses are no scripts."""
    for node in ast.walk(module.tree) if module.part in {"model", "loss"} else ():
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            yield f"{node.lineno}: a __main__ block"


CHECKERS: dict[Checker, tuple[tuple[str, str], ...]] = {
    # checker: (path, bad source), each of which it must refuse
    check_import_directions: (
        ("utils/a.py", "import model"),
        ("utils/a.py", "def f():\n    from data.training_set import TrainingSet"),
        ("option.py", "from trainer import Trainer"),
        ("inference/a.py", "from evaluation.metrics import psnr_y"),
        ("restore/a.py", "import evaluation"),
        ("evaluation/a.py", "from option import parse_options"),
        ("training/a.py", "from trainer import Trainer"),
        ("model/a.py", "import data.degradation.kernels as kernels"),
        ("model/a/b.py", "from ...data import df2k"),
        ("data/a.py", "from option import parse"),
        ("loss/a.py", "from model import build_model"),
        ("trainer.py", "from model.cdsr import CDSR"),
        ("test.py", "from examples import demo"),
        ("integrations/a.py", "from evaluation.metrics import psnr_y"),
        ("hubconf.py", "import trainer"),
        ("examples/demo.py", "import tests.conftest"),
    ),
    check_directions_inside: (
        ("data/degradation/a.py", "from data.protocols import Protocol"),
        ("evaluation/metrics.py", "import evaluation.results"),
        ("model/lpe.py", "from model import create_model"),
        ("model/common.py", "from model.cdsr import CDSR"),
        ("training/schedule.py", "from . import step"),
    ),
    check_name: (("utils/logging.py", ""), ("data/queue.py", ""), ("code/a.py", ""), ("random.py", "")),
    check_docstring: (("utils/a.py", "x = 1"), ("utils/__init__.py", ""), ("a.py", "''")),
    check_test_names: (("utils/a.py", "def test_speed(): ..."), ("a.py", "class A:\n    async def test_a(self): ...")),
    check_no_cuda_calls: (("a.py", "x = x.cuda()"), ("tests/a.py", "net.to('cpu').cuda(0)")),
    check_no_path_edits: (
        ("a.py", "import sys\nsys.path.append('..')"),
        ("a.py", "import sys\nsys.path.insert(0, '..')"),
        ("a.py", "import sys\nsys.path = []"),
        ("a.py", "import sys\nsys.path += ['..']"),
        ("a.py", "import sys\nsys.path[:0] = ['..']"),
    ),
    check_no_bool_type: (("option.py", "group.add_argument('--chop', type=bool, default=True)"),),
    check_no_main_block: (("model/a.py", "if __name__ == '__main__':\n    pass"),),
}
ACCEPTED = (
    (
        "utils/a.py",
        "'''Doc.'''\nimport cv2, torch.utils.data\nfrom utils.run import ROOT\nfrom .image import to_tensor",
    ),
    ("data/a.py", "'''Doc.'''\nimport lmdb\nfrom data.training_set import TrainingSet\nfrom . import df2k"),
    ("trainer.py", "'''Doc.'''\nimport sys\nfrom utils import metrics\nprint(sys.path, metrics)"),
    ("main.py", "'''Doc.'''\nimport data, loss, model, option, trainer, utils\nif __name__ == '__main__':\n    pass"),
    ("tests/test_a.py", "'''Doc.'''\nimport main, test, examples.demo\ndef test_a(): ..."),
    ("model/a.py", "'''Doc.'''\nimport torch\nassert torch.cuda.is_available() or isinstance(1, bool)"),
)


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda checker: checker.__name__)
def test_project_keeps_the_rule(checker: Checker):
    modules = read_modules()
    assert Path("tests/test_layout.py") in [module.path for module in modules]
    problems = [f"{module.path}:{problem}" for module in modules for problem in checker(module)]
    assert not problems, "\n" + "\n".join(problems)


@pytest.mark.parametrize(
    ("checker", "path", "source"),
    [(checker, path, source) for checker, snippets in CHECKERS.items() for path, source in snippets],
)
def test_checker_refuses_a_bad_snippet(checker: Checker, path: str, source: str):
    assert list(checker(parse(path, source)))


@pytest.mark.parametrize(("path", "source"), ACCEPTED)
def test_checkers_accept_good_snippets(path: str, source: str):
    module = parse(path, source)
    assert [problem for checker in CHECKERS for problem in checker(module)] == []


def test_every_part_is_known():
    """A new folder of modules is named in OURS, or its imports would go unchecked."""
    assert {module.part for module in read_modules()} <= OURS
