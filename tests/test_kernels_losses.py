"""The compiled kernels of losses against the reference; bounds: checks_kernels.py.

Here eps is 2 u. Every loss is a handful of roundings away from what the reference computes in
float64 on the same numbers; the size that each is relative to stands with the case.
"""

import numpy as np
import pytest
from checks_kernels import Out, assert_near, both_dtypes, normal, run

from numcnn.kernels import cpu, reference

COUNT = 53


def uniform(seed, *shape):
    return np.random.default_rng(seed).uniform(0.01, 0.99, shape).astype(np.float32)


PRED, TARGET = normal(1, COUNT), normal(2, COUNT)
PRED[:3] = TARGET[:3]  # no error
PRED[3:5] = 1e4, -1e4
P, T = uniform(3, COUNT), uniform(4, COUNT)
T[:4] = 0, 1, 0, 1
P[2:4] = 0, 1  # certain and right
P[4:6] = 0, 1  # certain and wrong
P[6] = 1e-20
ONE, ROW = np.ones(1, np.float32), uniform(5, 7)
D = np.abs(PRED.astype(np.float64) - TARGET)
LOGS = np.abs(np.log1p(P)) + np.abs(np.log1p(T))
CUT = -np.clip(np.log(np.maximum(P, 1e-45)), -100, 0) - np.log1p(-np.minimum(P, 1 - 1e-7))
BELOW = np.maximum(P.astype(np.float64) * (1 - P), 1e-12)

# name: (arguments, size of the losses, size of the slopes)
ELEMENTS = {
    "l1": ((PRED, TARGET), D, 1),
    "smooth_l1-1": ((PRED, TARGET, 1.0), D + 0.5, 1),
    "smooth_l1-0.3": ((PRED, TARGET, 0.3), D + 0.5, 1),
    "smooth_l1-0": ((PRED, TARGET, 0.0), D, 1),
    "huber-1": ((PRED, TARGET, 1.0), D + 0.5, 1),
    "huber-0.3": ((PRED, TARGET, 0.3), D + 0.5, 1),
    # each logarithm is a few units off by itself
    "msle": ((P, T), 2 * LOGS**2, 4 * LOGS),
    "kl_div-0": ((PRED, T, 0), 1 + T * (np.abs(PRED) + 1), T),
    "kl_div-1": ((PRED, np.log(P.clip(1e-6)), 1), 1 + np.abs(PRED) + 20, P + 1e-6),
    "bce": ((P, T, ONE), 1 + CUT, 1 / BELOW),
    "bce-row": ((P, T, ROW), 1 + CUT, 1 / BELOW),
    "bce_with_logits": ((PRED, T, ONE, ONE), 1 + np.abs(PRED), 1),
    "bce_with_logits-rows": ((PRED, T, ROW, 3 * ROW[:3]), 4 * (1 + np.abs(PRED)), 4),
}


@both_dtypes
@pytest.mark.parametrize("case", ELEMENTS)
def test_elements(case, dtype):
    op = case.partition("-")[0]
    given, size, slope = ELEMENTS[case]
    # a few roundings, and 4 units for each exp or logarithm
    allowed = 16 * np.finfo(dtype).eps
    forward = (*given, Out((COUNT,)))
    (expected,) = run(reference, f"{op}_forward", forward, np.float64)
    (actual,) = run(cpu, f"{op}_forward", forward, dtype)
    assert np.isfinite(expected).all()
    assert np.count_nonzero(expected) > 40
    assert_near(actual, expected, allowed * size, f"{op}_forward")
    dlosses = normal(6, COUNT)
    backward = (*given, dlosses, Out((COUNT,)))
    (expected,) = run(reference, f"{op}_backward_input", backward, np.float64)
    (actual,) = run(cpu, f"{op}_backward_input", backward, dtype)
    assert actual.dtype == dtype
    bound = allowed * slope * np.abs(dlosses)
    assert_near(actual, expected, bound, f"{op}_backward_input")


