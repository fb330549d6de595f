"""Every loss of classes against PyTorch's on the same numbers: values, gradients, refusals.

The bounds are made as in ``test_oracle_layers.py``: K terms added up in any order differ by at
most (K + 1) eps M, M being the sum of absolute values; 8 more units cover exp, log and division.
"""

import inspect

import numpy as np
import pytest
from checks_oracle import Case, both_dtypes, each, in_both_dtypes, numbers, torch
from checks_oracle_losses import in_torch, near, reductions, run, spread_out, upstream_for

import numcnn

SHAPES = [(1, 1), (1, 4), (5, 3), (7, 10), (4, 3, 6), (1, 2, 5), (3, 5, 4, 2), (2, 6, 1, 7)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


@both_dtypes
@reductions
@each_shape
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_cross_entropy(shape, scale, reduction, dtype):
    rng = np.random.default_rng([1, *shape, int(scale)])
    pred = (rng.standard_normal(shape) * scale).astype(dtype)
    target = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    upstream = upstream_for(rng, reduction, target.shape)
    got, want = run("CrossEntropyLoss", {"reduction": reduction}, pred, target, upstream)
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
    got, want = run("NLLLoss", {"reduction": reduction}, pred, target, upstream)
    picked = np.abs(np.take_along_axis(pred, np.expand_dims(target, 1), 1)[:, 0])
    size, each = spread_out(picked.astype(np.float64), reduction, upstream)
    near(got[0], want[0], 0 if reduction == "none" else target.size, size)
    hit = np.moveaxis(np.eye(shape[1])[target], -1, 1)
    near(got[1], want[1], 0, np.expand_dims(each, 1) * hit)


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
    got, want = run("CrossEntropyLoss", {"reduction": "none"}, pred, np.array([0, 1]), upstream)
    near(got[0], want[0], 3, 10 + np.abs(want[0]))
    near(got[1], want[1], 3, 10.0)


# ------------------------------------------------------------------------- options at random


def class_weight(rng, classes):
    """Draw weights of classes; now and then one counts nothing."""
    weight = rng.uniform(0.1, 2, classes)
    if rng.random() < 0.3:
        weight[rng.integers(classes)] = 0
    return weight


def draw(rng, number, soft=False):
    """Draw a case of cross-entropy or NLL; all reductions and pairs of options come up."""
    spatial = tuple(int(v) for v in rng.integers(1, 5, number % 4 if number % 4 < 3 else 0))
    shape = (int(rng.integers(1, 7)), int(rng.integers(1, 8)), *spatial)
    options = {"reduction": ("mean", "sum", "none")[number % 3]}
    if rng.random() < 0.6:
        options["weight"] = class_weight(rng, shape[1])
    if not soft and rng.random() < 0.6:
        options["ignore_index"] = int(rng.choice([-100, -1, 255, rng.integers(shape[1])]))
    return Case(number, shape, options)


def draw_cross_entropy(family, soft, count=120):
    cases = []
    for number in range(count):
        rng = np.random.default_rng([family, number])
        case = draw(rng, number, soft)
        if rng.random() < 0.6:
            smoothing = float(rng.choice([0.1, 1.0, rng.uniform()]))
            case.arguments["label_smoothing"] = smoothing
        cases.append(case)
    return cases


def draw_labels(rng, case):
    """Draw labels, some of them to be ignored; now and then all of them."""
    shape, ignored = case.shape, case.arguments.get("ignore_index", -100)
    target = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    share = rng.choice([0, 0.3, 1], p=[0.4, 0.5, 0.1])
    target[rng.uniform(size=target.shape) < share] = ignored
    return target, target != ignored


def shaped(weight, rank):
    return weight.reshape(-1, *[1] * (rank - 2))


def divisor_of(options, weight, target, counted):
    return weight[target[counted]].sum() if options["reduction"] == "mean" else 1.0


HARD = draw_cross_entropy(11, soft=False)
SOFT = draw_cross_entropy(12, soft=True)
NLL = [draw(np.random.default_rng([13, number]), number) for number in range(90)]


def test_all_options_come_up():
    for cases, names in (
        (HARD, {"weight", "ignore_index", "label_smoothing"}),
        (SOFT, {"weight", "label_smoothing"}),
        (NLL, {"weight", "ignore_index"}),
    ):
        for reduction in ("mean", "sum", "none"):
            own = [set(c.arguments) for c in cases if c.arguments["reduction"] == reduction]
            assert len(own) >= 30
            assert any(names <= given for given in own)
            assert any(given == {"reduction"} for given in own)


def compare_cross_entropy(case, rng, pred, target, q, counted, divisor):
    """Compare one case; q (N, C, ...) is the whole target with its weights, as shares."""
    options = case.arguments
    rows = (case.shape[0], *case.shape[2:])
    upstream = upstream_for(rng, options["reduction"], rows)
    got, want = run("CrossEntropyLoss", options, pred, target, upstream)
    below = pred.max(axis=1, keepdims=True).astype(np.float64) - pred
    ones = 1 + np.abs(pred).max(axis=1) + below.max(axis=1)
    mass = q.sum(axis=1) * counted
    size, flow = spread_out(mass * ones, options["reduction"], upstream, divisor)
    near(got[0], want[0], case.shape[1] + 2 * mass.size, size)
    share = torch.softmax(torch.from_numpy(pred.astype(np.float64)), 1).numpy()
    terms = case.shape[1] + mass.size + below + 3 * np.expand_dims(ones, 1)
    sizes = np.expand_dims(flow * counted, 1) * (share * np.expand_dims(mass, 1) + q)
    near(got[1], want[1], terms, sizes)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@each(HARD)
@in_both_dtypes
def test_cross_entropy_with_options(case, dtype):
    rng = np.random.default_rng([21, case.number])
    pred = numbers(rng, case.shape, dtype) * np.asarray(rng.choice([1, 20]), dtype)
    target, counted = draw_labels(rng, case)
    classes, options = case.shape[1], case.arguments
    weight = options.get("weight", np.ones(classes))
    kept = np.where(counted, target, 0)
    smoothing = options.get("label_smoothing", 0)
    q = (1 - smoothing) * np.moveaxis(np.eye(classes)[kept], -1, 1) + smoothing / classes
    divisor = divisor_of(options, weight, kept, counted)
    compare_cross_entropy(case, rng, pred, target, q * shaped(weight, pred.ndim), counted, divisor)


@each(SOFT)
@in_both_dtypes
def test_cross_entropy_against_probabilities(case, dtype):
    rng = np.random.default_rng([22, case.number])
    pred = numbers(rng, case.shape, dtype) * np.asarray(rng.choice([1, 20]), dtype)
    target = rng.uniform(0, 1, case.shape)
    if rng.random() < 0.7:
        target /= target.sum(axis=1, keepdims=True)
    target[rng.uniform(size=case.shape) < 0.1] = 0
    target = target.astype(dtype)
    classes, options = case.shape[1], case.arguments
    smoothing = options.get("label_smoothing", 0)
    q = (1 - smoothing) * target.astype(np.float64) + smoothing / classes
    q *= shaped(options.get("weight", np.ones(classes)), pred.ndim)
    compare_cross_entropy(case, rng, pred, target, q, True, None)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@each(NLL)
@in_both_dtypes
def test_nll_with_options(case, dtype):
    rng = np.random.default_rng([23, case.number])
    pred = numbers(rng, case.shape, dtype)
    target, counted = draw_labels(rng, case)
    classes, options = case.shape[1], case.arguments
    weight = options.get("weight", np.ones(classes))
    kept = np.where(counted, target, 0)
    upstream = upstream_for(rng, options["reduction"], target.shape)
    got, want = run("NLLLoss", options, pred, target, upstream)
    picked = np.take_along_axis(pred, np.expand_dims(kept, 1), 1)[:, 0].astype(np.float64)
    divisor = divisor_of(options, weight, kept, counted)
    values = np.abs(picked) * weight[kept] * counted
    size, flow = spread_out(values, options["reduction"], upstream, divisor)
    near(got[0], want[0], 2 * target.size, size)
    hit = np.moveaxis(np.eye(classes)[kept], -1, 1) * shaped(weight, pred.ndim)
    near(got[1], want[1], target.size, np.expand_dims(flow * counted, 1) * hit)


def draw_margins(count=84):
    cases = []
    for number in range(count):
        rng = np.random.default_rng([14, number])
        shape = tuple(int(v) for v in rng.integers(1, 8, 2))
        options = {"reduction": ("mean", "sum", "none")[number % 3], "p": 1 + number % 2}
        if rng.random() < 0.6:
            options["margin"] = float(rng.choice([0.5, 2.0, -0.25]))
        if rng.random() < 0.6:
            options["weight"] = class_weight(rng, shape[1])
        cases.append(Case(number, shape, options))
    return cases


MARGINS = draw_margins()


@each(MARGINS)
@in_both_dtypes
def test_multi_margin(case, dtype):
    rng = np.random.default_rng([24, case.number])
    pred = numbers(rng, case.shape, dtype, few=case.number % 3 == 1)
    target = rng.integers(0, case.shape[1], case.shape[0])
    options, classes = case.arguments, case.shape[1]
    upstream = upstream_for(rng, options["reduction"], target.shape)
    got, want = run("MultiMarginLoss", options, pred, target, upstream)
    weight = options.get("weight", np.ones(classes))[target]
    parts = abs(options.get("margin", 1)) + np.abs(pred).max(axis=1, keepdims=True) + np.abs(pred)
    values = weight / classes * (parts ** options["p"]).sum(axis=1)
    size, flow = spread_out(values, options["reduction"], upstream)
    near(got[0], want[0], classes + 3 + target.size, size)
    slopes = (weight / classes)[:, None] * (2 * parts if options["p"] == 2 else np.ones(pred.shape))
    slopes[range(case.shape[0]), target] = slopes.sum(axis=1)
    near(got[1], want[1], classes + 3, flow[:, None] * slopes)


# ------------------------------------------------------------------------------- what is refused

X = np.zeros((4, 3), np.float32)
MAPS = np.zeros((4, 3, 2, 5), np.float32)
Y = np.zeros(4, np.int64)
IGNORING = {"ignore_index": 1}
THREE, FOUR, COLUMN = np.ones(3), np.ones(4), np.ones((3, 1))
BAD = [
    ("CrossEntropyLoss", {}, X, Y + 3),
    ("CrossEntropyLoss", {}, X, Y - 1),
    ("CrossEntropyLoss", {}, X, np.zeros(5, np.int64)),
    ("CrossEntropyLoss", {}, X, np.zeros((4, 1), np.int64)),
    ("CrossEntropyLoss", {}, X, np.zeros((4, 3), np.int64)),
    ("CrossEntropyLoss", {}, X, np.zeros(4, np.float32)),
    ("CrossEntropyLoss", {}, X, np.zeros((4, 2), np.float32)),
    ("CrossEntropyLoss", {}, MAPS, Y),
    ("CrossEntropyLoss", {}, MAPS, np.zeros((4, 5, 2), np.int64)),
    ("CrossEntropyLoss", {}, MAPS, X),
    ("CrossEntropyLoss", {"ignore_index": 5}, X, Y + 4),
    ("CrossEntropyLoss", {"ignore_index": 1}, X, X),
    ("CrossEntropyLoss", {"ignore_index": 1.0}, X, Y),
    ("CrossEntropyLoss", {"weight": FOUR}, X, Y),
    ("CrossEntropyLoss", {"weight": FOUR}, X, X),
    ("CrossEntropyLoss", {"weight": np.ones(1)}, X, X),
    ("CrossEntropyLoss", {"weight": COLUMN}, X, Y),
    ("CrossEntropyLoss", {"label_smoothing": 1.5}, X, Y),
    ("NLLLoss", {}, X, Y + 3),
    ("NLLLoss", {}, X, Y - 1),
    ("NLLLoss", {}, X, np.zeros(3, np.int64)),
    ("NLLLoss", {}, X, np.zeros((4, 1), np.int64)),
    ("NLLLoss", {}, X, X),
    ("NLLLoss", {}, MAPS, np.zeros((4, 2, 4), np.int64)),
    ("NLLLoss", {"weight": FOUR}, X, Y),
    ("NLLLoss", {"weight": COLUMN}, X, Y),
    ("NLLLoss", {"ignore_index": -1}, X, Y - 100),
    ("MultiMarginLoss", {}, X, Y + 3),
    ("MultiMarginLoss", {}, X, Y - 100),
    ("MultiMarginLoss", {}, X, Y[:3]),
    ("MultiMarginLoss", {}, MAPS[0], np.zeros((3, 5), np.int64)),
    ("MultiMarginLoss", {"p": 3}, X, Y),
    ("MultiMarginLoss", {"weight": FOUR}, X, Y),
    ("MultiMarginLoss", {"weight": COLUMN}, X, Y),
]


@pytest.mark.parametrize(
    ("name", "options", "pred", "target"), BAD, ids=[f"{b[0]}-{i}" for i, b in enumerate(BAD)]
)
def test_both_refuse(name, options, pred, target):
    def theirs():
        loss = getattr(torch.nn, name)(**in_torch(options, np.float32))
        loss(torch.from_numpy(pred), torch.from_numpy(target))

    with pytest.raises((RuntimeError, ValueError, IndexError, TypeError)):
        theirs()
    with pytest.raises((ValueError, TypeError)):
        getattr(numcnn, name)(**options)(pred, target)


# ----------------------------------------------------------------------------------- arguments

NAMES = sorted(name for name in numcnn.losses.__all__ if name.endswith("Loss") and name != "Loss")
IN_TORCH = [name for name in NAMES if name not in ("MSLELoss", "PerceptronLoss")]


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", IN_TORCH)
def test_both_refuse_an_unknown_reduction(name):
    with pytest.raises(ValueError, match="average"):
        getattr(torch.nn, name)(reduction="average")(torch.zeros(2, 2), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="average"):
        getattr(numcnn, name)(reduction="average")


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "NLLLoss"])
@pytest.mark.parametrize("weight", [np.array([1, 2.5, 0]), torch.tensor([1, 2.5, 0]).double()])
def test_class_weights_in_pytorchs_first_place_are_class_weights(name, weight):
    x, y = np.random.default_rng(3).standard_normal((4, 3)), np.array([0, 1, 2, 1])
    theirs = getattr(torch.nn, name)(torch.as_tensor(weight))
    want = theirs(torch.from_numpy(x), torch.from_numpy(y)).numpy()
    near(getattr(numcnn, name)(weight)(x, y), want, 20, 5)


