"""How conv2d_direct.py cuts large and small work, which the small shapes elsewhere don't show.

The truth is conv2d_loops.py in float64, which test_kernels_cpu.py compares with the reference.
"""

from typing import NamedTuple

import numpy as np
import pytest
from checks_kernels import (
    LastOut,
    Out,
    absolute,
    assert_near,
    both_orders,
    channels_last,
    normal,
    repeatable,
    run,
)
from hypothesis import given
from hypothesis import strategies as st
from numba.core import config

from numcnn.kernels.cpu import _direct_gradient, conv2d_direct, conv2d_loops
from numcnn.kernels.cpu._bands import ROWS, Bands

compiled = pytest.mark.skipif(
    config.DISABLE_JIT, reason="without the compiler conv2d_direct.py is conv2d_loops.py"
)


class Work(NamedTuple):
    """A convolution of square pictures; `shows` says what is special about how it is cut."""

    batch: int
    channels: int
    filters: int
    size: int
    kernel: int
    stride: int = 1
    pad: int = 0
    groups: int = 1
    shows: tuple = ()

    @property
    def numbers(self):
        return (*[self.stride] * 2, *[self.pad] * 2, 1, 1, self.groups)

    @property
    def shapes(self):
        out = (self.size + 2 * self.pad - self.kernel) // self.stride + 1
        x = (self.batch, self.channels, self.size, self.size)
        weight = (self.filters, self.channels // self.groups, self.kernel, self.kernel)
        return x, weight, (self.batch, self.filters, out, out)


WORK = {
    "small pictures, many": Work(35, 20, 24, 5, 3, pad=1, shows=("together",)),
    "small pictures as they lie": Work(33, 16, 40, 5, 1, shows=("together", "bare")),
    "every second pixel": Work(34, 18, 30, 8, 1, 2, shows=("together", "bare")),
    "heavy weights, few pixels": Work(5, 264, 300, 4, 3, pad=1, shows=("together", "heavy")),
    "heavy weights, one picture": Work(1, 260, 272, 9, 3, pad=1, shows=("heavy", "shares")),
    "heavy weights, stride": Work(3, 180, 190, 7, 3, 2, 1, shows=("shares",)),
    "too large for a frame": Work(1, 70, 18, 66, 3, pad=1, shows=("bands",)),
    "too large for a frame, as it lies": Work(2, 64, 20, 60, 3, shows=("bands", "bare")),
    "groups of many channels": Work(33, 54, 102, 5, 3, pad=1, groups=3, shows=("together",)),
}
CALLS = ("conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight")


def last(shape):
    return shape[0], *shape[2:], shape[1]


@compiled
@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_the_cases_are_cut_as_they_promise(work):
    x, weight, dy = work.shapes
    given = last(x), weight, dy[2:], work.numbers
    bands, shares, _, taps, *_ = conv2d_direct._forward_plan(*given)
    _, _, _, sums, cut = _direct_gradient._plan(*given)
    seen = {
        "together": bands.together > 1,
        "bare": bands.bare,
        "bands": bands.number > 1,
        "shares": shares > 1,
        "heavy": taps.size > 1 and max(cut[2:]) > 1 and sums[0] < 8,
    }
    assert [name for name in work.shows if not seen[name]] == []


@compiled
@both_orders
@pytest.mark.parametrize("function", CALLS)
@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_every_cut_gives_the_sums_of_the_loops(work, function, order, monkeypatch):
    if "heavy" in work.shows:  # vectors of any width: one row of taps after the other
        monkeypatch.setattr(conv2d_direct, "WEIGHTS", 1)
    x, weight, dy = (normal(seed, *shape) for seed, shape in enumerate(work.shapes))
    picture = Out
    if order == "last":
        picture, x, dy = LastOut, channels_last(x), channels_last(dy)
    area = work.kernel**2
    arguments, terms = {
        "conv2d_forward": (
            (x, weight, normal(3, work.filters), *work.numbers, picture(dy.shape)),
            weight.shape[1] * area + 1,
        ),
        "conv2d_backward_input": (
            (dy, weight, *work.numbers, picture(x.shape)),
            work.filters // work.groups * area,
        ),
        "conv2d_backward_weight": (
            (dy, x, *work.numbers, Out(weight.shape)),
            work.batch * dy.shape[2] * dy.shape[3],
        ),
    }[function]
    (expected,) = run(conv2d_loops, function, arguments, np.float64)
    (size,) = run(conv2d_loops, function, absolute(arguments), np.float64)
    (actual,) = run(conv2d_direct, function, arguments, np.float32)
    assert_near(actual, expected, (terms + 1) * np.finfo(np.float32).eps * size, function)


@compiled
def test_gradients_of_weights_reach_an_array_in_any_order():
    # layers keep weights in NumPy's order; a caller of the kernel may not
    shapes = Work(2, 9, 20, 6, 3).shapes
    x, dweight, dy = (normal(1, *shape).astype(np.float32) for shape in shapes)
    turned = channels_last(dweight)
    for written in (dweight, turned):
        conv2d_direct.conv2d_backward_weight(dy, x, 1, 1, 0, 0, 1, 1, 1, written)
    np.testing.assert_array_equal(turned, dweight)


@repeatable
@given(
    pictures=st.integers(1, 40),
    sides=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    step=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    room=st.sampled_from([1, 600, 1 << 17]),
)
def test_what_is_read_where_it_lies_ends_with_the_picture(pictures, sides, kernel, step, room):
    channels = 16
    size = tuple(k + (o - 1) * s + 1 for k, o, s in zip(kernel, sides, step, strict=True))
    bands = Bands(pictures, (*size, channels), sides, step, kernel, (0, 0), 4, 64, room)
    last = (sides[0] - (bands.number - 1) * bands.rows) * sides[1]
    # no picture is framed without need, and a tile needs ROWS pixels of the band: it goes back
    # where there are fewer, which a band of less than a tile can't
    assert bands.bare == (last >= ROWS)
    begin = (bands.number - 1) * bands.step * bands.line
    tap = (kernel[0] - 1) * bands.line + (kernel[1] - 1) * channels
    end = begin + bands.starts[last - 1] + tap + channels
    assert end <= size[0] * size[1] * channels
    assert bands.starts[last - 1] == bands.starts[:last].max()