@both_dtypes
@pytest.mark.parametrize("op", ["l1", "smooth_l1", "huber", "msle", "kl_div", "bce"])
def test_what_is_no_number_or_not_allowed(op, dtype):
    pred = np.array([np.nan, 0.5, np.inf, -np.inf, 0.5, 0.5, -1, -2, 0.5, 2, 0.5], np.float32)
    target = np.array([0.5, np.nan, 0.5, 0.5, np.inf, -np.inf, 0, 0, -2, 0.5, -1], np.float32)
    numbers = {"smooth_l1": (1.0,), "huber": (1.0,), "kl_div": (0,), "bce": (ONE,)}.get(op, ())
    for function, rest in (
        (f"{op}_forward", ()),
        (f"{op}_backward_input", (np.ones(11, np.float32),)),
    ):
        arguments = (pred, target, *numbers, *rest, Out((11,)))
        (expected,) = run(reference, function, arguments, dtype)
        (actual,) = run(cpu, function, arguments, dtype)
        assert np.isnan(expected[:2]).any()
        assert_near(actual, expected, 16 * np.finfo(dtype).eps * 8, function)
    if op == "bce":
        for floor in (reference, cpu):
            (losses,) = run(floor, "bce_forward", (pred, target, ONE, Out((11,))), dtype)
            assert np.isnan(losses).all()  # one of the two is no probability


# ---- classes --------------------------------------------------------------------------------

COLUMNS = {
    "scores": normal(1, 5, 7, 1),
    "maps": normal(2, 3, 4, 6),
    "one-class": normal(3, 4, 1, 2),
}
COLUMNS["huge"] = np.array([[1e4, -1e4, 0], [-1e4, -1e4, 1e4]], np.float32)[..., None]
columns = pytest.mark.parametrize("x", COLUMNS.values(), ids=COLUMNS)
IGNORE = -7


def classes(x, ignored=True):
    """Return labels, about every fourth of which is to be ignored."""
    rng = np.random.default_rng(7)
    target = rng.integers(0, x.shape[1], (x.shape[0], x.shape[2]))
    if ignored and target.size > 3:
        target.reshape(-1)[1::4] = IGNORE
    return target


def weights(x):
    return uniform(8, x.shape[1]) * 2


def spread(x):
    return x.max(axis=1, keepdims=True).astype(np.float64) - x


@both_dtypes
@columns
@pytest.mark.parametrize("smoothing", [0.0, 0.2, 1.0])
def test_cross_entropy_with_all_its_options(smoothing, x, dtype):
    target, options = classes(x), (weights(x), IGNORE, smoothing)
    arguments = (x, target, *options, Out(target.shape), Out(x.shape))
    compare_cross_entropy("softmax_cross_entropy", arguments, options, x, target, dtype)


@both_dtypes
@columns
@pytest.mark.parametrize("smoothing", [0.0, 0.2, 1.0])
def test_cross_entropy_against_probabilities(smoothing, x, dtype):
    target, options = uniform(9, *x.shape), (weights(x), smoothing)
    arguments = (x, target, *options, Out((x.shape[0], x.shape[2])), Out(x.shape))
    compare_cross_entropy("soft_target_cross_entropy", arguments, options, x, target, dtype)


def compare_cross_entropy(op, arguments, options, x, target, dtype):
    info, count = np.finfo(dtype), x.shape[1]
    expected, probabilities = run(reference, f"{op}_forward", arguments, np.float64)
    losses, p = run(cpu, f"{op}_forward", arguments, dtype)
    # as in test_kernels_cpu.py for each of the C terms; the weights are below 2, the shares below 1
    each = (count + 12) * (1 + np.log(count)) + 4 * spread(x)
    assert_near(losses, expected, 4 * info.eps * each.sum(axis=1), f"{op}: losses")
    relative = (2 * spread(x).clip(0, 800) + 10 + count) * info.eps
    assert_near(p, probabilities, relative * probabilities + info.tiny, f"{op}: probabilities")
    dlosses = normal(8, x.shape[0], x.shape[2])
    backward = (p, target, *options, dlosses, Out(x.shape))
    (expected,) = run(reference, f"{op}_backward_input", backward, np.float64)
    (actual,) = run(cpu, f"{op}_backward_input", backward, dtype)
    bound = (count + 8) * info.eps * 2 * (count + 1) * np.abs(dlosses)[:, None]
    assert_near(actual, expected, bound, f"{op}_backward_input")
    if op == "softmax_cross_entropy":
        assert (losses[target == IGNORE] == 0).all()
        assert (np.moveaxis(actual, 1, -1)[target == IGNORE] == 0).all()


