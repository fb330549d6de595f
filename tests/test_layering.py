"""Who may import whom: every file stands on a floor and imports only from below.

Imports are read with ``ast`` in the whole file, functions included: an import that is put off
until a call is an import still. On its own floor a file may import others as long as no circle
arises.
"""

import ast
import fnmatch
from pathlib import Path

import pytest

import numcnn
from numcnn import bench, kernels

# Lowest first. A new file must be put on one of these floors.
FLOORS = (
    ("numcnn.kernels", "numcnn.kernels.*"),
    (
        "numcnn.shapes",
        "numcnn.init",
        "numcnn.device",
        "numcnn.memory",
        "numcnn.error_bounds",
        "numcnn.norm_bounds",
    ),
    (
        "numcnn.layers",
        "numcnn.layers.*",
        "numcnn.losses",
        "numcnn.clipping",
        "numcnn.regularization",
        "numcnn.losses.*",
        "numcnn.optim",
        "numcnn.optim.*",
        "numcnn.schedulers",
    ),
    (
        "numcnn.data",
        "numcnn.data.*",
        "numcnn.callbacks",
        "numcnn.checkpoint",
        "numcnn.checkpoint_folder",
        "numcnn.evaluation",
        "numcnn.figures",
        "numcnn.history",
        "numcnn.metrics",
        "numcnn.nanguard",
        "numcnn.curves",
        "numcnn.diagnose",
        "numcnn.progress",
        "numcnn.resume",
        "numcnn.sharing",
        "numcnn.summary",
        "numcnn.gradcheck",
        "numcnn.training",
        "numcnn.training_settings",
        "numcnn.training_state",
        "numcnn.training_step",
    ),
    ("numcnn.model",),
    ("numcnn.models", "numcnn.models.*"),
    (
        "numcnn",
        "numcnn.__main__",
        "numcnn.bench",
        "numcnn.bench.*",
        "numcnn.audit",
        "numcnn.cli",
        "numcnn.cli_audit",
        "numcnn.layer_bounds",
        "numcnn.cli_errors",
        "numcnn.cli_lectures",
        "numcnn.cli_gallery",
        "numcnn.cli_options",
        "numcnn.cli_pictures",
        "numcnn.cli_warmup",
        "numcnn.recipe",
        "numcnn.digit",
        "numcnn.doctor",
        "numcnn.gallery",
        "numcnn.gradcheck_all",
        "numcnn.gradcheck_cases",
        "numcnn.pictures",
        "numcnn.pictures.*",
        "numcnn.lectures",
        "numcnn.lectures.*",
        "numcnn.runs",
        "numcnn.warmup",
    ),
)
KERNEL_FLOORS = ("reference", "cpu", "cuda")


def sources():
    """Return {module name: path} of every installed file of numcnn."""
    found = {}
    for package in (numcnn, kernels, bench):
        root = Path(package.__file__).parent
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join((package.__name__, *parts))] = path
    return found


def _targets(node, name, is_package):
    """Yield the absolute names that one import statement or import_module() call asks for."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name
    elif isinstance(node, ast.ImportFrom):
        base = name.split(".")
        if node.level:
            base = base[: len(base) - node.level + is_package]
            base = [*base, *(node.module or "").split(".")] if node.module else base
        else:
            base = node.module.split(".")
        for alias in node.names:
            yield ".".join((*base, alias.name))
    elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
        for argument in node.args[:1]:
            first = argument.values[0] if isinstance(argument, ast.JoinedStr) else argument
            if isinstance(first, ast.Constant):
                yield first.value.rstrip(".")


def imports(name, text, is_package, modules):
    """Return {module: line} of what one file imports from numcnn."""
    found = {}
    for node in ast.walk(ast.parse(text)):
        for target in _targets(node, name, is_package):
            if target.partition(".")[0] != "numcnn":
                continue
            while target not in modules:  # a class or function: what counts is its module
                target = target.rpartition(".")[0]
            if target != name:
                found.setdefault(target, node.lineno)
    return found


def floor_of(name):
    for number, patterns in enumerate(FLOORS):
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            return number
    return None


def graph(modules):
    """Return {module: {module it imports: line}} for {module: (text, is it a package?)}."""
    return {
        name: imports(name, text, is_package, modules)
        for name, (text, is_package) in modules.items()
    }


def upward(edges):
    """Return a sentence for each import of a higher floor."""
    return [
        f"{name} (floor {floor_of(name)}), line {line}, imports {target} (floor {floor_of(target)})"
        for name, targets in edges.items()
        for target, line in targets.items()
        if None not in (floor_of(target), floor_of(name)) and floor_of(target) > floor_of(name)
    ]


def circle(edges):
    """Return modules that import each other in a circle, or an empty list."""
    done, path = set(), []

    def visit(name):
        if name in path:
            return path[path.index(name) :]
        if name in done:
            return []
        path.append(name)
        for target in edges[name]:
            if found := visit(target):
                return found
        path.pop()
        done.add(name)
        return []

    for name in edges:
        if found := visit(name):
            return found
    return []


def read(paths):
    return {n: (p.read_text(encoding="utf-8"), p.stem == "__init__") for n, p in paths.items()}


SOURCES = sources()
EDGES = graph(read(SOURCES))


def without_floor(edges):
    """Return a sentence for each file that FLOORS doesn't know."""
    return [
        f"{name} stands on no floor: put it into FLOORS of tests/test_layering.py, above "
        f"everything it imports ({', '.join(targets) or 'nothing of numcnn'})"
        for name, targets in edges.items()
        if floor_of(name) is None
    ]


