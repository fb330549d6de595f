"""One plan on three floors: the same files, functions and arguments in all of them.

Everything here is read with ``ast``, so that the floor for GPUs is checked without CUDA.
"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import numcnn
from numcnn import kernels

KERNELS = Path(kernels.__file__).parent
NUMCNN = Path(numcnn.__file__).parent
FLOORS = ("reference", "cpu", "cuda")
OP = re.compile(r"(?P<op>[a-z]\w*?)_(forward|backward_[a-z]+|update)")
# What a file of the reference may import: the definition needs no more than a square root.
REFERENCE_MAY_IMPORT = {"math", "numpy"}

# An algorithm's file may offer what it computes with the ReLU behind it, too.
WITH_RELU = {"conv2d": "conv_relu2d"}


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def functions(path):
    """Return {name: argument names} of the public kernel functions that a file defines."""
    found = {}
    for node in parse(path).body:
        if isinstance(node, ast.FunctionDef) and OP.fullmatch(node.name):
            arguments = node.args
            names = [a.arg for a in arguments.posonlyargs + arguments.args]
            names += [f"*{a.arg}" for a in (arguments.vararg, arguments.kwarg) if a]
            names += [f"{a.arg} (keyword)" for a in arguments.kwonlyargs]
            names += ["(default)"] * (len(arguments.defaults) + len(arguments.kw_defaults))
            found[node.name] = names
    return found


def files(floor):
    """Return {file name: its functions} of one floor, without the private files."""
    paths = (KERNELS / floor).glob("*.py")
    return {p.stem: functions(p) for p in paths if not p.name.startswith("_")}


def imports(path):
    """Return every module name that a file imports, wherever the statement stands."""
    found = []
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            found.append(base)
            separator = "" if base.endswith(".") else "."
            found += [f"{base}{separator}{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            found += [a.value for a in node.args if isinstance(a, ast.Constant)]
    return found


REFERENCE = files("reference")


def tuned(floor):
    """Return the files of a floor that hold another algorithm, ``<op>_<algorithm>.py``."""
    extra = sorted(set(files(floor)) - set(REFERENCE))
    return [(floor, name) for name in extra]


def test_the_reference_has_operations():
    # Everything below compares with the reference, so it must not be empty.
    assert {"conv2d", "max_pool2d", "linear", "softmax_cross_entropy", "adam"} <= set(REFERENCE)
    assert all(REFERENCE.values()), [name for name, own in REFERENCE.items() if not own]


@pytest.mark.parametrize("floor", FLOORS)
def test_every_operation_has_its_file_on_every_floor(floor):
    missing = set(REFERENCE) - set(files(floor))
    assert not missing, f"kernels/{floor} lacks {sorted(missing)}"


@pytest.mark.parametrize(("floor", "name"), [pair for floor in FLOORS for pair in tuned(floor)])
def test_a_further_file_is_another_algorithm_of_an_operation(floor, name):
    ops = [op for op in REFERENCE if name.startswith(f"{op}_")]
    assert ops, f"kernels/{floor}/{name}.py belongs to no operation of the reference"
    own = files(floor)[name]
    assert own, f"kernels/{floor}/{name}.py defines no kernel function"
    op = max(ops, key=len)
    known = REFERENCE[op] | REFERENCE.get(WITH_RELU.get(op), {})
    for function, arguments in own.items():
        assert arguments == known.get(function), function


@pytest.mark.parametrize("floor", ["cpu", "cuda"])
@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_functions_and_arguments_are_those_of_the_reference(floor, name):
    assert functions(KERNELS / floor / f"{name}.py") == REFERENCE[name]


@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_function_names_begin_with_the_file_name(name):
    for function in REFERENCE[name]:
        assert OP.fullmatch(function)["op"] == name


@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_arguments_are_plain_and_outputs_come_last(name):
    for function, arguments in REFERENCE[name].items():
        for argument in arguments:
            assert argument.isidentifier(), f"{function}: {argument}"
        if "_backward_" in function:
            # What a backward function is named after is what it writes.
            written = function.partition("_backward_")[2]
            assert arguments[0].startswith("d") or written == "input", function
            assert arguments[-1].startswith("d"), function


@pytest.mark.parametrize("floor", FLOORS)
def test_the_floor_exports_exactly_its_functions(floor):
    expected = sorted(name for own in REFERENCE.values() for name in own)
    home = {function: name for name, own in REFERENCE.items() for function in own}
    exported, imported = [], {}
    for node in parse(KERNELS / floor / "__init__.py").body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            exported = ast.literal_eval(node.value)
        elif isinstance(node, ast.ImportFrom) and node.level == 1:
            imported |= {alias.asname or alias.name: node.module for alias in node.names}
    assert exported == expected
    assert {name: imported.get(name) for name in expected} == home
    assert set(imported) == set(expected)


@pytest.mark.parametrize("floor", ["reference", "cpu"])
def test_the_imported_floor_has_what_it_exports(floor):
    module = __import__(f"numcnn.kernels.{floor}", fromlist=["*"])
    for name, own in REFERENCE.items():
        for function, arguments in own.items():
            found = getattr(module, function)
            code = getattr(found, "py_func", found).__code__
            assert list(code.co_varnames[: code.co_argcount]) == arguments
            assert found.__module__ == f"numcnn.kernels.{floor}.{name}"


@pytest.mark.parametrize("path", sorted((KERNELS / "reference").glob("*.py")), ids=lambda p: p.stem)
def test_the_reference_is_plain_python(path):
    names = imports(path)
    if path.stem == "__init__":
        assert all(name.startswith(".") for name in names)
    else:
        # operations made of two others take those from their own floor
        assert {name.partition(".")[0] for name in names} <= REFERENCE_MAY_IMPORT | {""}
        assert not any(name.startswith("..") for name in names)


def all_sources():
    roots = {NUMCNN, KERNELS, NUMCNN / "bench"}
    roots.add(Path(__import__("numcnn.bench", fromlist=["*"]).__file__).parent)
    return sorted({path.resolve() for root in roots for path in root.rglob("*.py")})


def test_cuda_is_imported_in_one_file_only():
    found = set()
    for path in all_sources():
        for name in imports(path):
            if re.match(r"numba\.cuda\b|numba_cuda\b|cuda\b|cupy\b", name):
                found.add(f"{path.parent.name}/{path.name}")
    assert found == {"cuda/_cuda.py"}


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
        timeout=120,
    ).stdout


def test_importing_numcnn_imports_neither_cuda_nor_another_framework():
    code = "import sys, numcnn; numcnn.Conv2d(1, 1, 1); print(*sorted(sys.modules), sep='\\n')"
    loaded = run_python(code, NUMBA_ENABLE_CUDASIM="0").split()
    assert "numcnn.kernels.cpu.conv2d" in loaded
    heavy = re.compile(
        r"(numba\.cuda|numba_cuda|cuda|numcnn\.kernels\.cuda|torch|jax|tensorflow|matplotlib|cupy)"
        r"(\.|$)"
    )
    assert [name for name in loaded if heavy.match(name)] == []