@both_dtypes
@columns
def test_nll_with_weights_and_ignored_labels(x, dtype):
    target, options = classes(x), (weights(x), IGNORE)
    dlosses = normal(10, *target.shape)
    eps = np.finfo(dtype).eps
    for function, arguments in (
        ("nll_forward", (x, target, *options, Out(target.shape))),
        ("nll_backward_input", (target, *options, dlosses, Out(x.shape))),
    ):
        (expected,) = run(reference, function, arguments, np.float64)
        (actual,) = run(cpu, function, arguments, dtype)
        assert_near(actual, expected, eps * np.abs(expected), function)


@both_dtypes
@pytest.mark.parametrize("op", ["softmax_cross_entropy", "nll"])
def test_ignored_rows_are_never_looked_at(op, dtype):
    x = np.full((2, 3, 1), np.nan, np.float32)
    target, options = np.full((2, 1), 2), (np.full(3, np.nan, np.float32), 2)
    numbers = (0.3,) if op == "softmax_cross_entropy" else ()
    outputs = (Out((2, 1)), *[Out(x.shape)] * len(numbers))
    for floor in (reference, cpu):
        found = run(floor, f"{op}_forward", (x, target, *options, *numbers, *outputs), dtype)
        assert (found[0] == 0).all()
        given = (x, target) if numbers else (target,)
        dlosses = np.full((2, 1), np.inf, np.float32)  # a mean over nothing divides by 0
        backward = (*given, *options, *numbers, dlosses, Out(x.shape))
        (found,) = run(floor, f"{op}_backward_input", backward, dtype)
        assert (found == 0).all()


@both_dtypes
@pytest.mark.parametrize(("power", "margin"), [(1, 1.0), (2, 1.0), (1, 0.25), (2, -0.5)])
def test_multi_margin(power, margin, dtype):
    x = normal(11, 9, 5)
    x[0] = 2, 1, 3, 1, 2  # exactly at the margin
    x[1, 2] = np.nan
    x[2] = 1e4, -1e4, 0, 1, 2
    target = np.array([0, 4, 1, 2, 3, 0, 1, 2, 4])
    weight, dlosses, eps = uniform(12, 5), normal(13, 9), np.finfo(dtype).eps
    given = (x, target, power, margin, weight)
    (expected,) = run(reference, "multi_margin_forward", (*given, Out((9,))), np.float64)
    (actual,) = run(cpu, "multi_margin_forward", (*given, Out((9,))), dtype)
    size = (np.abs(margin) + 2 * np.nanmax(np.abs(x), axis=1, keepdims=True)) ** power
    assert np.isnan(expected).tolist() == [False, True] + [False] * 7
    assert_near(actual, expected, 16 * eps * size[:, 0], "multi_margin_forward")
    backward = (*given, dlosses, Out(x.shape))
    (expected,) = run(reference, "multi_margin_backward_input", backward, np.float64)
    (actual,) = run(cpu, "multi_margin_backward_input", backward, dtype)
    bound = 16 * eps * (1 + 2 * size) * np.abs(dlosses)[:, None]
    assert_near(actual, expected, bound, "multi_margin_backward_input")


def threaded_cases():
    """Return {name: (function, arguments)}: work for several threads, in pieces that don't fit."""
    cases = {}
    for case, (given, _, _) in ELEMENTS.items():
        op = case.partition("-")[0]
        cases[case] = f"{op}_forward", (*given, Out((COUNT,)))
        backward = (*given, normal(6, COUNT), Out((COUNT,)))
        cases[f"{case} backward"] = f"{op}_backward_input", backward
    x, (p,) = normal(2, 5, 9, 7), (uniform(3, 5, 9, 7),)
    target, weight = classes(x), weights(x)
    dlosses, losses = normal(4, 5, 7), Out((5, 7))
    for op, kept, numbers in (
        ("softmax_cross_entropy", target, (weight, IGNORE, 0.2)),
        ("soft_target_cross_entropy", p, (weight, 0.2)),
    ):
        cases[f"{op}, smoothed"] = f"{op}_forward", (x, kept, *numbers, losses, Out(x.shape))
        backward = (p, kept, *numbers, dlosses, Out(x.shape))
        cases[f"{op}, smoothed backward"] = f"{op}_backward_input", backward
    rows = (normal(5, 41, 9), classes(normal(5, 41, 9, 1), ignored=False)[:, 0], 2, 1.0, weight)
    cases["multi_margin"] = "multi_margin_forward", (*rows, Out((41,)))
    backward = (*rows, normal(6, 41), Out((41, 9)))
    cases["multi_margin backward"] = "multi_margin_backward_input", backward
    return cases
