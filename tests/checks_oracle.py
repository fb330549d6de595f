"""How layers are compared with PyTorch's on the same numbers, and how near is near.

Let eps be the spacing of the dtype at 1, K the number of terms of a sum and M the same sum over
the absolute values of its terms. Whatever the order of summing, the result is within
(K + 1) eps/2 M of the exact sum, so two of them differ by at most (K + 1) eps M. That is the bound
for each number by itself; the 8 in ``near`` covers a division or an exp, a few units each. M is
PyTorch's own layer on absolute values, in float64. Where nothing is added up (M = 0: a pixel that
no window sees, or that lost a tie) the two must be equal.
"""

import copy
import inspect
from typing import NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; run tox -e oracle")

import numcnn  # noqa: E402

torch.set_num_threads(1)  # two pools of threads that wait for each other cost more than they give

both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def in_both_dtypes(test):
    """Run a test in float32 and then in float64: one test item, since there are many."""

    def both(**arguments):
        for dtype in ("float32", "float64"):
            test(**arguments, dtype=dtype)

    names = [name for name in inspect.signature(test).parameters if name != "dtype"]
    parameters = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in names]
    both.__signature__ = inspect.Signature(parameters)
    return both


class Case(NamedTuple):
    """A layer's input shape and its arguments."""

    number: int
    shape: tuple
    arguments: dict


def each(cases):
    return pytest.mark.parametrize("case", cases, ids=[f"{case.number:03d}" for case in cases])


def numbers(rng, shape, dtype, few=False):
    """Return normal numbers or, with `few`, small whole ones: those tie and cancel."""
    drawn = rng.integers(-2, 3, shape) if few else rng.standard_normal(shape)
    array = drawn.astype(dtype)
    if rng.random() < 0.25:
        array = np.asfortranarray(array)  # the same numbers in another order in memory
    return array


def run_numcnn(layer, x, dy):
    """Return output and all gradients by name."""
    before = x.copy(), dy.copy()
    layer.zero_grad()
    results = {"y": layer(x), "dx": layer.backward(dy)}
    results |= {f"d{name}": parameter.grad for name, parameter in layer.named_parameters()}
    assert np.array_equal(x, before[0], equal_nan=True), "the input was overwritten"
    assert np.array_equal(dy, before[1], equal_nan=True), "the upstream gradient was overwritten"
    return results


def run_torch(module, x, dy):
    """Return output and all gradients by the same names."""
    leaf = torch.from_numpy(x).requires_grad_()
    module.zero_grad()
    y = module(leaf)
    y.backward(torch.from_numpy(dy))
    results = {"y": y.detach().numpy(), "dx": leaf.grad.numpy()}
    return results | {f"d{name}": p.grad.numpy() for name, p in module.named_parameters()}


def magnitudes(module, x, dy):
    """Return M of each result of a layer that only adds and multiplies."""
    positive = copy.deepcopy(module).double()
    with torch.no_grad():
        for parameter in positive.parameters():
            parameter.abs_()
    return run_torch(positive, np.abs(x).astype(np.float64), np.abs(dy).astype(np.float64))


def output_of(module, x):
    with torch.no_grad():
        return tuple(module(torch.from_numpy(x)).shape)


def near(got, want, terms, sizes):
    """Assert that each result differs from PyTorch's by (terms + 8) eps size at most."""
    assert got.keys() == want.keys()
    for name, expected in want.items():
        actual = got[name]
        assert actual.shape == expected.shape, name
        assert actual.dtype == expected.dtype, name
        info = np.finfo(expected.dtype)
        allowed = (terms[name] + 8) * info.eps * sizes[name]
        with np.errstate(invalid="ignore"):
            off = np.abs(actual.astype(np.float64) - expected)
        same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
        wrong = np.argwhere(~(same | (off <= allowed)))
        assert not len(wrong), (
            f"{name}: {len(wrong)} of {expected.size} numbers are off, the first at "
            f"{tuple(wrong[0].tolist())}: {actual[tuple(wrong[0])]!r}, but PyTorch has "
            f"{expected[tuple(wrong[0])]!r}"
        )


def exact(got, want):
    nothing = dict.fromkeys(want, 0)
    near(got, want, nothing, nothing)


def share_weights(layer, module, number):
    """Give both the same weights through state_dict: from PyTorch, or to it."""
    if number % 2:
        layer.load_state_dict(module.state_dict())
    else:
        layer.reseed(number)
        state = {name: torch.from_numpy(value) for name, value in layer.state_dict().items()}
        module.load_state_dict(state)
    theirs, ours = module.state_dict(), layer.state_dict()
    assert list(theirs) == list(ours)
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value.numpy())


def pair(rng, least, most):
    """Draw two numbers, mostly different; equal ones are often written as one."""
    first, second = (int(value) for value in rng.integers(least, most + 1, 2))
    if first == second and rng.random() < 0.7:
        second = first + 1 if first < most else max(least, first - 1)
    return first, second


def written(rng, both):
    """Spell a pair as users do: one number, a tuple or a list."""
    if both[0] == both[1]:
        return both[0]
    return both if rng.random() < 0.8 else list(both)


def picture(rng, reach, pads, slack=0, extra=8):
    """Draw a height and a width, not equal, that a window of this reach fits into."""
    while True:
        sides = [
            max(1, r - sum(p) - slack) + int(rng.integers(0, extra + 1))
            for r, p in zip(reach, pads, strict=True)
        ]
        if sides[0] != sides[1]:
            return sides


def torch_shape(name, arguments, shape):
    """Return the shape that PyTorch gives, or None if it refuses."""
    try:
        with torch.no_grad():
            return tuple(getattr(torch.nn, name)(**arguments)(torch.zeros(shape)).shape)
    except (RuntimeError, ValueError, TypeError, IndexError):
        return None


def numcnn_shape(name, arguments, shape):
    """Return the shape that numcnn gives, or None if it refuses with one of its own errors."""
    try:
        layer = getattr(numcnn, name)(**arguments)
        expected = layer.output_shape(shape)
        if 0 in shape[2:]:
            return expected  # a forward pass that isn't refused might read outside its array
        got = layer(np.zeros(shape, np.float32)).shape
    except (ValueError, TypeError):
        return None
    assert got == expected
    return got


def disagreements(name, cases):
    found = []
    for arguments, shape in cases:
        theirs, ours = torch_shape(name, arguments, shape), numcnn_shape(name, arguments, shape)
        if theirs != ours:
            told = ["refuses" if s is None else f"gives {s}" for s in (theirs, ours)]
            found.append(f"{arguments} of {shape}: PyTorch {told[0]}, numcnn {told[1]}")
    return found


def signature(kind):
    parameters = inspect.signature(kind.__init__).parameters
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {name: p for name, p in parameters.items() if name != "self" and p.kind not in variable}
