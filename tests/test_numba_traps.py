"""What Numba has got wrong with ``prange`` before, tried on the Numba that is installed.

Each test is a shape of loop that kernels use, or may come to use, with the issue in which it went
wrong. A release that isn't in `TRIED` runs them all by default, one that is with ``-m long``. What
is still wrong is marked as such, strictly: when it becomes right, the test says so. Results are
exact, whatever the number of threads.
"""

import numba
import numpy as np
import pytest
from numba import njit, prange
from numba.core import config

from numcnn.kernels.cpu import _simd

TRIED = ("0.68.1",)  # add a release when it passes

pytestmark = [pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")]
if numba.__version__ in TRIED:
    pytestmark.append(pytest.mark.long)

COUNT = 10_007  # no multiple of anything


def compiled(function):
    return njit(parallel=True, error_model="numpy")(function)


def test_loops_in_both_branches():  # numba 7051, 7630
    @compiled
    def f(flag):
        total = 0
        if flag:
            for _ in prange(COUNT):
                total += 1
        else:
            for _ in prange(COUNT):
                total -= 3
        return total

    assert (f(True), f(False)) == (COUNT, -3 * COUNT)


def test_a_loop_that_reads_what_the_one_before_has_written_elsewhere():  # numba 8515
    @compiled
    def f(x, y):
        half = np.zeros(x.size)
        for i in prange(x.size):
            half[i] = 2 * x[i]
        for i in prange(x.size):
            y[i] = half[x.size - 1 - i] - (half[i - 1] if i > 0 else 0)

    x, y = np.arange(COUNT, dtype=np.float64), np.empty(COUNT)
    f(x, y)
    np.testing.assert_array_equal(y, 2 * x[::-1] - np.append(0, 2 * x[:-1]))


def test_an_array_expression_that_is_read_in_another_order():  # numba 8007
    @compiled
    def f(x, y):
        double = x * 2
        for i in prange(x.size):
            y[i] = double[x.size - 1 - i]

    x, y = np.arange(COUNT, dtype=np.float64), np.empty(COUNT)
    f(x, y)
    np.testing.assert_array_equal(y, 2 * x[::-1])


@pytest.mark.parametrize("make", [np.zeros, np.ones])
def test_room_made_in_an_iteration_is_fresh_in_the_next_one(make):  # numba 7170
    @compiled
    def f(y):
        for i in prange(y.size):
            room = make(8)
            for k in range(8):
                room[k] += i
            y[i] = room.sum()

    y = np.empty(COUNT)
    f(y)
    np.testing.assert_array_equal(y, 8.0 * (np.arange(COUNT) + make(1)[0]))


def test_numbers_that_branches_set_belong_to_their_iteration():  # numba 9490
    @compiled
    def f(y):
        for i in prange(y.shape[0]):
            a, b = 0.0, 0.0
            if i % 3 == 0:
                a = 1.0
            elif i % 3 == 1:
                b = 2.0
            else:
                a, b = 3.0, 4.0
            for k in range(i % 5):
                if k == 3:
                    a = -a
                    break
                b += 1
            y[i, 0] = a
            y[i, 1] = b

    y, expected = np.empty((COUNT, 2)), np.empty((COUNT, 2))
    f(y)
    f.py_func(expected)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize(("begin", "end"), [(-5, 5), (5, 5), (5, 0), (-3, -1)])
def test_ranges_that_begin_below_0_or_are_empty(begin, end):
    @compiled
    def f(begin, end, y):
        for i in prange(begin, end):
            y[i + 8] = i

    y, expected = np.zeros(16), np.zeros(16)
    f(begin, end, y)
    f.py_func(begin, end, expected)
    np.testing.assert_array_equal(y, expected)


def test_the_number_of_an_iteration_may_be_subtracted_from():
    @compiled
    def f(x, y):
        for i in prange(y.size):
            before = i - 3
            y[i] = x[before] if before >= 0 else -1.0

    x, y = np.arange(COUNT, dtype=np.float64), np.empty(COUNT)
    f(x, y)
    np.testing.assert_array_equal(y, np.append([-1.0] * 3, x[:-3]))


def test_a_product_with_the_number_of_an_iteration_keeps_its_sign():
    @compiled
    def f(step, y):
        for i in prange(y.size):
            y[i] = (i * step - 7) // 2

    y = np.empty(COUNT, np.int64)
    f(-3, y)
    np.testing.assert_array_equal(y, (-3 * np.arange(COUNT) - 7) // 2)


def test_rows_and_views_of_an_iteration_are_its_own():  # numba 7984
    @compiled
    def f(x, y):
        for i in prange(x.shape[0]):
            row = y[i]
            row[:] = 0
            for k in range(4):
                row += x[i, k]

    x, y = np.arange(120.0).reshape(5, 4, 6), np.full((5, 6), np.nan)
    f(x, y)
    np.testing.assert_array_equal(y, x.sum(axis=1))


def test_integer_sums_with_a_condition_and_a_start():  # numba 7344
    @compiled
    def f(chosen, start):
        total = start
        for i in prange(chosen.size):
            if chosen[i]:
                total += 1
        return total

    chosen = np.arange(COUNT) % 3 == 0
    assert f(chosen, 5) == chosen.sum() + 5


def test_the_largest_by_max():
    @compiled
    def f(x):
        found = -np.inf
        for i in prange(x.size):
            found = max(found, x[i])
        return found

    x = np.random.default_rng(0).random(COUNT)
    assert f(x) == x.max()


@pytest.mark.filterwarnings("ignore::numba.NumbaPerformanceWarning")
def test_an_error_in_an_iteration_comes_out():
    @compiled
    def f(x):
        for i in prange(x.size):
            if x[i] < 0:
                raise ValueError("below 0")

    with pytest.raises(ValueError, match="below 0"):
        f(np.array([1.0, -1.0]))


def test_a_float_sum_is_the_same_each_time():
    @njit(parallel=True, fastmath=True)
    def f(x):
        total = np.float32(0)
        for i in prange(x.size):
            total += x[i]
        return total

    x = np.random.default_rng(0).standard_normal(1_000_003).astype(np.float32)
    assert len({float(f(x)) for _ in range(20)}) == 1


def test_freedoms_of_floating_point_leave_nan_alone():
    @njit(fastmath={"reassoc", "nsz", "contract", "arcp", "afn"})
    def f(x):
        count = 0
        for i in range(x.size):
            if x[i] != x[i]:
                count += 1
        return count

    assert f(np.array([1, np.nan, np.inf, np.nan])) == 2


# ---- still wrong ------------------------------------------------------------------------------


@pytest.mark.xfail(strict=True, reason="bounds are not checked inside prange (serial builds do)")
def test_bounds_are_checked_in_a_prange():
    @njit(parallel=True, boundscheck=True)
    def f(x, y):
        for i in prange(9):
            y[i] = x[i + 1]

    with pytest.raises(IndexError):
        f(np.zeros(9), np.zeros(9))


@pytest.mark.xfail(strict=True, reason="a smallest number by `if` isn't seen as one (numba 9829)")
def test_the_smallest_by_if():
    @compiled
    def f(x):
        found = 1e30
        for i in prange(x.size):
            if x[i] < found:
                found = x[i]
        return found

    x = np.random.default_rng(0).random(COUNT)
    assert f(x) == x.min()


@pytest.mark.xfail(
    strict=True, reason="what is written through a pointer that is used for nothing else is lost"
)
def test_writing_through_a_pointer_in_a_prange():
    @compiled
    def f(x, y):
        for i in prange(x.size):
            target = _simd.pointer(y, 0)
            target[i] = x[i]

    x, y = np.ones(COUNT, np.float32), np.zeros(COUNT, np.float32)
    f(x, y)
    assert (y == 1).all()
