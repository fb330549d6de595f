"""Every CUDA kernel compiled to machine code for four generations of GPUs, without a GPU.

``tox -e cudacheck`` runs this with NVIDIA's compiler from PyPI. What is compiled, and for which
types, is what the operations launch when they are called with the cases of the other tests; so a
new kernel joins by itself, and one that no case reaches fails the first test here, which needs no
compiler. What a kernel may use stands beside it, in ``@kernel(...)``.
"""

import ast
import re
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from checks_cuda_offline import assembly, build, name_of, note_of, noting, why_not
from checks_kernels import run
from test_kernels_threads import THREADED

from numcnn.kernels import cuda as kernels
from numcnn.kernels.cuda import (
    _clip,
    _cuda,
    _figures,
    _peak,
    _precision,
    _recording,
    _tape,
    _tiles,
    _updates,
    conv2d_implicit_gemm,
    conv2d_winograd,
    linear_tiled,
)

CAPABILITIES = ((7, 5), (8, 0), (9, 0), (12, 0))
REPEATED = [
    name
    for name in THREADED
    if name.startswith(("sgd", "adam", "ada", "rms", "bernoulli", "scale")) and name.endswith(" 37")
]
DTYPES = {"f32": np.float32, "f64": np.float64}


class Together:
    """The optimizers' operations as they move two parameters by one launch."""

    def __getattr__(self, name):
        def update(*arguments):
            grad, *moved = [a for a in arguments if isinstance(a, np.ndarray)]
            numbers = tuple(a for a in arguments if not isinstance(a, np.ndarray))
            jobs = [(grad, moved), (grad, [a.copy() for a in moved])]
            assert _updates.update_together(name, numbers, jobs) == []

        return update


def simple_notes(dtype):
    """Return what the cases of all operations launch on a GPU of any generation."""
    with mock.patch.object(_tiles, "serve", return_value=False), noting(CAPABILITIES) as notes:
        for name, (function, arguments) in THREADED.items():
            if not name.endswith(", last"):  # an order of the CPU floor alone
                run(kernels, function, arguments, dtype)
        losses, labels = np.ones((4, 2), dtype), np.zeros((4, 2), np.int64)
        _figures.add_up(losses, np.ones((4, 3, 2), dtype), labels)
        _clip.clipped([losses], 1.0)
        _peak.multiply_add(2, 3)
        updates = [name for name in REPEATED if "update" in name]
        for name in updates:
            run(Together(), *THREADED[name], dtype)
        tape = _tape.Tape()
        with _recording.writing(tape):  # numbers that change are arrays in a step that is repeated
            for name in REPEATED:
                run(kernels, *THREADED[name], dtype)
            for name in updates:
                run(Together(), *THREADED[name], dtype)
    assert len(tape.launches) == len(REPEATED) + len(updates) == 7 + len(_updates.FILES)
    return notes + [note_of(launch, CAPABILITIES) for launch in tape.launches]


def tile_notes(capabilities, tf32):
    """Return what products by tiles launch, for each size of a tile."""
    with mock.patch.object(_precision, "_allowed", tf32), noting(capabilities) as notes:
        for rows in (32, 64, 128):
            x, w = np.ones((2, rows, 40, 40), np.float32), np.ones((rows, rows, 1, 1), np.float32)
            bias, geometry = w[0, :, 0, 0], (1, 1, 0, 0, 1, 1, 1)
            conv2d_implicit_gemm.conv2d_forward(x, w, bias, *geometry, x)
            conv2d_implicit_gemm.conv2d_backward_input(x, w, *geometry, x)
            conv2d_implicit_gemm.conv2d_backward_weight(x, x, *geometry, w)
            x = w = w[:, :, 0, 0]
            linear_tiled.linear_forward(x, w, bias, x)
            linear_tiled.linear_backward_input(x, w, x)
            linear_tiled.linear_backward_weight(x, x, w)
    return notes


def winograd_notes(capabilities):
    """Return what Winograd's algorithm launches, for each size of a tile."""
    with noting(capabilities) as notes:
        for rows in (32, 64, 128):
            x, w = np.ones((2, rows, 40, 40), np.float32), np.ones((rows, rows, 3, 3), np.float32)
            bias, geometry = np.ones(rows, np.float32), (1, 1, 1, 1, 1, 1, 1)
            conv2d_winograd.conv2d_forward(x, w, bias, *geometry, x)
            conv2d_winograd.conv2d_backward_input(x, w, *geometry, x)
            conv2d_winograd.conv2d_backward_weight(x, x, *geometry, w)
    return notes


def all_notes():
    """Return {name: (dtype, note)}."""
    found = {}
    for name, dtype in DTYPES.items():
        found |= {f"{name}, {note}": (name, note) for note in simple_notes(dtype)}
    for name, capabilities, tf32 in (
        ("tiles", CAPABILITIES[:1], False),
        ("tiles, copies run ahead", CAPABILITIES[1:], False),
        ("tiles, tensor cores", CAPABILITIES[1:], True),
    ):
        for number, note in enumerate(tile_notes(capabilities, tf32)):
            found[f"{name}, {number}: {note}"] = "f32", note
    for capabilities in (CAPABILITIES[:1], CAPABILITIES[1:]):
        for number, note in enumerate(winograd_notes(capabilities)):
            first = "sm_{}{}".format(*capabilities[0])
            found[f"winograd from {first} on, {number}: {note}"] = "f32", note
    return found


NOTES = all_notes()
# float64 is there to check gradients: that it compiles is seen for one of them
BUILDS = [
    pytest.param(case, capability, id="{}, sm_{}{}".format(case, *capability))
    for case, (dtype, note) in NOTES.items()
    for capability in (note.capabilities if dtype == "f32" else [(9, 0)])
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
    reached = {name_of(note.kernel).replace(".<locals>", "") for _, note in NOTES.values()}
    short = {f"{name.split('.')[0]}.{name.split('.')[-1]}" for name in reached}
    assert len(written()) > 100
    assert short == written()
    assert set(_cuda.LIMITS) == {note.kernel for _, note in NOTES.values()}


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


def arithmetic(note):
    """Return the float32 instructions of a kernel's assembly, in their order."""
    wanted = r"\b(?:fma|mul|add|sub|div|sqrt|max|setp\.\w+)\.(?:\w+\.)?f32\b"
    return re.findall(wanted, assembly(note))


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.parametrize("name", _updates.FILES)
def test_one_launch_for_all_computes_as_one_for_each(name):
    """With the same instructions, products and sums fused alike, so with the same bits."""
    file = _updates.FILES[name]
    found = {}
    for dtype, note in NOTES.values():  # the last of each: with rates in an array, as in a graph
        if dtype == "f32" and note.kernel in (file._update, file._update_all):
            found[note.kernel] = arithmetic(note)
    alone, together = found[file._update], found[file._update_all]
    assert len(alone) > 5
    assert together == alone * (len(together) // len(alone))  # some loops are written out
