"""Every CUDA kernel compiled to machine code for four generations of GPUs, without a GPU.

``tox -e cudacheck`` runs this with NVIDIA's compiler from PyPI. What is compiled, and for which
types, is what the operations launch when they are called with the cases of the other tests; so a
new kernel joins by itself, and one that no case reaches fails the first test here, which needs no
compiler. What a kernel may use stands beside it, in ``@kernel(...)``.
"""

import ast
from pathlib import Path

import numpy as np
import pytest
from checks_cuda_offline import build, name_of, noting, why_not
from checks_kernels import run
from test_kernels_threads import THREADED

from numcnn.kernels import cuda as kernels
from numcnn.kernels.cuda import _cuda, _figures, _peak

CAPABILITIES = ((7, 5), (8, 0), (9, 0), (12, 0))
DTYPES = {"f32": np.float32, "f64": np.float64}


def all_notes(dtype):
    """Return what the cases of all operations launch."""
    with noting() as notes:
        for name, (function, arguments) in THREADED.items():
            if not name.endswith(", last"):  # an order of the CPU floor alone
                run(kernels, function, arguments, dtype)
        losses, labels = np.ones((4, 2), dtype), np.zeros((4, 2), np.int64)
        _figures.read_figures(losses, np.ones((4, 3, 2), dtype), labels)
        _peak.multiply_add(2, 3)
    return notes


NOTES = {f"{key}, {note}": (key, note) for key, dtype in DTYPES.items() for note in all_notes(dtype)}
# float64 is there to check gradients: that it compiles is seen for one of them
BUILDS = [
    pytest.param(case, capability, id="{}, sm_{}{}".format(case, *capability))
    for case, (dtype, _) in NOTES.items()
    for capability in (CAPABILITIES if dtype == "f32" else [(9, 0)])
]


def written():
    """Return file and function of everything decorated with @kernel."""
    found = set()
    for path in Path(kernels.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for mark in node.decorator_list:
                    mark = mark.func if isinstance(mark, ast.Call) else mark
                    if getattr(mark, "id", None) == "kernel":
                        found.add(f"{path.stem}.{node.name}")
    return found


def test_every_kernel_is_launched_by_some_case():
    reached = {name_of(note.kernel) for _, note in NOTES.values()}
    inner = {name.replace(".<locals>", "") for name in reached}
    assert len(written()) > 100
    assert {f"{name.split('.')[0]}.{name.split('.')[-1]}" for name in inner} == written()
    assert {name_of(kernel) for kernel in _cuda.LIMITS} == reached


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.parametrize(("case", "capability"), BUILDS if why_not() is None else [("none", 0)])
def test_machine_code_keeps_to_the_limits_of_its_kernel(case, capability):
    dtype, note = NOTES[case]
    limits = _cuda.LIMITS[note.kernel]
    built = build(note, capability)
    assert built.spills == 0
    assert built.stack == 0
    if dtype == "f32":
        assert built.registers <= limits.registers
        assert built.double == 0 or limits.double