def test_every_file_has_a_floor():
    assert without_floor(EDGES) == []


def test_a_file_without_a_floor_is_told_where_to_go():
    modules = read(SOURCES) | {"numcnn.brandnew": ("from . import optim, model", False)}
    (sentence,) = without_floor(graph(modules))
    assert sentence.startswith("numcnn.brandnew stands on no floor: put it into FLOORS")
    assert "numcnn.optim, numcnn.model" in sentence


def test_the_graph_is_that_of_the_real_package():
    # Guards the tests below against an import that the reader above doesn't see.
    assert len(SOURCES) > 60
    assert {"numcnn.training", "numcnn.data.loader", "numcnn.layers"} <= set(EDGES["numcnn.model"])
    assert "numcnn.kernels.order" in EDGES["numcnn.device"]
    assert "numcnn.kernels.cpu._jit" in EDGES["numcnn.kernels.cpu.relu"]
    assert "numcnn.layers.base" in EDGES["numcnn.layers.conv"]


def test_nothing_imports_from_a_higher_floor():
    assert upward(EDGES) == []


def test_nothing_imports_in_a_circle():
    assert circle(EDGES) == []


def test_kernels_import_nothing_from_numcnn():
    outside = {
        name: [t for t in targets if not t.startswith("numcnn.kernels")]
        for name, targets in EDGES.items()
        if name.startswith("numcnn.kernels")
    }
    assert {name: targets for name, targets in outside.items() if targets} == {}


@pytest.mark.parametrize("floor", KERNEL_FLOORS)
def test_the_three_floors_of_kernels_dont_import_each_other(floor):
    own = f"numcnn.kernels.{floor}"
    names = [name for name in EDGES if name.startswith(own)]
    assert len(names) > 10
    for name in names:
        below = ("numcnn.kernels.order", own)  # how pictures lie in memory concerns every floor
        assert [t for t in EDGES[name] if not t.startswith(below)] == [], name


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        pytest.param("numcnn.shapes", "from . import model", "numcnn.model", id="relative"),
        pytest.param("numcnn.shapes", "import numcnn.model as m", "numcnn.model", id="absolute"),
        pytest.param(
            "numcnn.layers.base", "from ..model import Sequential", "numcnn.model", id="two-dots"
        ),
        pytest.param(
            "numcnn.device",
            "def f():\n    from .losses import Loss",
            "numcnn.losses",
            id="in-a-function",
        ),
        pytest.param(
            "numcnn.init",
            "import importlib\nimportlib.import_module('numcnn.optim')",
            "numcnn.optim",
            id="import_module",
        ),
    ],
)
def test_a_planted_upward_import_is_found(name, text, expected):
    modules = read(SOURCES)
    modules[name] = (text, False)
    found = upward(graph(modules))
    assert len(found) == 1, found
    assert name in found[0], found
    assert f"imports {expected} " in found[0], found


def test_a_planted_circle_is_found():
    modules = read(SOURCES)
    text, is_package = modules["numcnn.layers.base"]
    modules["numcnn.layers.base"] = (f"{text}\nfrom .conv import Conv2d\n", is_package)
    found = circle(graph(modules))
    assert {"numcnn.layers.base", "numcnn.layers.conv"} <= set(found)
