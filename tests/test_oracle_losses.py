"""Every loss against PyTorch's on the same numbers: values, gradients, and what is refused.

The bounds are made as in ``test_oracle_layers.py``: K terms added up in any order differ by at
most (K + 1) eps M, M being the sum of absolute values; 8 more units cover exp, log and division.
"""

import inspect

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; run tox -e oracle")

import numcnn  # noqa: E402

torch.set_num_threads(1)  # two pools of threads that wait for each other cost more than they give

both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
reductions = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
SHAPES = [(1, 1), (1, 4), (5, 3), (7, 10), (4, 3, 6), (1, 2, 5), (3, 5, 4, 2), (2, 6, 1, 7)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def near(got, want, terms, size):
    """Assert that each number differs from PyTorch's by (terms + 8) eps size at most."""
    got = np.asarray(got)
    assert got.shape == want.shape
    allowed = (terms + 8) * np.finfo(want.dtype).eps * size
    off = np.abs(got.astype(np.float64) - want)
    assert np.all((off <= allowed) | (got == want) | (np.isnan(got) & np.isnan(want))), (
        f"off by {np.max(off)}, {np.nanmax(off / allowed):.3g} times what rounding explains: "
        f"{got.ravel()[:5]}, but PyTorch has {want.ravel()[:5]}"
    )


def run(name, reduction, pred, target, upstream):
    """Return (loss, gradient) of numcnn's loss and of PyTorch's, for the same upstream gradient."""
    loss = getattr(numcnn, name)(reduction=reduction)
    before = pred.copy()
    value = loss(pred, target)
    dpred = loss.backward(upstream)
    np.testing.assert_array_equal(pred, before)
    assert dpred.dtype == pred.dtype
    if reduction == "none":
        assert value.dtype == pred.dtype
    else:
        assert type(value) is float

    leaf = torch.from_numpy(pred).requires_grad_()
    theirs = getattr(torch.nn, name)(reduction=reduction)(leaf, torch.from_numpy(target))
    theirs.backward(torch.as_tensor(upstream, dtype=theirs.dtype))
    return (value, dpred), (theirs.detach().numpy(), leaf.grad.numpy())


def upstream_for(rng, reduction, losses):
    """Draw what follows the loss: a number, or one for each loss."""
    return rng.standard_normal(losses) if reduction == "none" else float(rng.standard_normal())


def spread_out(values, reduction, upstream):
    """Return the sizes of the reduced loss and of the gradient that reaches each loss."""
    if reduction == "none":
        return values, np.abs(upstream)
    scale = 1 / values.size if reduction == "mean" else 1.0
    return values.sum() * scale, np.full(values.shape, abs(upstream) * scale)


@both_dtypes
@reductions
@each_shape
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_cross_entropy(shape, scale, reduction, dtype):
    rng = np.random.default_rng([1, *shape, int(scale)])
    pred = (rng.standard_normal(shape) * scale).astype(dtype)
    target = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    upstream = upstream_for(rng, reduction, target.shape)
    got, want = run("CrossEntropyLoss", reduction, pred, target, upstream)
    # of one loss: the largest score, the distance to it, the logarithm of the sum
    below = pred.max(axis=1, keepdims=True).astype(np.float64) - pred
    ones = 1 + np.abs(pred).max(axis=1) + below.max(axis=1)
    size, each = spread_out(ones, reduction, upstream)
    near(got[0], want[0], shape[1] + target.size, size)
    hit = np.moveaxis(np.eye(shape[1])[target], -1, 1)
    share = torch.softmax(torch.from_numpy(pred.astype(np.float64)), 1).numpy()
    # PyTorch takes exp of the logarithm of the softmax: its rounding grows with the scores
    terms = shape[1] + below + 3 * np.expand_dims(ones, 1)
    near(got[1], want[1], terms, np.expand_dims(each, 1) * (share + hit))


@both_dtypes
@reductions
@each_shape
def test_nll(shape, reduction, dtype):
    rng = np.random.default_rng([2, *shape])
    scores = torch.from_numpy(rng.standard_normal(shape).astype(dtype))
    pred = torch.log_softmax(scores, 1).numpy()
    target = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    upstream = upstream_for(rng, reduction, target.shape)
    got, want = run("NLLLoss", reduction, pred, target, upstream)
    picked = np.abs(np.take_along_axis(pred, np.expand_dims(target, 1), 1)[:, 0])
    size, each = spread_out(picked.astype(np.float64), reduction, upstream)
    near(got[0], want[0], 0 if reduction == "none" else target.size, size)
    hit = np.moveaxis(np.eye(shape[1])[target], -1, 1)
    near(got[1], want[1], 0, np.expand_dims(each, 1) * hit)


@both_dtypes
@reductions
@pytest.mark.parametrize("shape", [(5,), *SHAPES, (2, 3, 2, 3, 2)], ids=str)
def test_mse(shape, reduction, dtype):
    rng = np.random.default_rng([3, *shape])
    pred, target = (rng.standard_normal(shape).astype(dtype) for _ in "pt")
    pred.flat[0] = target.flat[0]  # no difference: no loss, no gradient
    upstream = upstream_for(rng, reduction, shape)
    got, want = run("MSELoss", reduction, pred, target, upstream)
    difference = pred.astype(np.float64) - target
    size, each = spread_out(difference**2, reduction, upstream)
    near(got[0], want[0], 0 if reduction == "none" else pred.size, size)
    near(got[1], want[1], 0, 2 * np.abs(difference) * each)
    assert got[1].flat[0] == 0


@both_dtypes
def test_nll_of_log_softmax_is_cross_entropy_as_in_pytorch(dtype):
    """The other way to the same loss: LogSoftmax and NLLLoss, forward and backward."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((6, 5)).astype(dtype)
    target = rng.integers(0, 5, 6)
    leaf = torch.from_numpy(x).requires_grad_()
    want = torch.nn.CrossEntropyLoss()(leaf, torch.from_numpy(target))
    want.backward()
    layer, loss = numcnn.LogSoftmax(dim=1), numcnn.NLLLoss()
    near(loss(layer(x), target), want.detach().numpy(), 20, 5)
    near(layer.backward(loss.backward()), leaf.grad.numpy(), 20, 1)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_labels_of_any_integer_type(dtype):
    """PyTorch takes int64 (and uint8) alone; here the type doesn't matter."""
    pred = np.random.default_rng(5).standard_normal((4, 3))
    target = np.array([0, 2, 1, 2])
    want = torch.nn.CrossEntropyLoss()(torch.from_numpy(pred), torch.from_numpy(target)).numpy()
    near(numcnn.CrossEntropyLoss()(pred, target.astype(dtype)), want, 20, 5)


@both_dtypes
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "row",
    [
        [1, -np.inf, 2],  # a class that is ruled out
        [-np.inf, 1, 2],  # the right class is ruled out: infinite loss
        [np.nan, 1, 2],
        [1, 2, np.nan],
        [1, np.inf, 2],
        [1e4, -1e4, 0],
        [-1e4, 1e4, 0],
    ],
    ids=str,
)
def test_cross_entropy_of_nan_infinity_and_large_scores(row, dtype):
    pred = np.array([row, [0.5, 1, 2]], dtype)
    upstream = np.array([3.0, -2.0])
    got, want = run("CrossEntropyLoss", "none", pred, np.array([0, 1]), upstream)
    near(got[0], want[0], 3, 10 + np.abs(want[0]))
    near(got[1], want[1], 3, 10.0)


