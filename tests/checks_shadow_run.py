"""Run the shadow of the CPU floor (checks_shadow.py), and print as JSON what it found.

``python checks_shadow_run.py all`` (or ``short``): every kernel as it is shipped, its results
compared with the reference. ``python checks_shadow_run.py planted``: kernels with faults, each
with the error it got.
"""

import json
import sys

import checks_shadow

checks_shadow.install()

import numpy as np  # noqa: E402  what is imported from here on finds the shadow
from numba.core import config  # noqa: E402

config.DISABLE_JIT = 1  # test files leave out what is too much for loops that aren't compiled
import checks_every_kernel  # noqa: E402

config.DISABLE_JIT = 0
from checks_kernels import run  # noqa: E402

from numcnn.kernels import reference  # noqa: E402
from numcnn.kernels.cpu import _simd  # noqa: E402
from numcnn.kernels.cpu._jit import helper, kernel, prange  # noqa: E402

# whose case has winners that no forward pass found, and the floors differ on what can't be
UNLIKE = {"adaptive_max_pool2d_backward_input"}


def check(call):
    """Run a case; return what is wrong with it, or None."""
    try:
        found = call()
        if getattr(call, "func", None) is run and call.args[1] not in UNLIKE:
            expected = run(reference, *call.args[1:])
            for got, want in zip(found, expected, strict=True):
                scale = np.abs(want[np.isfinite(want)]).max(initial=1.0)
                # far more than rounding, far less than a number in a wrong place
                np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3 * scale)
    except (AssertionError, IndexError, MemoryError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def shipped(short):
    cases = dict(checks_every_kernel.every_case(short))
    wrong = {name: problem for name, call in cases.items() if (problem := check(call))}
    kernels = {name for name in checks_shadow.ALL_KERNELS if not name.startswith("__main__")}
    return {
        "cases": len(cases),
        "kernels": len(kernels),
        "iterations": checks_shadow.RECORDER.count,
        "wrong": wrong,
        "never ran": sorted(kernels - checks_shadow.RECORDER.kernels),
    }


# ---- kernels with faults ------------------------------------------------------------------------


@kernel
def adds_to_one_number(x, y):
    for i in prange(x.size):
        y[0] += x[i]


@kernel
def writes_the_same_value_twice(x, y):
    for i in prange(x.size):
        y[i // 2] = 1


@kernel
def reads_its_neighbour(x, y):
    y[0] = x[0]
    for i in prange(1, x.size):
        y[i] = y[i - 1] + x[i]


@kernel
def shares_scratch(x, y):
    scratch = np.empty(2, x.dtype)
    for i in prange(x.size):
        scratch[0] = x[i]
        y[i] = scratch[0]


@kernel
def rows_overlap(x, y):
    for i in prange(x.size - 1):
        y[i : i + 2] = x[i : i + 2]


@kernel
def sums_into_a_row(x, y):
    rows = x.reshape(-1, 2)
    for i in prange(rows.shape[0]):
        y[:2] += rows[i]


@helper
def _scatter(row, y):
    y[int(row[0]) % 2] = row[1]


@kernel
def a_helper_scatters(x, y):
    rows = x.reshape(-1, 2)
    for i in prange(rows.shape[0]):
        _scatter(rows[i], y)


@kernel
def vectors_overlap(x, y):
    for i in prange(x.size - _simd.WIDTH):
        _simd.store(_simd.load(x, i), y, i, 0)


@kernel
def tiles_overlap(x, y):
    for i in prange(2):
        tile = _simd.plus_row(_simd.zeros(2, 1), x, 0)
        _simd.add_to(tile, _simd.pointer(y, i * _simd.WIDTH), 0, _simd.WIDTH)


@kernel
def writes_what_others_read(x, y):
    for i in prange(x.size):
        y[i] = x[x.size - 1] + x[0]
        if i == x.size - 1:
            x[0] = 0


@kernel
def a_prange_in_a_prange(x, y):
    for i in prange(2):
        for j in prange(2):
            y[2 * i + j] = x[0]


@kernel
def writes_behind_the_end(x, y):
    for i in prange(1, 2):
        _simd.store(_simd.load(x, 0), y, y.size - _simd.WIDTH + i, 0)


@kernel
def reads_behind_the_end(x, y):
    for i in prange(1, 2):
        y[0] = _simd.pointer(x, i)[x.size - 1]


@kernel
def reads_before_the_beginning(x, y):
    for i in prange(x.size):
        y[i] = x[i - 1]


@kernel
def right(x, y):
    half = np.zeros(x.size, x.dtype)
    for i in prange(x.size):
        half[i] = x[i] + x[0]
    for i in prange(x.size):
        y[i] = half[x.size - 1 - i]


PLANTED = [
    adds_to_one_number,
    writes_the_same_value_twice,
    reads_its_neighbour,
    shares_scratch,
    rows_overlap,
    sums_into_a_row,
    a_helper_scatters,
    vectors_overlap,
    tiles_overlap,
    writes_what_others_read,
    a_prange_in_a_prange,
    writes_behind_the_end,
    reads_behind_the_end,
    reads_before_the_beginning,
    right,
]


def planted():
    """Return what each of the kernels above got."""
    found = {}
    for each in PLANTED:
        x, y = np.arange(64, dtype=np.float32), np.zeros(64, np.float32)
        try:
            each(x, y)
            found[each.__name__] = "nothing"
        except (AssertionError, IndexError) as error:
            found[each.__name__] = f"{type(error).__name__}: {error}"
    return found


if __name__ == "__main__":
    asked = sys.argv[1]
    print(json.dumps(planted() if asked == "planted" else shipped(asked == "short")))
