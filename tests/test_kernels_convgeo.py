"""Padding, bias and locally connected kernels against the reference; bounds: checks_kernels.py."""

from typing import NamedTuple

import numpy as np
import pytest
from checks_kernels import (
    Out,
    assert_equal,
    assert_sum,
    both_dtypes,
    normal,
    repeatable,
    run,
)
from hypothesis import given
from hypothesis import strategies as st

from numcnn.kernels import cpu, reference

# ---- padding ----------------------------------------------------------------------------------

MODES = {"constant": 0, "reflect": 1, "replicate": 2, "circular": 3}
each_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


class Padding(NamedTuple):
    """Pictures and what is put around them: pads are (top, left, bottom, right)."""

    shape: tuple
    pads: tuple

    @property
    def out(self):
        top, left, bottom, right = self.pads
        return *self.shape[:2], self.shape[2] + top + bottom, self.shape[3] + left + right

    def allowed(self, mode):
        """Return whether the mode can fill so much: a mirror lacks the edge, a circle doesn't."""
        most = [size - (mode == MODES["reflect"]) for size in self.shape[2:]]
        return mode in (0, 2) or all(pad <= most[i % 2] for i, pad in enumerate(self.pads))

    def calls(self, mode):
        x, dy = normal(1, *self.shape), normal(2, *self.out)
        return {
            "pad2d_forward": (x, *self.pads[:2], mode, -1.5, Out(self.out)),
            "pad2d_backward_input": (dy, *self.pads[:2], mode, Out(self.shape)),
        }


PADDINGS = {
    "all-different": Padding((2, 3, 5, 6), (1, 2, 3, 4)),
    "none": Padding((2, 1, 3, 4), (0, 0, 0, 0)),
    "top-left-only": Padding((1, 2, 4, 3), (3, 2, 0, 0)),
    "bottom-right-only": Padding((1, 2, 4, 3), (0, 0, 3, 2)),
    "as-large-as-a-mirror-allows": Padding((2, 2, 4, 3), (3, 2, 3, 2)),
    "as-large-as-the-picture": Padding((1, 2, 3, 4), (3, 4, 3, 4)),
    "larger-than-the-picture": Padding((1, 2, 2, 3), (5, 7, 4, 6)),
    "one-pixel": Padding((2, 1, 1, 1), (1, 1, 1, 1)),
    "one-row": Padding((1, 2, 1, 5), (0, 2, 1, 3)),
    "batch-17": Padding((17, 2, 2, 3), (1, 1, 1, 2)),
    "batch-0": Padding((0, 2, 3, 4), (1, 2, 0, 1)),
}
CASES = {
    f"{word}, {name}": (padding, mode)
    for word, mode in MODES.items()
    for name, padding in PADDINGS.items()
    if padding.allowed(mode)
}


def test_the_grid_holds_what_it_promises():
    counts = [sum(mode == m for _, m in CASES.values()) for mode in MODES.values()]
    assert counts == [11, 7, 11, 10]
    mirrored = [padding for padding, mode in CASES.values() if mode == MODES["reflect"]]
    assert any(p.pads[0] == p.shape[2] - 1 and p.pads[3] == p.shape[3] - 1 for p in mirrored)


@both_dtypes
@pytest.mark.parametrize(("padding", "mode"), CASES.values(), ids=CASES)
def test_padding_is_that_of_the_reference(padding, mode, dtype):
    calls = padding.calls(mode)
    assert_equal("pad2d_forward", calls["pad2d_forward"], dtype)
    copies = (1 + padding.out[2]) * (1 + padding.out[3])  # of one pixel, at most
    assert_sum(cpu, "pad2d_backward_input", calls["pad2d_backward_input"], dtype, copies)


@pytest.mark.parametrize(
    ("mode", "row"),
    [
        (0, [9, 9, 1, 2, 3, 9, 9, 9]),
        (1, [3, 2, 1, 2, 3, 2, 1, 9]),
        (2, [1, 1, 1, 2, 3, 3, 3, 3]),
        (3, [2, 3, 1, 2, 3, 1, 2, 3]),
    ],
    ids=MODES,
)
@pytest.mark.parametrize("module", [reference, cpu], ids=["reference", "cpu"])
def test_a_row_and_a_column_by_hand(module, mode, row):
    row = row[:7] if mode == 1 else row  # three further pixels are more than a mirror has
    x = np.array([1.0, 2, 3])
    for shape, pads, out in (
        ((1, 1, 1, 3), (0, 2), (1, 1, 1, len(row))),
        ((1, 1, 3, 1), (2, 0), (1, 1, len(row), 1)),
    ):
        arguments = (x.reshape(shape), *pads, mode, 9.0, Out(out))
        (y,) = run(module, "pad2d_forward", arguments, np.float64)
        assert y.ravel().tolist() == row
        (dx,) = run(
            module, "pad2d_backward_input", (np.ones(out), *pads, mode, Out(shape)), np.float64
        )
        assert dx.ravel().tolist() == [row.count(value) for value in (1, 2, 3)]