@pytest.mark.parametrize("name", IN_TORCH)
def test_arguments_have_pytorchs_names_places_and_defaults(name):
    """An argument by position means what it means in PyTorch, or is refused.

    Only the reduction may come first where PyTorch has a flag that it advises against: a name
    can't be mistaken for a flag, and a flag is refused.
    """
    theirs = inspect.signature(getattr(torch.nn, name)).parameters
    places = list(theirs)
    ours = inspect.signature(getattr(numcnn, name)).parameters
    assert set(theirs) - set(ours) <= {"size_average", "reduce"}
    for place, (argument, parameter) in enumerate(ours.items()):
        assert parameter.default == theirs[argument].default
        if parameter.kind != parameter.KEYWORD_ONLY:
            assert places[place] == argument or (argument == "reduction" and place == 0)
    for flag in (True, False):
        with pytest.raises((ValueError, TypeError)):
            getattr(numcnn, name)(None, flag)


def test_every_loss_is_compared():
    """A new loss must come here or into test_oracle_losses_elements.py too."""
    here = {"CrossEntropyLoss", "NLLLoss", "MultiMarginLoss"}
    elements = {"BCELoss", "BCEWithLogitsLoss", "HuberLoss", "KLDivLoss", "L1Loss"}
    by_hand = {"PerceptronLoss"}  # test_acts_perceptron.py
    assert set(NAMES) == here | elements | by_hand | {"MSELoss", "MSLELoss", "SmoothL1Loss"}