# ------------------------------------------------------------------------------- what is refused

X = np.zeros((4, 3), np.float32)
MAPS = np.zeros((4, 3, 2, 5), np.float32)
Y = np.zeros(4, np.int64)
BAD = [
    ("CrossEntropyLoss", X, Y + 3),
    ("CrossEntropyLoss", X, Y - 1),
    ("CrossEntropyLoss", X, np.zeros(5, np.int64)),
    ("CrossEntropyLoss", X, np.zeros((4, 1), np.int64)),
    ("CrossEntropyLoss", X, np.zeros((4, 3), np.int64)),
    ("CrossEntropyLoss", X, np.zeros(4, np.float32)),
    ("CrossEntropyLoss", MAPS, Y),
    ("CrossEntropyLoss", MAPS, np.zeros((4, 5, 2), np.int64)),
    ("NLLLoss", X, Y + 3),
    ("NLLLoss", X, Y - 1),
    ("NLLLoss", X, np.zeros(3, np.int64)),
    ("NLLLoss", X, np.zeros((4, 1), np.int64)),
    ("NLLLoss", MAPS, np.zeros((4, 2, 4), np.int64)),
    ("MSELoss", X, np.zeros((4, 2), np.float32)),
    ("MSELoss", X, np.zeros((5, 3), np.float32)),
]


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize(
    ("name", "pred", "target"), BAD, ids=[f"{b[0]}-{i}" for i, b in enumerate(BAD)]
)
def test_both_refuse(name, pred, target):
    with pytest.raises((RuntimeError, ValueError, IndexError)):
        getattr(torch.nn, name)()(torch.from_numpy(pred), torch.from_numpy(target))
    with pytest.raises((ValueError, TypeError)):
        getattr(numcnn, name)()(pred, target)


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", ["CrossEntropyLoss", "NLLLoss", "MSELoss"])
def test_both_refuse_an_unknown_reduction(name):
    with pytest.raises(ValueError, match="average"):
        getattr(torch.nn, name)(reduction="average")(torch.zeros(2, 2), torch.zeros(2).long())
    with pytest.raises(ValueError, match="average"):
        getattr(numcnn, name)(reduction="average")


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "NLLLoss"])
@pytest.mark.parametrize("weight", [np.ones(3), torch.ones(3)], ids=["array", "tensor"])
def test_class_weights_in_pytorchs_first_place_are_never_taken_for_something_else(name, weight):
    with pytest.raises((TypeError, ValueError)):
        getattr(numcnn, name)(weight)


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "NLLLoss", "MSELoss"])
def test_arguments_by_name_are_pytorchs(name):
    theirs = inspect.signature(getattr(torch.nn, name)).parameters
    for argument, parameter in inspect.signature(getattr(numcnn, name)).parameters.items():
        assert argument in theirs
        assert parameter.default == theirs[argument].default


def test_every_loss_is_compared():
    """A new loss must come here too."""
    assert set(numcnn.losses.__all__) - {"Loss"} == {"CrossEntropyLoss", "NLLLoss", "MSELoss"}