@each_mode
@both_dtypes
def test_padding_is_numpys(mode, dtype):
    """NumPy knows all four by other names; an independent witness of the definition itself."""
    x = normal(3, 2, 3, 5, 6)
    pads = (2, 3, 4, 1)
    kind = ("constant", "reflect", "edge", "wrap")[mode]
    value = {"constant_values": -1.5} if mode == 0 else {}
    expected = np.pad(x, [(0, 0), (0, 0), (2, 4), (3, 1)], kind, **value)
    for module in (reference, cpu):
        arguments = (x, *pads[:2], mode, -1.5, Out(expected.shape))
        (y,) = run(module, "pad2d_forward", arguments, dtype)
        np.testing.assert_array_equal(y, expected.astype(dtype))


@st.composite
def paddings(draw):
    mode = draw(st.integers(0, 3))
    shape = tuple(draw(st.integers(least, 5)) for least in (0, 1, 1, 1))
    most = [(6, size - 1, 6, size)[mode] for size in shape[2:]]
    return Padding(shape, tuple(draw(st.integers(0, most[i % 2])) for i in range(4))), mode


@repeatable
@given(paddings())
def test_padding_on_random_geometry(drawn):
    padding, mode = drawn
    calls = padding.calls(mode)
    assert_equal("pad2d_forward", calls["pad2d_forward"], np.float32)
    dy = np.random.default_rng(4).integers(-8, 9, padding.out).astype(np.float32)
    _, *rest = calls["pad2d_backward_input"]
    assert_equal("pad2d_backward_input", (dy, *rest), np.float32)


@each_mode
@both_dtypes
def test_padding_hands_on_nan_and_infinity(mode, dtype):
    calls = PADDINGS["all-different"].calls(mode)
    for name, arguments in calls.items():
        arguments[0][...] = np.rint(8 * arguments[0])  # sums without rounding
        arguments[0][0, 1, 2, 3] = np.nan
        arguments[0][0, 2, 3, 2] = np.inf
        assert_equal(name, arguments, dtype)
        (found,) = run(cpu, name, arguments, dtype)
        assert np.isnan(found).any()
        assert not np.isnan(found).all()


# ---- bias ---------------------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 1, 1), (0, 2, 3, 4), (3, 17, 2, 1)])
def test_bias(shape, dtype):
    assert_equal("bias2d_forward", (normal(1, *shape), normal(2, shape[1]), Out(shape)), dtype)


@both_dtypes
def test_bias_in_place(dtype):
    x, bias = (normal(seed, *shape).astype(dtype) for seed, shape in ((1, (2, 3, 4, 5)), (2, (3,))))
    expected = x + bias[:, None, None]
    for module in (reference, cpu):
        y = x.copy()
        module.bias2d_forward(y, bias, y)
        np.testing.assert_array_equal(y, expected)


# ---- locally connected ------------------------------------------------------------------------


