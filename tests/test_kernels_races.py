"""No two iterations of a kernel's ``prange`` touch the same number, whatever threads do when.

A race may never show on the machine at hand. So the kernels run in plain Python, one iteration
after the other, and each notes what it reads and writes (checks_shadow.py).
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core import config

from numcnn.kernels import cpu

# the shadow runs without the compiler in any case
once = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT=1 makes no other run")


def shadow(which, timeout):
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("checks_shadow_run.py")), which],
        env={name: value for name, value in os.environ.items() if name != "NUMBA_DISABLE_JIT"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def check_shipped(found, cases):
    assert found["wrong"] == {}
    assert found["never ran"] == []
    assert found["cases"] > cases
    assert found["iterations"] > 10 * found["cases"]


@once
@pytest.mark.timeout(900)
def test_no_iteration_of_a_shipped_kernel_touches_what_another_one_writes():
    check_shipped(shadow("short", 800), 150)


@once
@pytest.mark.long
@pytest.mark.timeout(3600)
def test_no_iteration_of_a_shipped_kernel_touches_what_another_one_writes_on_every_shape():
    found = shadow("all", 3500)
    print({name: value for name, value in found.items() if name != "wrong"})
    check_shipped(found, 500)


@once
def test_planted_races_are_found():
    found = shadow("planted", 200)
    assert found.pop("right") == "nothing"
    first = "iteration 1 {} iteration number 0"
    expected = {
        "adds_to_one_number": first.format("reads what was written by"),
        "writes_the_same_value_twice": first.format("writes what was written by"),
        "reads_its_neighbour": first.format("reads what was written by"),
        "shares_scratch": first.format("writes what was written by"),
        "rows_overlap": first.format("writes what was written by"),
        "sums_into_a_row": first.format("writes what was written by"),
        "a_helper_scatters": first.format("writes what was written by"),
        "vectors_overlap": first.format("writes what was written by"),
        "tiles_overlap": first.format("reads what was written by"),
        "writes_what_others_read": "iteration 63 writes what was read by iteration several",
        "a_prange_in_a_prange": "a prange inside a prange",
        "writes_behind_the_end": "of an array of 64",
        "reads_behind_the_end": "numbers 64 to 64 of an array of 64",
        "reads_before_the_beginning": "index -1 of an axis of 64",
    }
    assert set(found) == set(expected)
    for name, text in expected.items():
        assert text in found[name], name


# ---- numbers that a loop hands on ---------------------------------------------------------------


def pranges(tree):
    for node in ast.walk(tree):
        call = node.iter if isinstance(node, ast.For) else None
        if isinstance(call, ast.Call) and getattr(call.func, "id", None) == "prange":
            yield node


def handed_on(loop):
    """Return the variables that an iteration reads before it sets them, and sets."""
    read, stored = {}, {}
    for node in ast.walk(ast.Module(loop.body, [])):
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            read[node.target.id] = min(read.get(node.target.id, node.lineno), node.lineno)
        if isinstance(node, ast.Name):
            where = read if isinstance(node.ctx, ast.Load) else stored
            where[node.id] = min(where.get(node.id, node.lineno), node.lineno)
    return sorted(name for name in stored if read.get(name, 10**9) <= stored[name])


def in_loops(source):
    return [name for loop in pranges(ast.parse(source)) for name in handed_on(loop)]


@pytest.mark.parametrize(
    "body",
    [
        "total += x[i]",
        "total = total + x[i]",
        "if x[i] < total: total = x[i]",
        "y[i] = total; total = 1",
    ],
)
def test_a_number_that_iterations_hand_on_is_found(body):
    # Numba would split `total` among threads, if it sees what is meant; else the result is wrong.
    assert in_loops(f"for i in prange(9):\n    a = 2 * i\n    {body}") == ["total"]


def test_what_an_iteration_sets_first_is_its_own():
    body = "total = 0\n    for k in range(3):\n        total += x[i, k]\n    y[i] = total"
    assert in_loops(f"for i in prange(9):\n    {body}") == []


def test_no_shipped_kernel_hands_a_number_from_one_iteration_to_the_next():
    found = {}
    loops = 0
    for path in sorted(Path(cpu.__file__).parent.glob("*.py")):
        source = path.read_text(encoding="utf-8")
        loops += len(list(pranges(ast.parse(source))))
        if names := in_loops(source):
            found[path.name] = names
    assert loops > 120
    assert found == {}