class Local(NamedTuple):
    """A locally connected layer; pads are (top, left, bottom, right)."""

    batch: int
    channels: int
    filters: int
    size: tuple
    kernel: tuple
    stride: tuple = (1, 1)
    pads: tuple = (0, 0, 0, 0)

    @property
    def room(self):
        """How far the window can move, in pixels."""
        return tuple(
            self.size[a] + self.pads[a] + self.pads[a + 2] - self.kernel[a] for a in (0, 1)
        )

    @property
    def out(self):
        return tuple(r // s + 1 for r, s in zip(self.room, self.stride, strict=True))

    @property
    def numbers(self):
        return *self.stride, *self.pads[:2]

    def arrays(self):
        x = normal(1, self.batch, self.channels, *self.size)
        weight = normal(2, self.filters, self.channels, *self.kernel, *self.out)
        dy = normal(4, self.batch, self.filters, *self.out)
        return x, weight, normal(3, self.filters, *self.out), dy

    def calls(self):
        """Return {function: (arguments, number of terms of a sum)}."""
        x, weight, bias, dy = self.arrays()
        taps = self.kernel[0] * self.kernel[1]
        op = "locally_connected2d"
        return {
            f"{op}_forward": (
                (x, weight, bias, *self.numbers, Out(dy.shape)),
                self.channels * taps + 1,
            ),
            f"{op}_backward_input": (
                (dy, weight, *self.numbers, Out(x.shape)),
                self.filters * taps,
            ),
            f"{op}_backward_weight": ((dy, x, *self.numbers, Out(weight.shape)), self.batch),
            f"{op}_backward_bias": ((dy, Out(bias.shape)), self.batch),
        }


LOCALS = {
    "plain": Local(2, 3, 4, (6, 5), (3, 2)),
    "all-different": Local(3, 2, 5, (9, 7), (3, 2), (2, 1), (1, 0, 3, 2)),
    "rows-left-over": Local(2, 2, 3, (8, 10), (3, 4), (2, 5)),
    "stride-above-kernel": Local(2, 2, 3, (10, 11), (2, 1), (3, 4)),
    "padding-above-kernel": Local(2, 2, 3, (3, 2), (2, 2), (1, 1), (3, 4, 2, 3)),
    "padding-and-stride": Local(1, 2, 3, (5, 6), (3, 4), (2, 3), (2, 3, 2, 3)),
    "kernel-wider-than-picture": Local(2, 2, 3, (4, 3), (6, 7), (1, 1), (1, 2, 2, 3)),
    "one-by-one": Local(2, 5, 3, (4, 3), (1, 1)),
    "one-pixel": Local(1, 1, 1, (1, 1), (1, 1)),
    "one-row": Local(1, 2, 3, (1, 9), (1, 3)),
    "wide-rows": Local(1, 1, 2, (3, 40), (2, 3)),
    "batch-17": Local(17, 2, 3, (4, 3), (2, 2)),
    "batch-0": Local(0, 2, 3, (4, 5), (3, 2)),
}
FUNCTIONS = tuple(LOCALS["plain"].calls())


@both_dtypes
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("local", LOCALS.values(), ids=LOCALS)
def test_locally_connected_is_that_of_the_reference(local, function, dtype):
    arguments, terms = local.calls()[function]
    assert_sum(cpu, function, arguments, dtype, terms)


@st.composite
def locals_(draw):
    def number(least, most):
        return draw(st.integers(least, most))

    kernel, stride = ((number(1, 3), number(1, 3)) for _ in range(2))
    pads = tuple(number(0, 3) for _ in range(4))
    size = tuple(max(1, kernel[a] - pads[a] - pads[a + 2]) + number(0, 4) for a in (0, 1))
    return Local(number(0, 2), number(1, 3), number(1, 3), size, kernel, stride, pads)


@repeatable
@given(locals_())
def test_locally_connected_on_random_geometry(local):
    for dtype in (np.float32, np.float64):
        for function, (arguments, terms) in local.calls().items():
            assert_sum(cpu, function, arguments, dtype, terms)


@pytest.mark.parametrize("module", [reference, cpu], ids=["reference", "cpu"])
@pytest.mark.parametrize("local", LOCALS.values(), ids=LOCALS)
def test_tied_filters_are_a_convolution(module, local):
    """The definition itself: equal filters everywhere give conv2d, forward and backward."""
    x, weight, bias, dy = local.arrays()
    weight, bias = weight[..., :1, :1], bias[:, 0, 0].copy()
    everywhere = np.ascontiguousarray(np.broadcast_to(weight, (*weight.shape[:4], *local.out)))
    biases = np.ascontiguousarray(np.broadcast_to(bias[:, None, None], (bias.size, *local.out)))
    tied, geometry = weight[..., 0, 0].copy(), (*local.numbers, 1, 1, 1)
    op, own = "locally_connected2d", local.numbers
    for name, arguments, conv in (
        (
            f"{op}_forward",
            (x, everywhere, biases, *own, Out(dy.shape)),
            ("conv2d_forward", (x, tied, bias, *geometry, Out(dy.shape))),
        ),
        (
            f"{op}_backward_input",
            (dy, everywhere, *own, Out(x.shape)),
            ("conv2d_backward_input", (dy, tied, *geometry, Out(x.shape))),
        ),
        (
            f"{op}_backward_weight",
            (dy, x, *own, Out(everywhere.shape)),
            ("conv2d_backward_weight", (dy, x, *geometry, Out(tied.shape))),
        ),
        (
            f"{op}_backward_bias",
            (dy, Out(biases.shape)),
            ("conv2d_backward_bias", (dy, Out(bias.shape))),
        ),
    ):
        (found,) = run(module, name, arguments, np.float64)
        (expected,) = run(reference, *conv, np.float64)
        if "weight" in name or "bias" in name:
            found = found.sum(axis=(-2, -1))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12, err_msg=name)


@both_dtypes
def test_a_nan_in_the_picture_reaches_its_outputs_and_no_other(dtype):
    x, weight, bias, dy = LOCALS["plain"].arrays()
    x[1, 2, 3, 1] = np.nan
    arguments = (x, weight, bias, *LOCALS["plain"].numbers, Out(dy.shape))
    (expected,) = run(reference, "locally_connected2d_forward", arguments, dtype)
    (actual,) = run(cpu, "locally_connected2d_forward", arguments, dtype)
    assert 0 < np.isnan(expected).sum() < expected.size
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))


# ---- threads ----------------------------------------------------------------------------------


def threaded_cases():
    """Return {name: (function, arguments)}: work for several threads, in pieces that don't fit."""
    x, bias = normal(1, 3, 5, 7, 9), normal(2, 5)
    cases = {"bias2d_forward": ("bias2d_forward", (x, bias, Out(x.shape)))}
    padding = Padding((3, 5, 7, 9), (1, 2, 3, 4))
    for word, mode in MODES.items():
        for function, arguments in padding.calls(mode).items():
            cases[f"{function}, {word}"] = function, arguments
    for name in ("all-different", "batch-17", "wide-rows"):
        for function, (arguments, _) in LOCALS[name].calls().items():
            cases[f"{function}, {name}"] = function, arguments
    return cases
